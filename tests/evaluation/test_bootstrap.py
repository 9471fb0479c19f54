import numpy as np
import pytest
import torch

from zeroseg.errors import InputError
from zeroseg.evaluation.bootstrap import intervals, paired, paired_splits
from zeroseg.evaluation.metrics import class_ious, mean_over
from zeroseg.evaluation.tally import ClassCounts

BOTH = {"miou": [0, 1]}


def coins(right: np.ndarray) -> ClassCounts:
    """Images of one pixel each, all of class 0, and taken for class 1 where not right."""
    hits = np.stack([right, np.zeros_like(right)], axis=1).astype(np.int64)
    truth = np.stack([np.ones_like(right), np.zeros_like(right)], axis=1).astype(np.int64)
    predicted = np.stack([right, 1 - right], axis=1).astype(np.int64)
    return ClassCounts(hits, truth, predicted)


def drawn(images: int, share: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(images) < share).astype(np.int64)


def test_iou_and_its_mean_are_those_of_the_definition():
    ious = class_ious(*map(torch.tensor, ([[3, 0, 0]], [[4, 2, 0]], [[3, 1, 0]])))
    assert ious[0].tolist()[:2] == [0.75, 0]
    assert ious[0, 2].isnan()
    assert mean_over(ious).tolist() == [0.375]
    assert mean_over(ious, absent=0.0).tolist() == [0.25]
    assert mean_over(ious[:, 2:]).isnan().all()


def test_the_interval_of_a_share_is_the_normal_one():
    """One class, IoU = share of images that are right: the standard error is known."""
    right = drawn(2000, 0.3, seed=1)
    share = right.mean()
    low, high = intervals(coins(right), {"first": [0]}, samples=4000)["first"]
    error = 1.96 * np.sqrt(share * (1 - share) / 2000)
    # The ends of an interval of 4,000 samples are off by 0.0004, on average.
    assert low == pytest.approx(share - error, abs=0.003)
    assert high == pytest.approx(share + error, abs=0.003)


def test_the_interval_of_the_harmonic_mean_follows_the_only_part_that_varies():
    right = drawn(200, 0.3, seed=5)
    same = np.ones_like(right)
    hits, truth = np.stack([right, same], axis=1), np.stack([same, 2 * same], axis=1)
    found = intervals(ClassCounts(hits, truth, hits), {"seen_miou": [0], "unseen_miou": [1]})
    assert tuple(found["unseen_miou"]) == (0.5, 0.5)
    expected = [2 * seen * 0.5 / (seen + 0.5) for seen in found["seen_miou"]]
    # Between two samples a quantile is interpolated, before or after the mean is taken.
    assert tuple(found["hiou"]) == pytest.approx(expected, abs=1e-3)


def test_images_that_are_all_alike_leave_no_doubt():
    counts = ClassCounts(*(np.tile(row, (40, 1)) for row in ([2, 1], [3, 1], [3, 2])))
    low, high = intervals(counts, BOTH)["miou"]
    assert low == high == pytest.approx((2 / 4 + 1 / 2) / 2)


def test_an_interval_is_the_same_every_time_and_another_for_another_seed():
    counts = coins(drawn(50, 0.5, seed=2))
    assert intervals(counts, BOTH) == intervals(counts, BOTH)
    assert intervals(counts, BOTH) != intervals(counts, BOTH, seed=1)


def test_a_class_that_some_samples_lack_is_left_out_of_those():
    counts = coins(np.array([1, 1, 1, 0]))
    low, high = intervals(counts, {"second": [1]}, samples=400)["second"]
    assert low == high == 0
    nowhere = ClassCounts(*(np.zeros((4, 1), np.int64) for _ in range(3)))
    assert all(np.isnan(intervals(nowhere, {"miou": [0]})["miou"]))


def test_a_result_compared_with_itself_differs_by_nothing():
    counts = coins(drawn(60, 0.4, seed=3))
    assert paired(counts, counts) == (0, 0, 0)


def test_a_small_gain_on_the_same_images_is_certain_where_two_intervals_overlap():
    before = drawn(400, 0.5, seed=4)
    after = before.copy()
    after[np.flatnonzero(before == 0)[:20]] = 1  # a twentieth of the images, and never worse
    gain = paired(coins(before), coins(after))
    assert gain.difference == pytest.approx(20 / 400 / 2)  # the other class has IoU 0 in both
    assert 0 < gain.low < gain.difference < gain.high
    first, second = (intervals(coins(x), BOTH)["miou"] for x in (before, after))
    assert first.high > second.low


def test_a_gain_in_unseen_classes_alone_is_told_apart_and_raises_the_harmonic_mean():
    seen, before = drawn(300, 0.6, seed=6), drawn(300, 0.3, seed=7)
    after = np.maximum(before, drawn(300, 0.2, seed=8))
    ones = np.ones_like(seen)

    def counts(unseen: np.ndarray) -> ClassCounts:
        hits = np.stack([seen, unseen], axis=1)
        return ClassCounts(hits, np.stack([ones, ones], axis=1), hits)

    splits = {"miou": [0, 1], "seen_miou": [0], "unseen_miou": [1]}
    gain = paired_splits(counts(before), counts(after), splits)
    assert gain["seen_miou"] == (0, 0, 0)
    assert gain["unseen_miou"].difference == pytest.approx((after - before).mean())
    assert gain["unseen_miou"].low > 0
    s, b, a = seen.mean(), before.mean(), after.mean()
    assert gain["hiou"].difference == pytest.approx(2 * s * a / (s + a) - 2 * s * b / (s + b))
    assert gain["miou"] == pytest.approx(paired(counts(before), counts(after)))


def test_results_of_other_images_cannot_be_compared():
    with pytest.raises(InputError, match="same shards and benchmark"):
        paired(coins(drawn(5, 0.5, seed=0)), coins(drawn(6, 0.5, seed=0)))


def test_results_on_other_label_maps_cannot_be_compared():
    counts = coins(drawn(5, 0.5, seed=0))
    with pytest.raises(InputError, match="other label maps"):
        paired(counts, counts._replace(truth=counts.truth + 1))
