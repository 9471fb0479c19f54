"""Segments named from many names: which names are asked, which are one class, and what a segment is called."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.queries import queries
from zeroseg.evaluation.inference import Axis, WindowScores, pixel_scores
from zeroseg.evaluation.open_vocabulary import (
    merged,
    named_segments,
    segment_means,
    shortlisted,
)


def at(*degrees: float) -> torch.Tensor:
    """Unit vectors of a plane."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_names_are_one_class_by_their_texts_and_no_chain_makes_one():
    names = ["sofa", "couch", "settee", "cat"]  # 12 degrees apart: a cosine of 0.978; 24: 0.914
    assert merged(names, at(0, 12, 24, 90), 0.95) == (
        ("sofa, couch", "settee", "cat"),
        [0, 0, 1, 2],
    )
    assert merged(names, at(0, 12, 24, 90), 0.9)[1] == [0, 0, 0, 1]
    assert merged(names, at(0, 12, 24, 90), 0.99)[0] == tuple(names)


def test_a_name_joins_the_class_that_it_is_most_like():
    assert merged(["a", "b", "c"], at(0, 20, 11), 0.97)[1] == [0, 1, 1]


def test_names_that_share_a_word_are_one_class_however_their_texts_lie():
    found = merged(
        ["Cat, kitten", "dog", "kitten", "DOG, hound", "cat"], at(0, 90, 80, 20, 50), 1.0
    )
    assert found == (("Cat, kitten", "dog, hound"), [0, 1, 0, 1, 0])


def test_every_part_has_its_best_name_before_any_has_its_second():
    texts = at(0, 5, 10, 90)
    assert shortlisted(at(1, 89), texts, 2).tolist() == [0, 3]
    assert shortlisted(at(1, 89), texts, 3).tolist() == [0, 1, 3]
    assert shortlisted(at(1, 89), texts, 9).tolist() == [0, 1, 2, 3]


def test_a_segment_has_the_name_of_the_best_mean_and_the_next_best_classes_beside_it():
    asked = queries(torch.eye(4), owners=[7, 7, 9, 3], names=["sofa", "couch", "cat", "dog"])
    means = torch.tensor([[0.5, 0.6, 0.2, 0.3], [0.7, 0.1, 0.6, 0.0], [0.1, 0.2, 0.9, 0.3]])
    labels, named = named_segments(means.double(), asked)
    assert labels.tolist() == [7, 7, 9]
    cat, sofa = named[1], named[0]
    assert (sofa.label, sofa.name, sofa.score) == (7, "sofa", pytest.approx(0.7))
    assert [name for name, _ in sofa.alternatives] == ["cat", "dog"]
    assert (cat.label, cat.name) == (9, "cat")
    assert cat.alternatives == (("dog", pytest.approx(0.3)), ("couch", pytest.approx(0.2)))


@given(st.integers(1, 20), st.integers(0, 9))
def test_means_of_segments_are_those_of_all_scores_at_the_pixels(count, seed):
    draw = torch.Generator().manual_seed(seed)
    grids = torch.rand(1, count, 3, 4, generator=draw)
    scores = WindowScores(grids, Axis(24, 24, (0,)), Axis(32, 32, (0,)))
    segments = torch.randint(3, (20, 30), generator=draw)
    pixels = pixel_scores(scores, (20, 30))[0]
    wanted = torch.stack([pixels[:, segments == i].double().mean(dim=1) for i in range(3)])
    torch.testing.assert_close(segment_means(scores, segments, 3, (20, 30)), wanted)
