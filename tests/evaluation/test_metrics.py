import math

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as independent
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.evaluation.inference import thresholds_reached, with_background
from zeroseg.evaluation.metrics import (
    accuracy,
    boundary_counts,
    class_counts,
    confusion_matrix,
    frequency_weighted_iou,
    harmonic_mean,
    iou,
    mean_accuracy,
    mean_iou,
    pixel_accuracy,
    threshold_counts,
)

CLASSES = 4
property_test = settings(max_examples=60)


@st.composite
def label_maps(draw, dims: int | None = None, side: int = 5) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(hnp.array_shapes(min_dims=dims or 1, max_dims=dims or 3, max_side=side))
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


@pytest.mark.parametrize("classes", [1, 171, 180, 181, 255, 256, 847])
def test_any_number_of_classes_is_counted(classes):
    labels = torch.tensor([*range(classes), IGNORE, IGNORE])
    predicted = labels.clamp(max=classes - 1).flip(0)
    confusion = confusion_matrix(predicted, labels, classes)
    assert confusion.sum() == classes
    assert all(confusion[t, p] for t, p in zip(labels[:-2], predicted[:-2], strict=True))


@property_test
@given(label_maps(), *[st.sampled_from([torch.uint8, torch.int16, torch.int32, torch.int64])] * 2)
def test_the_kind_of_integers_does_not_matter(maps, one, two):
    predicted, labels = map(torch.from_numpy, maps)
    found = confusion_matrix(predicted.to(one), labels.clamp(max=127).to(two), 128)
    assert found.dtype == torch.long
    assert torch.equal(found, confusion_matrix(predicted, labels.clamp(max=127), 128))


@property_test
@given(label_maps())
def test_all_scores_agree_with_torchmetrics(maps):
    predicted, labels = map(torch.from_numpy, maps)
    confusion = confusion_matrix(predicted, labels, CLASSES)
    given = (predicted.flatten(), labels.flatten(), CLASSES)
    assert torch.equal(
        confusion, independent.multiclass_confusion_matrix(*given, ignore_index=IGNORE)
    )
    theirs = independent.multiclass_jaccard_index(*given, average="none", ignore_index=IGNORE)
    assert torch.allclose(iou(confusion).nan_to_num(0).float(), theirs)
    recall = independent.multiclass_recall(*given, average="none", ignore_index=IGNORE)
    assert torch.allclose(accuracy(confusion).nan_to_num(0).float(), recall)
    if not (labels != IGNORE).any():
        return
    # Theirs are in float32.
    weighted = independent.multiclass_jaccard_index(*given, average="weighted", ignore_index=IGNORE)
    assert frequency_weighted_iou(confusion) == pytest.approx(float(weighted), abs=1e-6)
    micro = independent.multiclass_accuracy(*given, average="micro", ignore_index=IGNORE)
    assert pixel_accuracy(confusion) == pytest.approx(float(micro), abs=1e-6)
    present = theirs[(confusion.sum(0) + confusion.sum(1)) > 0]
    assert mean_iou(confusion) == pytest.approx(float(present.mean()), abs=1e-6)
    assert mean_iou(confusion, absent=0.0) == pytest.approx(float(theirs.mean()), abs=1e-6)
    assert mean_accuracy(confusion) == pytest.approx(
        float(recall[confusion.sum(1) > 0].mean()), abs=1e-6
    )


@property_test
@given(st.data())
def test_one_pass_counts_what_every_threshold_would_by_itself(data):
    predicted, labels = map(torch.from_numpy, data.draw(label_maps(dims=3)))
    shades = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
    best = torch.from_numpy(data.draw(hnp.arrays(np.float32, labels.shape, elements=shades)))
    thresholds = sorted(data.draw(st.lists(shades, min_size=1, unique=True)))
    rule = data.draw(st.sampled_from(["constant", "groupvit"]))
    reached = thresholds_reached(best, torch.tensor(thresholds), rule)
    rows = [
        threshold_counts(*maps, CLASSES) for maps in zip(predicted, labels, reached, strict=True)
    ]
    assert all((image[:, 3] > 0).all() for image in rows)
    swept = class_counts(torch.cat(rows), CLASSES, len(thresholds))
    for threshold, hits, truth, found in zip(thresholds, *swept, strict=True):
        by_itself = with_background(best, predicted, threshold, rule)
        confusion = confusion_matrix(by_itself, labels, CLASSES)
        assert torch.equal(hits, confusion.diagonal())
        assert torch.equal(truth, confusion.sum(dim=1))
        assert torch.equal(found, confusion.sum(dim=0))


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
    for guess in (0, 1):
        predicted = torch.tensor([[0, guess], [1, guess]])
        assert confusion_matrix(predicted, labels, 2).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("stray", [-1, 3, 254, 255, 256, 40_000, 65_534, 65_536, 2**40])
