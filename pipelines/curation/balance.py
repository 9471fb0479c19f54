"""Fewer images of what there is much of: hierarchical k-means, and an even draw from its tree.

After Vo et al., "Automatic Data Curation for Self-Supervised Learning: A Clustering-Based Approach" (2024):
images are clustered, the clusters' centres are clustered again, and so on; then a number of images is
divided from the top down, so that the branches of each node get as much as each other as far as they have
it. Clusters of the images alone would be as many and as large as a motif is frequent.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from pipelines.curation.facts import Facts
from pipelines.curation.steps import Verdict, Verdicts
from zeroseg.data.block_tasks import InProcess, Share
from zeroseg.data.stored_rows import Rows, read_array, write_array
from zeroseg.data.unit_vectors import spherical_means
from zeroseg.data.vector_tasks import BLOCK, NearestOf
from zeroseg.store.storage import exists, join

IMAGES, BRANCHES = 32, 16
"""On average: of images in a leaf, and of a node's branches (ours; the paper takes about 20 of each)."""
SAMPLE = 1 << 18
"""Images at most that k-means is trained on; of more, drawn among them, all are assigned to its clusters."""


def balance(
    facts: Facts,
    left: Bool[ndarray, " sample"],
    count: int,
    seed: int,
    share: Share | None = None,
) -> Verdicts:
    """Images that are too many of their kind, so that `count` stay; none where no more are left."""
    chosen = np.flatnonzero(left)
    gone = np.ones(len(chosen), bool)
    gone[drawn(facts.rows, count, seed, chosen, share)] = False
    return dict.fromkeys(chosen[gone].tolist(), Verdict("balance"))


def drawn(
    rows: Rows,
    count: int,
    seed: int,
    members: Int[ndarray, " member"] | None = None,
    share: Share | None = None,
) -> Int[ndarray, " drawn"]:
    """Which `count` of the members are drawn, all of them where there are no more, in rising order.

    `members` are the rows that are there to be drawn, every one unless it says which; what is drawn are
    places among them.
    """
    members = np.arange(len(rows)) if members is None else members
    if count >= len(members):
        return np.arange(len(members))
    parents = tree(rows, seed, members, share)
    sizes = [np.ones(len(members), np.int64)]
    for parent in parents:
        sizes.append(np.bincount(parent, weights=sizes[-1], minlength=parent.max() + 1).astype(int))
    quotas = shares(sizes[-1], count)
    for parent, size in zip(parents[:0:-1], sizes[-2:0:-1], strict=True):
        quotas = _divided(parent, size, quotas)
    leaf, rng = parents[0], np.random.default_rng(seed)
    order = rng.permutation(len(members))
    order = order[np.argsort(leaf[order], kind="stable")]
    starts = np.cumsum(sizes[1]) - sizes[1]
    place = np.arange(len(members)) - starts[leaf[order]]
    return np.sort(order[place < quotas[leaf[order]]])


def tree(
    rows: Rows,
    seed: int,
    members: Int[ndarray, " member"] | None = None,
    share: Share | None = None,
) -> list[Int[ndarray, " node"]]:
    """The cluster of each member, then the cluster of each of those, up to the top; at least one level."""
    share, parents = share or InProcess(), []
    members = np.arange(len(rows)) if members is None else members
    clusters = max(1, min(len(members), SAMPLE) // IMAGES)
    while not parents or clusters > 1:
        means = _kept(share, partial(_means, rows, members, clusters, seed))
        task = NearestOf(others=means, asked=members, least=-2.0, size=BLOCK)
        found = np.concatenate([part["other"] for part in share(task, rows)])
        used, parent = np.unique(found, return_inverse=True)
        parents.append(parent.reshape(-1))
        rows, members, share = means[used], np.arange(len(used)), InProcess()
        clusters //= BRANCHES
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


def _means(
    rows: Rows, members: Int[ndarray, " member"], clusters: int, seed: int
) -> Float[ndarray, "cluster embed"]:
    """Centres of clusters of the members, or of so many of them as k-means is trained on."""
    if len(members) > SAMPLE:
        rng = np.random.default_rng(seed)
        members = np.sort(rng.choice(members, SAMPLE, replace=False, shuffle=False))
    return spherical_means(rows[members], clusters, seed)


def _kept(share: Share, find: Callable[[], ndarray]) -> ndarray:
    """An array that is found once, however often the work is stopped."""
    path = join(share.root, share.place("means") + ".npy")
    if not exists(path):
        write_array(path, find())
    return read_array(path)
