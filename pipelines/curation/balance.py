"""Fewer images of what there is much of: hierarchical k-means, and an even draw from its tree.

After Vo et al., "Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach" (2024):
images are clustered, the clusters' centres are clustered again, and so on; then a number of images is
divided from the top down, so that the branches of each node get as much as each other as far as they have
it. Clusters of the images alone would be as many and as large as a motif is frequent.
"""

from collections.abc import Sequence

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from pipelines.curation.facts import Facts
from pipelines.curation.steps import Verdict, Verdicts
from zeroseg.data.near_pairs import BLOCK, one_thread, unit

IMAGES, BRANCHES = 32, 16
"""On average: of images in a leaf, and of a node's branches (ours; the paper takes about 20 of each)."""
ROUNDS = 20
"""Of k-means."""
TRAINED_ON = 256
"""Vectors for each cluster that k-means sees at most."""


def balance(facts: Facts, left: Bool[ndarray, " sample"], count: int, seed: int) -> Verdicts:
    """Images that are too many of their kind, so that `count` stay; none where no more are left."""
    chosen = np.flatnonzero(left)
    stay = drawn(facts.rows[chosen], count, seed)
    gone = np.setdiff1d(np.arange(len(chosen)), stay)
    return {int(chosen[number]): Verdict("balance") for number in gone}


def drawn(rows: Float[ndarray, "row embed"], count: int, seed: int) -> Int[ndarray, " drawn"]:
    """Numbers of `count` of some vectors, all of them where there are no more, in rising order."""
    if count >= len(rows):
        return np.arange(len(rows))
    parents = tree(rows, seed)
    sizes = [np.ones(len(rows), np.int64)]
    for parent in parents:
        sizes.append(np.bincount(parent, weights=sizes[-1], minlength=parent.max() + 1).astype(int))
    quotas = shares(sizes[-1], count)
    for parent, size in zip(parents[:0:-1], sizes[-2:0:-1], strict=True):
        quotas = _divided(parent, size, quotas)
    leaf, rng = parents[0], np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    order = order[np.argsort(leaf[order], kind="stable")]
    starts = np.cumsum(sizes[1]) - sizes[1]
    place = np.arange(len(rows)) - starts[leaf[order]]
    return np.sort(order[place < quotas[leaf[order]]])


def tree(rows: Float[ndarray, "row embed"], seed: int) -> list[Int[ndarray, " node"]]:
    """The cluster of each vector, then the cluster of each of those, up to the top; at least one level."""
    parents, vectors, clusters = [], unit(rows), max(1, len(rows) // IMAGES)
    with one_thread():
        while not parents or clusters > 1:
            means, parent = _clustered(vectors, clusters, seed)
            parents.append(parent)
            vectors, clusters = means, clusters // BRANCHES
    return parents


def shares(sizes: Int[ndarray, " branch"], total: int) -> Int[ndarray, " branch"]:
    """How much each branch gives of a total: all the same, or all it has where that is less.

    What does not go even is the first ones'. `total` is at most what all have.
    """
    given, rest = np.zeros_like(sizes), total
    while rest:
        room = np.flatnonzero(given < sizes)
        if len(room) > rest:
            given[room[:rest]] += 1
            break
        more = np.minimum(sizes[room] - given[room], rest // len(room))
        given[room] += more
        rest -= int(more.sum())
    return given


def _divided(
    parent: Int[ndarray, " node"], sizes: Int[ndarray, " node"], quotas: Int[ndarray, " above"]
) -> Int[ndarray, " node"]:
    """What each node gives of what the one above it gives."""
    given = np.zeros_like(sizes)
    order, ends = np.argsort(parent, kind="stable"), np.cumsum(np.bincount(parent))
    for branches, quota in zip(np.split(order, ends[:-1]), quotas.tolist(), strict=True):
        given[branches] = shares(sizes[branches], quota)
    return given


def _clustered(
    vectors: Float[ndarray, "row embed"], clusters: int, seed: int
) -> tuple[Float[ndarray, "cluster embed"], Int[ndarray, " row"]]:
    """Centres of unit norm, and the cluster of each vector; none is empty."""
    options = {"min_points_per_centroid": 1, "max_points_per_centroid": TRAINED_ON}
    means = faiss.Kmeans(
        vectors.shape[1], clusters, niter=ROUNDS, seed=seed, spherical=True, gpu=False, **options
    )
    means.train(vectors)
    found: Sequence[ndarray] = [
        means.index.search(vectors[first : first + BLOCK], 1)[1][:, 0]
        for first in range(0, len(vectors), BLOCK)
    ]
    used, parent = np.unique(np.concatenate(found), return_inverse=True)
    return np.asarray(means.centroids)[used], parent.reshape(-1)