def test_every_label_or_prediction_outside_the_class_list_is_an_error_naming_it(stray):
    good, bad = torch.tensor([0, 1, 2]), torch.tensor([0, stray, 2])
    with pytest.raises(ValueError, match=f"label {stray} is outside the 3"):
        confusion_matrix(good, bad, 3)
    with pytest.raises(ValueError, match=f"prediction {stray} is outside the 3"):
        confusion_matrix(bad, good, 3)
    with pytest.raises(ValueError, match=f"prediction {stray} is outside the 3"):
        threshold_counts(bad, good, torch.zeros(3).int(), 3)


def test_a_prediction_of_what_is_ignored_is_an_error_ignored_or_not():
    with pytest.raises(ValueError, match=f"prediction {IGNORE}"):
        confusion_matrix(torch.tensor([IGNORE]), torch.tensor([0]), 3)
    with pytest.raises(ValueError, match=f"prediction {IGNORE}"):
        confusion_matrix(torch.tensor([IGNORE]), torch.tensor([IGNORE]), 3)


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
    seen = torch.tensor([0.5, 0.6, 0.0, 0.8, 0.0], dtype=torch.float64)
    unseen = torch.tensor([0.5, 0.3, 0.8, 0.0, 0.0], dtype=torch.float64)
    assert harmonic_mean(seen, unseen).tolist() == pytest.approx([0.5, 0.4, 0, 0, 0])


@property_test
@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_harmonic_mean_is_symmetric_and_at_most_the_arithmetic_mean(seen, unseen):
    both = torch.tensor([seen, unseen], dtype=torch.float64)
    mean = float(harmonic_mean(*both))
    assert mean == pytest.approx(float(harmonic_mean(*both.flip(0))))
    assert min(seen, unseen) - 1e-9 <= mean <= (seen + unseen) / 2 + 1e-9


def test_accuracies_of_a_known_mistake():
    confusion = torch.tensor([[6, 2, 0], [0, 1, 0], [0, 0, 0]])
    assert accuracy(confusion)[:2].tolist() == [0.75, 1]
    assert math.isnan(accuracy(confusion)[2])
    assert mean_accuracy(confusion) == 0.875
    assert pixel_accuracy(confusion) == pytest.approx(7 / 9)
    assert frequency_weighted_iou(confusion) == pytest.approx(8 / 9 * 6 / 8 + 1 / 9 * 1 / 3)


def test_absent_classes_can_be_counted_as_failures():
    confusion = torch.tensor([[2, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert mean_iou(confusion, absent=0.0) == pytest.approx(2 / 9)
    assert mean_iou(confusion, torch.tensor([0, 2]), absent=0.0) == pytest.approx(1 / 3)


def test_many_confusion_matrices_are_scored_at_once():
    confusions = torch.randint(9, (5, 3, 3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(iou(confusions), torch.stack([iou(c) for c in confusions]))
    assert torch.equal(accuracy(confusions), torch.stack([accuracy(c) for c in confusions]))


def eroded(mask: np.ndarray, distance: int) -> np.ndarray:
    """As the authors erode: so many times by one pixel, with nothing beyond the image."""
    return ndimage.binary_erosion(mask, np.ones((3, 3), bool), iterations=distance)


@property_test
@given(label_maps(dims=2, side=14), st.integers(1, 4))
def test_boundaries_are_what_an_erosion_takes_away(maps, distance):
    predicted, labels = maps
    reach = distance / math.hypot(*labels.shape)
    counts = boundary_counts(*map(torch.from_numpy, maps), CLASSES, reach)
    for index, (intersection, union) in enumerate(counts.tolist()):
        masks = [(regions == index) & (labels != IGNORE) for regions in (predicted, labels)]
        found, true = (mask & ~eroded(mask, distance) for mask in masks)
        assert (intersection, union) == ((found & true).sum(), (found | true).sum())


def test_a_boundary_reaches_2_percent_of_the_diagonal_and_at_least_a_pixel():
    whole = torch.zeros(300, 400, dtype=torch.long)
    assert boundary_counts(whole, whole, 1).tolist() == [[300 * 400 - 280 * 380] * 2]
    whole = whole[:5, :6]
    assert boundary_counts(whole, whole, 1).tolist() == [[5 * 6 - 3 * 4] * 2]


def test_the_boundaries_of_a_shifted_square_overlap_in_part():
    labels, predicted = torch.zeros(2, 30, 40, dtype=torch.long)
    labels[10:20, 10:20] = 1
    predicted[10:20, 11:21] = 1
    intersection, union = boundary_counts(predicted, labels, 2)[1].tolist()
    assert (intersection, union) == (18, 36 + 36 - 18)


def test_a_perfect_prediction_has_perfect_boundaries_whatever_it_says_of_ignored_pixels():
    labels = torch.zeros(20, 30, dtype=torch.long)
    labels[5:15, 8:20] = 1
    labels[4:7] = IGNORE
    predicted = torch.where(labels == IGNORE, torch.arange(30) % 2, labels)
    counts = boundary_counts(predicted, labels, 3)
    assert torch.equal(counts[:, 0], counts[:, 1])
    assert (counts[:2] > 0).all()
    assert counts[2].tolist() == [0, 0]
