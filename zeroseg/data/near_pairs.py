"""Near neighbours among many embeddings, by faiss: duplicates of each other, and of others.

Up to `EXACT` vectors every pair is compared. Of more, each vector is compared with those in the clusters
nearest to it, of a k-means of them all (faiss's inverted file). One thread does it: the last bits of a
product depend on how many there are.
"""

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zeroseg.data.sharded_index import one_thread, unit

EXACT = 20_000
"""Most vectors that are all compared with each other."""
PROBED = 8
"""Clusters that a vector is compared with: its own and the nearest others."""
TRAINED_ON = 64
"""Vectors for each cluster that k-means is trained on."""
NEAREST = 32
"""Neighbours that one search gives, the vector itself among them."""
BLOCK = 4096
"""Vectors of one search."""
SEED = 0
"""Of the clusters."""


class NearestIndex:
    """Finds the nearest of many vectors, which need not be of unit norm and may be of float16."""

    def __init__(self, rows: Float[ndarray, "row embed"]) -> None:
        count, dimensions = rows.shape
        self.index = faiss.IndexFlatIP(dimensions)
        if count > EXACT:
            clusters = round(count**0.5)
            product = faiss.METRIC_INNER_PRODUCT
            self.index = faiss.IndexIVFFlat(self.index, dimensions, clusters, product)
            self.index.cp.seed = SEED
            sample = np.random.default_rng(SEED).permutation(count)[: TRAINED_ON * clusters]
            self.index.train(unit(rows[np.sort(sample)]))
        for first in range(0, count, BLOCK):
            self.index.add(unit(rows[first : first + BLOCK]))

    def search(
        self,
        vectors: Float[ndarray, "row embed"],
        count: int,
        among: Bool[ndarray, " stored"] | None = None,
    ) -> tuple[Float[ndarray, "row nearest"], Int[ndarray, "row nearest"]]:
        """Cosines and numbers of the `count` nearest of each vector, the nearest first; -1 for none.

        `among` says which of all may be found; none is every one.
        """
        options = {}
        if among is not None:
            bits = np.packbits(among, bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(len(among), faiss.swig_ptr(bits))
        if isinstance(self.index, faiss.IndexIVF):
            parameters = faiss.SearchParametersIVF(**options, nprobe=PROBED)  # pyrefly: ignore
        else:
            parameters = faiss.SearchParameters(**options)
        return self.index.search(unit(vectors), count, params=parameters)


def near_groups(
    rows: Float[ndarray, "row embed"], least: float, rank: Int[ndarray, " row"]
) -> Int[ndarray, " row"]:
    """For each vector the best of its group; its own number where it is that, or alone.

    Vectors are in one group where their cosine is `least` or more, directly or through others; best is
    whose `rank`, all different, is lowest. Where more are near a vector than one search gives, the best of
    what was found are searched again, so that no flood of copies takes the square of its size.
    """
    best, asked = np.arange(len(rows)), np.arange(len(rows))
    with one_thread():
        index = NearestIndex(rows)
        while len(asked):
            pairs, crowded = _near(index, rows, asked, best == np.arange(len(rows)), least)
            before, best = best, _joined(best, pairs, rank)
            if (best == before).all():
                break
            asked = np.unique(best[crowded])
    return best


def nearest(
    rows: Float[ndarray, "row embed"], others: Float[ndarray, "other embed"]
) -> tuple[Float[ndarray, " other"], Int[ndarray, " other"]]:
    """Cosine and number of the vector nearest to each of some others."""
    with one_thread():
        index = NearestIndex(rows)
        found = [index.search(others[i : i + BLOCK], 1) for i in range(0, len(others), BLOCK)]
    cosines, numbers = (np.concatenate(parts)[:, 0] for parts in zip(*found, strict=True))
    return cosines, numbers


def _near(
    index: NearestIndex,
    rows: Float[ndarray, "row embed"],
    asked: Int[ndarray, " asked"],
    among: Bool[ndarray, " row"],
    least: float,
) -> tuple[Int[ndarray, "pair 2"], Int[ndarray, " crowded"]]:
    """Pairs of vectors that are near, and those that may have more neighbours than were found."""
    pairs, crowded = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    only = None if among.all() else among
    for first in range(0, len(asked), BLOCK):
        block = asked[first : first + BLOCK]
        cosines, numbers = index.search(rows[block], NEAREST, only)
        near = (cosines >= least) & (numbers >= 0)
        crowded.append(block[near.all(axis=1)])
        near &= numbers != block[:, None]
        where, place = np.nonzero(near)
        pairs.append(np.stack([block[where], numbers[where, place]], axis=1))
    return np.concatenate(pairs), np.concatenate(crowded)


def _joined(
    best: Int[ndarray, " row"], pairs: Int[ndarray, "pair 2"], rank: Int[ndarray, " row"]
) -> Int[ndarray, " row"]:
    """The best of each group, once those of every pair are one."""
    count = len(best)
    ends = np.concatenate([pairs, np.stack([np.arange(count), best], axis=1)])
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (count, count))
    _, group = connected_components(graph, directed=False)
    order = np.lexsort((rank, group))
    firsts = np.unique(group[order], return_index=True)[1]
    return order[firsts][group]
