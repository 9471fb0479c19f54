"""Two classifiers of a proposal as one: by hand, at the ends, and under permutations."""

import pytest
import torch

from zeroseg.evaluation.fusion import (
    calibrated,
    query_probabilities,
    region_probabilities,
    zegformer_fusion,
    zsseg_ensemble,
)

SEEN = torch.tensor([True, True, False])
QUERIES, REGIONS = torch.tensor([[0.4, 0.1, 0.2]]), torch.tensor([[0.2, 0.4, 0.3]])


def test_zegformer_by_hand():
    got = zegformer_fusion(QUERIES, REGIONS, SEEN, 2 / 3)
    seen = [0.4 ** (2 / 3) * 0.3 ** (1 / 3), 0.1 ** (2 / 3) * 0.3 ** (1 / 3)]
    torch.testing.assert_close(got, torch.tensor([[*seen, 0.2 ** (1 / 3) * 0.3 ** (2 / 3)]]))


def test_zsseg_by_hand():
    got = zsseg_ensemble(QUERIES, REGIONS, SEEN, 0.7)
    seen = [0.4**0.7 * 0.2**0.3, 0.1**0.7 * 0.4**0.3]
    torch.testing.assert_close(got, torch.tensor([[*seen, 0.2**0.3 * 0.3**0.7]]))


def test_at_the_ends_one_classifier_answers_alone():
    for fuse, of_seen in ((zsseg_ensemble, REGIONS), (zegformer_fusion, torch.full((1, 3), 0.3))):
        at_one = torch.where(SEEN, QUERIES, REGIONS)
        torch.testing.assert_close(fuse(QUERIES, REGIONS, SEEN, 1.0), at_one)
        at_zero = torch.where(SEEN, of_seen, QUERIES)
        torch.testing.assert_close(fuse(QUERIES, REGIONS, SEEN, 0.0), at_zero)


def test_zegformer_s_region_moves_no_seen_class_against_another():
    queries, seen = torch.rand(5, 6), torch.tensor([True] * 4 + [False] * 2)

    def ratio(p):
        return p[:, 0] / p[:, 1]

    first, second = (zegformer_fusion(queries, torch.rand(5, 6), seen) for _ in range(2))
    torch.testing.assert_close(ratio(first), ratio(second))
    torch.testing.assert_close(ratio(first), ratio(queries) ** (2 / 3))


@pytest.mark.parametrize("fuse", [zegformer_fusion, zsseg_ensemble])
def test_the_order_of_classes_and_proposals_does_not_matter(fuse):
    queries, regions, seen = torch.rand(2, 5, 6), torch.rand(2, 5, 6), torch.rand(6) > 0.5
    classes, proposals = torch.randperm(6), torch.randperm(5)
    expected = fuse(queries, regions, seen)[:, proposals][..., classes]
    moved = (x[:, proposals][..., classes] for x in (queries, regions))
    torch.testing.assert_close(fuse(*moved, seen[classes]), expected)


@pytest.mark.parametrize("fuse", [zegformer_fusion, zsseg_ensemble])
@pytest.mark.parametrize("all_of_them", [True, False])
def test_there_may_be_seen_or_unseen_classes_alone(fuse, all_of_them):
    fused = fuse(QUERIES, REGIONS, torch.tensor([all_of_them] * 3))
    assert torch.isfinite(fused).all()


def test_no_object_is_in_the_softmax_and_left_out_after_it():
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    expected = logits.exp()[:, :2] / logits.exp().sum()
    torch.testing.assert_close(query_probabilities(logits), expected)
    torch.testing.assert_close(region_probabilities(logits[:, :2], logits[:, 2]), expected)
    torch.testing.assert_close(region_probabilities(logits[:, :2]).sum(dim=1), torch.ones(1))


def test_calibration_lowers_seen_classes_alone():
    scores = torch.rand(2, 3, 4, 4)
    lowered = scores - calibrated(scores, SEEN, 0.1)
    torch.testing.assert_close(lowered[:, 2], torch.zeros(2, 4, 4))
    torch.testing.assert_close(lowered[:, :2], torch.full((2, 2, 4, 4), 0.1))
    everything = calibrated(scores, torch.ones(3, dtype=torch.bool), 0.1)
    assert torch.equal(everything.argmax(dim=1), scores.argmax(dim=1))
