"""Groups of near copies among vectors: against all pairs, through clusters, in floods."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroseg.data import near_pairs, sharded_index, vector_tasks
from zeroseg.data.block_tasks import InProcess
from zeroseg.data.near_pairs import near_groups
from zeroseg.data.stored_rows import StoredRows, write_array
from zeroseg.data.unit_vectors import cosines, unit
from zeroseg.data.vector_tasks import NearestOf, PairCosines


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
    monkeypatch.setattr(sharded_index, "EXACT", 1000)
    found = near_groups(rows, 0.95, np.arange(len(rows)))
    assert (found == exact)[3000:].mean() >= 0.99
    assert found.tolist() == near_groups(rows, 0.95, np.arange(len(rows))).tolist()


@pytest.mark.parametrize("exact", [20_000, 100])
def test_a_flood_of_one_picture_leaves_one(monkeypatch, exact):
    monkeypatch.setattr(sharded_index, "EXACT", exact)
    monkeypatch.setattr(near_pairs, "NEAREST", 4)
    rows = np.ones((600, 8)) + 1e-3 * np.random.default_rng(0).standard_normal((600, 8))
    rows[::2, 0] = -1
    rank = np.arange(600)[::-1].copy()
    best = near_groups(rows, 0.99, rank)
    assert best.tolist() == [598, 599] * 300


@pytest.mark.parametrize("size", [7, 1000])
def test_the_nearest_of_others(size):
    rows, origin = planted(200, 50)
    task = NearestOf(others=rows[:200], asked=np.arange(200, 250), least=0.96, size=size)
    found = np.concatenate(list(InProcess()(task, rows)))
    assert found["row"].tolist() == list(range(200, 250))
    assert found["other"].tolist() == origin[200:].tolist()
    assert found["cosine"] == pytest.approx(0.97, abs=2e-3)
    assert found["cosine"].tolist() == cosines(rows[200:], rows[origin[200:]]).tolist()


@settings(max_examples=20)
@given(
    st.integers(1, 40), st.integers(1, 9), st.sampled_from([2, 3, 32]), st.integers(0, 2**32 - 1)
)
def test_blocks_of_any_size_give_the_same(count, size, nearest, seed):
    rng = np.random.default_rng(seed)
    rows = (rng.integers(-2, 3, (count, 3)) + 0.25).astype(np.float16)
    rank, pairs = rng.permutation(count), rng.integers(count, size=(count, 2))
    members = np.flatnonzero(rng.random(count) < 0.8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_pairs, "NEAREST", nearest)
        whole = near_groups(rows, 0.95, rank[members], members)
        alone = list(InProcess()(PairCosines(pairs=pairs, size=count), rows))
        patch.setattr(near_pairs, "BLOCK", size)
        patch.setattr(vector_tasks, "AT_ONCE", 2)
        in_blocks = near_groups(rows, 0.95, rank[members], members)
        parts = list(InProcess()(PairCosines(pairs=pairs, size=size), rows))
    assert np.concatenate(parts).tolist() == alone[0].tolist()
    assert whole.tolist() == in_blocks.tolist()


@pytest.mark.parametrize("exact", [20_000, 500])
def test_a_cosine_decides_whatever_an_index_rounds(monkeypatch, exact):
    monkeypatch.setattr(sharded_index, "EXACT", exact)
    rows, origin = planted(900, 100, dimensions=64)
    theirs = cosines(rows[900:], rows[origin[900:]])
    for least in map(float, np.sort(theirs)[::5]):  # as near as two of them may be to it
        best = near_groups(rows, least, np.arange(1000))
        assert ((best != np.arange(1000))[900:] == (theirs >= least)).all()


def test_rows_of_files_are_those_of_one_array_and_are_mapped(tmp_path):
    rows, counts = planted(90, 10)[0], (40, 0, 25, 35)
    urls = [str(tmp_path / f"{n}.npy") for n in range(4)]
    for url, part in zip(urls, np.split(rows, np.cumsum(counts)[:-1]), strict=True):
        write_array(url, part)
    stored = StoredRows("rows", urls, counts, rows.shape[1])
    numbers = np.random.default_rng(0).integers(100, size=333)
    assert stored.shape == rows.shape
    for some in (numbers, np.arange(100), np.arange(0)):
        assert stored[some].tobytes() == rows[some].tobytes()
    assert all(isinstance(stored._opened(url), np.memmap) for url in urls)
