from itertools import permutations

import pytest
import torch

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.training.mask_losses import (
    dice_costs,
    dice_loss,
    focal_costs,
    focal_loss,
    mask_iou,
)
from zeroseg.training.matching import Costs, assign, pair_costs, targets_of


def row(*values: int) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float32)


def test_focal_loss_by_hand():
    """Probabilities 1/2 inside, 3/4 outside: 0.25 (1/2)^2 ln 2 and 0.75 (3/4)^2 ln 4, halved."""
    logits = torch.tensor([0.5, 0.75]).logit()[None]
    ln2 = torch.tensor(2.0).log()
    expected = (0.25 * 0.25 * ln2 + 0.75 * 0.5625 * 2 * ln2) / 2
    torch.testing.assert_close(focal_loss(logits, row(1, 0), torch.ones(1, 2)), expected[None])


def test_dice_loss_by_hand():
    """Probabilities 1/2 and 3/4, the first inside: 1 - (2 * 1/2 + 1) / (5/4 + 1 + 1)."""
    logits = torch.tensor([0.5, 0.75]).logit()[None]
    loss = dice_loss(logits, row(1, 0), torch.ones(1, 2))
    torch.testing.assert_close(loss, torch.tensor([1 - 2 / 3.25]))


def test_pixels_that_are_not_counted_change_nothing():
    logits, targets = torch.randn(3, 9), (torch.rand(3, 9) > 0.5).float()
    counted = (torch.rand(1, 9) > 0.4).float().expand(3, -1)
    noise = 100 * torch.randn(3, 9) * (1 - counted)
    kept = counted[0] > 0
    for loss in (focal_loss, dice_loss, mask_iou):
        known = loss(logits[:, kept], targets[:, kept], torch.ones(3, int(kept.sum())))
        flipped = torch.where(counted > 0, targets, 1 - targets)
        torch.testing.assert_close(loss(logits + noise, flipped, counted), known)


def test_iou_is_of_masks_cut_at_one_half():
    logits = torch.tensor([[1.0, 1.0, -1.0, -1.0], [-1.0] * 4])
    targets = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0] * 4])
    torch.testing.assert_close(
        mask_iou(logits, targets, torch.ones(2, 4)), torch.tensor([1 / 3, 1.0])
    )


def test_costs_of_all_pairs_are_the_losses_of_each():
    logits, targets = 2 * torch.randn(5, 20), (torch.rand(3, 20) > 0.6).float()
    counted = (torch.rand(20) > 0.3).float()
    for costs, loss in ((focal_costs, focal_loss), (dice_costs, dice_loss)):
        found = costs(logits, targets, counted)
        for query in range(5):
            for target in range(3):
                one = loss(logits[query][None], targets[target][None], counted[None])
                torch.testing.assert_close(found[query, target], one[0])


def test_cost_of_a_pair_by_hand():
    """Sure of its class (cost -1) and of its mask; the other query has class 1/2 and the complement."""
    targets = targets_of(torch.tensor([[0, 0], [IGNORE, IGNORE]]))
    masks = torch.tensor([[[50.0, 50.0], [-50.0, -50.0]], [[-50.0, -50.0], [50.0, 50.0]]])
    logits = torch.tensor([[50.0, 0.0], [0.0, 0.0]])
    found = pair_costs(masks, logits, targets, torch.ones(2, 2), Costs())
    focal = (0.25 * 50 * 2 + 0.75 * 50 * 2) / 4
    dice = 1 - 1 / 5
    expected = torch.tensor([[-1.0], [-0.5 + 20 * focal + dice]])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_targets_are_one_mask_a_class_and_leave_255_out():
    rows = torch.tensor([[3, 3, IGNORE], [0, 3, IGNORE]])
    targets = targets_of(rows)
    assert targets.classes.tolist() == [0, 3]
    assert targets.masks.tolist() == [[[0, 0, 0], [1, 0, 0]], [[1, 1, 0], [0, 1, 0]]]
    nothing = targets_of(torch.full((2, 3), IGNORE))
    assert nothing.masks.shape == (0, 2, 3)


@pytest.mark.parametrize(("queries", "targets"), [(4, 3), (3, 3), (2, 4), (3, 0)])
def test_assignment_is_the_cheapest_of_all(queries, targets):
    generator = torch.Generator().manual_seed(queries)
    matrices = [torch.randn(queries, targets, generator=generator) for _ in range(5)]
    for matrix, pairs in zip(matrices, assign(matrices), strict=True):
        size = min(queries, targets)
        assert len(set(pairs.queries.tolist())) == len(set(pairs.targets.tolist())) == size
        longer = matrix if queries >= targets else matrix.T
        best = min(
            sum(float(longer[q, t]) for t, q in enumerate(chosen))
            for chosen in permutations(range(len(longer)), size)
        )
        found = float(matrix[pairs.queries, pairs.targets].sum())
        assert found == pytest.approx(best, abs=1e-6)


def test_costs_that_are_not_finite_are_no_error():
    (pairs,) = assign([torch.tensor([[float("nan"), 1.0], [float("inf"), -1.0]])])
    assert sorted(pairs.targets.tolist()) == [0, 1]


def test_targets_are_brought_to_masks_by_nearest_neighbours():
    rows = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    masks = torch.tensor([[[4.0, -4.0], [-4.0, -4.0]]])
    logits = torch.zeros(1, 3)
    costs = Costs(class_weight=0.0, focal_weight=0.0)
    found = pair_costs(masks, logits, targets_of(rows), torch.ones(4, 4), costs)[0]
    small = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 1]])
    expected = dice_loss(masks.flatten(1).expand(2, -1), small, torch.ones(2, 4))
    torch.testing.assert_close(found, expected)
