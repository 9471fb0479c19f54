import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zeroseg.data.benchmarks import IGNORE
from zeroseg.evaluation.metrics import confusion_matrix, harmonic_mean, iou, mean_iou

CLASSES = 4
property_test = settings(max_examples=60)


@st.composite
def label_maps(draw) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    predicted = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, CLASSES - 1)))
    labels = draw(hnp.arrays(np.int64, shape, elements=st.sampled_from([*range(CLASSES), IGNORE])))
    return predicted, labels


def confusion_of(predicted: np.ndarray, labels: np.ndarray) -> torch.Tensor:
    return confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(labels), CLASSES)


@property_test
@given(label_maps())
def test_the_confusion_matrix_counts_pixels_one_by_one(maps):
    expected = np.zeros((CLASSES, CLASSES), int)
    for guess, truth in zip(*(m.ravel() for m in maps), strict=True):
        if truth != IGNORE:
            expected[truth, guess] += 1
    assert np.array_equal(confusion_of(*maps), expected)


@property_test
@given(label_maps())
def test_iou_is_the_overlap_of_two_sets_of_pixels(maps):
    predicted, labels = maps
    for index, value in enumerate(iou(confusion_of(predicted, labels)).tolist()):
        found = (predicted == index) & (labels != IGNORE)
        true = labels == index
        union = (found | true).sum()
        if union:
            assert value == pytest.approx((found & true).sum() / union)
        else:
            assert math.isnan(value)


@property_test
@given(label_maps(), label_maps())
def test_the_parts_of_a_dataset_add_up_to_the_whole(one, two):
    whole = [np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(one, two, strict=True)]
    assert torch.equal(confusion_of(*one) + confusion_of(*two), confusion_of(*whole))


@property_test
@given(label_maps(), st.permutations(range(CLASSES)))
def test_renaming_the_classes_leaves_the_mean_alone(maps, order):
    predicted, labels = maps
    table = np.full(IGNORE + 1, IGNORE)
    table[:CLASSES] = order
    before = mean_iou(confusion_of(predicted, labels))
    after = mean_iou(confusion_of(table[predicted], table[labels]))
    assert after == pytest.approx(before, nan_ok=True)


@property_test
@given(label_maps())
def test_a_prediction_equal_to_the_truth_scores_one(maps):
    labels = maps[1]
    confusion = confusion_of(np.where(labels == IGNORE, 0, labels), labels)
    if (labels != IGNORE).any():
        assert mean_iou(confusion) == 1
    else:
        assert math.isnan(mean_iou(confusion))


def test_what_is_predicted_on_ignored_pixels_does_not_count():
    labels = torch.tensor([[0, IGNORE], [1, IGNORE]])
    for guess in (0, 1, 99, -1):
        predicted = torch.tensor([[0, guess], [1, guess]])
        assert confusion_matrix(predicted, labels, 2).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("stray", [-1, 3, 254])
def test_every_label_or_prediction_outside_the_class_list_is_an_error_naming_it(stray):
    good, bad = torch.tensor([0, 1, 2]), torch.tensor([0, stray, 2])
    with pytest.raises(ValueError, match=f"label {stray} is outside the 3"):
        confusion_matrix(good, bad, 3)
    with pytest.raises(ValueError, match=f"prediction {stray} is outside the 3"):
        confusion_matrix(bad, good, 3)


def test_a_prediction_of_255_is_an_error():
    with pytest.raises(ValueError, match="prediction 255"):
        confusion_matrix(torch.tensor([IGNORE]), torch.tensor([0]), 3)


def test_the_mean_is_over_classes_that_occur_in_truth_or_prediction():
    confusion = torch.tensor([[2, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert iou(confusion).tolist()[:2] == pytest.approx([2 / 3, 0])
    assert math.isnan(iou(confusion)[2])
    assert mean_iou(confusion) == pytest.approx(1 / 3)
    assert mean_iou(confusion, torch.tensor([0, 2])) == pytest.approx(2 / 3)


def test_a_mean_over_classes_that_never_occur_is_nan():
    assert math.isnan(mean_iou(torch.tensor([[1, 0], [0, 0]]), torch.tensor([1])))
    assert math.isnan(mean_iou(torch.zeros(3, 3, dtype=torch.long)))


def test_counts_beyond_single_precision_stay_exact():
    many = 2**24 + 1
    assert iou(torch.tensor([[many, 0], [1, many]]))[0].item() == many / (many + 1)


def test_the_harmonic_mean_of_known_numbers():
    assert harmonic_mean(0.5, 0.5) == 0.5
    assert harmonic_mean(0.6, 0.3) == pytest.approx(0.4)
    assert harmonic_mean(0.0, 0.8) == harmonic_mean(0.8, 0.0) == 0
    assert harmonic_mean(0.0, 0.0) == 0


@property_test
@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_harmonic_mean_is_symmetric_and_at_most_the_arithmetic_mean(seen, unseen):
    mean = harmonic_mean(seen, unseen)
    assert mean == pytest.approx(harmonic_mean(unseen, seen))
    assert min(seen, unseen) - 1e-9 <= mean <= (seen + unseen) / 2 + 1e-9
