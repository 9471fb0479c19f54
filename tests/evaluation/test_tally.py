import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeroseg.evaluation.metrics import confusion_matrix, threshold_counts
from zeroseg.evaluation.tally import Tally, concatenate, empty, from_bytes

CLASSES, THRESHOLDS = 4, (0.2, 0.5, 0.9)
MAPS = arrays(np.int64, (3, 5, 2, 3), elements=st.integers(0, 3))
"""Labels, best classes and thresholds reached of five images of 2 x 3 pixels."""


def tally(maps: np.ndarray) -> Tally:
    """Of images whose labels, best classes and reached thresholds are given."""
    parts = []
    for i, (labels, best, reached) in enumerate(maps.transpose(1, 0, 2, 3)):
        found = threshold_counts(
            torch.from_numpy(best),
            torch.from_numpy(labels),
            torch.from_numpy(reached),
            CLASSES,
        ).numpy()
        parts.append(
            Tally(
                classes=CLASSES,
                thresholds=THRESHOLDS,
                keys=(f"image {i}",),
                image=np.zeros(len(found), np.int64),
                counts=found,
                boundary=np.full((1, CLASSES, 2), i),
                lost=(f"lost beside {i}",),
            )
        )
    return concatenate(parts)


def same(a: Tally, b: Tally) -> bool:
    return a.to_bytes() == b.to_bytes()


@given(MAPS)
def test_confusion_matrices_are_those_of_the_label_maps_at_every_threshold(maps):
    labels, best, reached = maps
    counted = tally(maps)
    for number, threshold in enumerate(THRESHOLDS):
        predicted = np.where(reached > number, best, 0)
        expected = confusion_matrix(torch.from_numpy(predicted), torch.from_numpy(labels), CLASSES)
        assert counted.confusion(threshold).tolist() == expected.tolist()
    expected = confusion_matrix(torch.from_numpy(best), torch.from_numpy(labels), CLASSES)
    assert counted.confusion(None).tolist() == expected.tolist()


@given(MAPS)
def test_counts_by_image_are_those_of_each_image_alone(maps):
    labels, best, reached = maps
    hits, truth, predicted = tally(maps).by_image(0.5)
    answers = np.where(reached > 1, best, 0)
    for i in range(5):
        for c in range(CLASSES):
            assert truth[i, c] == (labels[i] == c).sum()
            assert predicted[i, c] == (answers[i] == c).sum()
            assert hits[i, c] == ((labels[i] == c) & (answers[i] == c)).sum()


@given(MAPS, st.integers(0, 5))
def test_images_can_be_counted_in_any_parts(maps, cut):
    whole = tally(maps)
    parts = [tally(part) for part in np.split(maps, [cut], axis=1) if part.shape[1]]
    renamed = concatenate([empty(CLASSES, THRESHOLDS), *parts])
    assert renamed.confusion(0.9).tolist() == whole.confusion(0.9).tolist()
    for found, expected in zip(renamed.by_image(0.2), whole.by_image(0.2), strict=True):
        assert found.tolist() == expected.tolist()


@given(MAPS)
def test_a_tally_comes_back_from_its_bytes(maps):
    written = tally(maps)
    read = from_bytes(written.to_bytes())
    assert same(read, written)
    assert (read.keys, read.lost) == (written.keys, written.lost)
    assert read.thresholds == THRESHOLDS
    assert read.boundary[:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_nothing_comes_back_from_its_bytes_too():
    nothing = empty(CLASSES, (), ("a: torn",))
    assert same(from_bytes(nothing.to_bytes()), nothing)
    assert nothing.confusion(None).tolist() == [[0] * CLASSES] * CLASSES


@pytest.mark.parametrize("data", [b"", b"PK", b"not a file of counts"])
def test_other_bytes_are_no_tally(data):
    with pytest.raises((ValueError, OSError, EOFError)):
        from_bytes(data)
