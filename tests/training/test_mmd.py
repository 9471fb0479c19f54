"""Maximum mean discrepancy, against its closed forms."""

import math

import pytest
import torch

from zeroseg.training.mmd import LEAST, VARIANCES, discrepancy


def test_samples_that_are_the_same_are_not_apart():
    samples = torch.randn(3, 20, 8)
    assert torch.allclose(discrepancy(samples, samples), torch.tensor(LEAST).sqrt())


def test_two_points_by_hand():
    first, second = torch.zeros(1, 2), torch.tensor([[3.0, 1.0]])
    # Of single samples the mean kernels with themselves are 6, with each other sum exp(-10 / 2 v).
    between = sum(math.exp(-10 / (2 * v)) for v in VARIANCES)
    assert discrepancy(first, second).item() == pytest.approx(math.sqrt(12 - 2 * between), abs=1e-5)


def test_it_depends_on_differences_alone():
    first, second = torch.randn(2, 9, 4), torch.randn(2, 7, 4)
    far = discrepancy(first, second)
    assert torch.allclose(discrepancy(first + 5, second + 5), far, atol=1e-4)
    assert torch.allclose(discrepancy(second, first), far, atol=1e-5)


def test_a_sample_without_weight_does_not_count():
    first, second = torch.randn(9, 4), torch.randn(7, 4)
    weights = torch.tensor([1.0, 1, 1, 0, 0, 1, 1, 0, 1])
    weighed = discrepancy(first, second, weights)
    assert torch.allclose(weighed, discrepancy(first[weights == 1], second), atol=1e-6)


def test_samples_that_none_counts_of_move_nothing():
    first = torch.randn(5, 4, requires_grad=True)
    discrepancy(first, torch.randn(3, 4), torch.zeros(5), torch.zeros(3)).backward()
    assert first.grad is not None
    assert not first.grad.any()
