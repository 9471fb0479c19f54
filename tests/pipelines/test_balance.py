"""An even draw from clusters of clusters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.curation.balance import drawn, shares, tree
from zeroseg.data.unit_vectors import unit


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.data())
def test_shares_are_equal_as_far_as_there_is_enough(sizes, data):
    total = data.draw(st.integers(0, sum(sizes)))
    given_ = shares(np.array(sizes), total)
    assert given_.sum() == total
    assert (given_ <= sizes).all()
    short = [g for g, s in zip(given_.tolist(), sizes, strict=True) if g < s]
    if short:  # whoever has more to give gives as much as anyone, to one
        assert min(short) >= given_.max() - 1


def motifs(counts: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors about some directions, so many about each, in a random order; and which each is about."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.standard_normal((len(counts), 32)))
    of = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return unit(centres[of] + 0.05 * rng.standard_normal((len(of), 32))), of


@pytest.mark.parametrize("count", [1, 150, 400, 1234, 2000])
def test_as_many_stay_as_were_asked_for_and_the_same_ones_again(count):
    rows, _ = motifs([900, 500, 300, 200, 100])
    first = drawn(rows, count, 3)
    assert len(set(first.tolist())) == len(first) == count
    assert (np.diff(first) > 0).all()
    assert drawn(rows, count, 3).tolist() == first.tolist()
    if count < 2000:
        assert drawn(rows, count, 4).tolist() != first.tolist()
    assert drawn(rows, 5000, 3).tolist() == list(range(2000))


def test_what_is_rare_is_kept_and_what_is_frequent_thinned():
    counts = [2400, 1200, *[20] * 40]
    rows, of = motifs(counts)
    stay = np.bincount(of[drawn(rows, 600, 0)], minlength=len(counts))
    by_chance = 600 / sum(counts)
    assert stay[2:].sum() / 800 > 2 * by_chance
    assert stay[:2].sum() / 3600 < by_chance
    assert (stay[2:] > 0).mean() > 0.95


def test_a_tree_has_every_vector_once_at_each_level():
    rows, _ = motifs([700, 500])
    parents = tree(rows, 0)
    assert [len(parent) for parent in parents] == [1200, parents[0].max() + 1]
    assert len(tree(rows[:20], 0)) == 1
    assert all((np.bincount(parent) > 0).all() for parent in parents)
