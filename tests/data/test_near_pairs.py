"""Groups of near copies among vectors: against all pairs, through clusters, in floods."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroseg.data import near_pairs
from zeroseg.data.near_pairs import near_groups, nearest, unit


def by_all_pairs(rows: np.ndarray, least: float, rank: np.ndarray) -> np.ndarray:
    """The same, one pair at a time."""
    group = np.arange(len(rows))
    vectors = unit(rows)
    for a, b in np.argwhere(vectors @ vectors.T >= least):
        group[group == group[a]] = group[b]
    best = [min(np.flatnonzero(group == group[i]), key=lambda j: rank[j]) for i in range(len(rows))]
    return np.array(best)


def planted(count: int, copies: int, dimensions: int = 32, seed: int = 0):
    """Vectors of no likeness, and a near copy (cosine 0.97) of some; and of which each is."""
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((count, dimensions)))
    origin = rng.choice(count, copies, replace=False)
    noise = rng.standard_normal((copies, dimensions))
    noise -= (noise * rows[origin]).sum(1, keepdims=True) * rows[origin]
    near = 0.97 * rows[origin] + (1 - 0.97**2) ** 0.5 * unit(noise)
    return np.concatenate([rows, near]).astype(np.float16), np.concatenate(
        [np.arange(count), origin]
    )


@settings(max_examples=30)
@given(
    st.integers(1, 30), st.integers(0, 2**32 - 1), st.sampled_from([-1.0, 0.3, 0.7, 0.95, 0.999])
)
def test_groups_are_those_of_all_pairs(count, seed, least):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (count, 3)) + 0.25  # some alike, none of no length
    rank = rng.permutation(count)
    assert near_groups(rows, least, rank).tolist() == by_all_pairs(rows, least, rank).tolist()


def test_of_many_vectors_those_of_near_clusters_are_compared(monkeypatch):
    rows, origin = planted(3000, 600)
    exact = near_groups(rows, 0.95, np.arange(len(rows)))
    assert exact.tolist() == origin.tolist()
    monkeypatch.setattr(near_pairs, "EXACT", 1000)
    found = near_groups(rows, 0.95, np.arange(len(rows)))
    assert (found == exact)[3000:].mean() >= 0.99
    assert found.tolist() == near_groups(rows, 0.95, np.arange(len(rows))).tolist()


@pytest.mark.parametrize("exact", [20_000, 100])
def test_a_flood_of_one_picture_leaves_one(monkeypatch, exact):
    monkeypatch.setattr(near_pairs, "EXACT", exact)
    monkeypatch.setattr(near_pairs, "NEAREST", 4)
    rows = np.ones((600, 8)) + 1e-3 * np.random.default_rng(0).standard_normal((600, 8))
    rows[::2, 0] = -1
    rank = np.arange(600)[::-1].copy()
    best = near_groups(rows, 0.99, rank)
    assert best.tolist() == [598, 599] * 300


def test_the_nearest_of_others():
    rows, origin = planted(200, 50)
    cosines, numbers = nearest(rows[:200], rows[200:])
    assert numbers.tolist() == origin[200:].tolist()
    assert cosines == pytest.approx(0.97, abs=2e-3)
