"""Near pairs among many vectors, which need not fit in memory, and the groups that they make.

Up to `EXACT` vectors every pair is compared. Of more, each vector is compared with those in the clusters
nearest to it, of an index whose pieces are files (`zeroseg.data.sharded_index`). An index rounds what it
stores: it names candidates, from `MARGIN` below, and the cosine of the vectors themselves decides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zeroseg.data import sharded_index
from zeroseg.data.block_tasks import InProcess, Share, block_of, blocks_of
from zeroseg.data.sharded_index import ShardedIndex, one_thread, sampled, unit, write_piece
from zeroseg.data.stored_rows import Rows

NEAREST = 32
"""Neighbours that one search gives, the vector itself among them."""
BLOCK = 65_536
"""Vectors of one block: of one file of pairs."""
AT_ONCE = 4096
"""Vectors in memory at a time while they are compared."""
PIECE = 1 << 20
"""Vectors in one piece of an index."""
TRAINED = "trained.faiss"
"""An index without vectors, which has the clusters of all pieces."""
MARGIN = 1e-3
"""What float16 may take from a cosine of unit vectors is half of it: 2^-11 of each product."""


@dataclass(frozen=True, kw_only=True)
class IndexPieces:
    """Writes the pieces of an index, each a block. Gives nothing."""

    members: Int[ndarray, " member"]
    """Which rows are in the index, in its order."""
    place: str
    """Folder of the empty index, `TRAINED`, and of the pieces."""
    size: int
    """Vectors of a piece."""

    @property
    def blocks(self) -> int:
        """Pieces."""
        return blocks_of(len(self.members), self.size)

    def begin(self, rows: Rows, root: str) -> Callable[[int], ndarray]:
        """Read the empty index."""
        folder = Path(root, self.place)
        trained = faiss.read_index(str(folder / TRAINED))

        def write(block: int) -> ndarray:
            members = self.members[block_of(block, self.size)]
            parts = (members[i : i + AT_ONCE] for i in range(0, len(members), AT_ONCE))
            fresh = folder / f"{block}.new"
            write_piece(fresh, trained, (rows[part] for part in parts))
            fresh.replace(folder / piece(block))
            return np.empty(0, np.int64)

        return write


@dataclass(frozen=True, kw_only=True)
class NearPairs:
    """Finds pairs of near vectors: those that are asked, beside those that may be found.

    Numbers are places among the members. A pair of a vector with itself says that it is crowded: more may
    be near it than one search gives.
    """

    members: Int[ndarray, " member"]
    """Which rows are compared at all."""
    asked: Int[ndarray, " asked"]
    among: Bool[ndarray, " member"]
    least: float
    index: str
    """Folder of the pieces of an index of the members; empty: all are compared."""
    pieces: int
    nearest: int
    size: int
    """Vectors of a block."""

    @property
    def blocks(self) -> int:
        """Blocks of vectors that are asked."""
        return blocks_of(len(self.asked), self.size)

    def begin(self, rows: Rows, root: str) -> Callable[[int], Int[ndarray, "pair 2"]]:
        """Open the index, or make one of the few that may be found."""
        search = self._search(rows, root)

        def find(block: int) -> Int[ndarray, "pair 2"]:
            asked = self.asked[block_of(block, self.size)]
            parts = [asked[i : i + AT_ONCE] for i in range(0, len(asked), AT_ONCE)]
            return np.concatenate([self._near(rows, part, search) for part in parts])

        return find

    def _search(self, rows: Rows, root: str) -> Callable[[ndarray], tuple[ndarray, ndarray]]:
        if self.index:
            index = ShardedIndex([Path(root, self.index, piece(n)) for n in range(self.pieces)])
            among = None if self.among.all() else np.array(self.among)
            return lambda vectors: index.search(vectors, self.nearest, among)
        places = np.flatnonzero(self.among)
        flat = FlatIndex(rows[self.members[places]])

        def search(vectors: ndarray) -> tuple[ndarray, ndarray]:
            cosines, found = flat.search(vectors, self.nearest)
            return cosines, np.where(found >= 0, places[found], -1)

        return search

    def _near(
        self,
        rows: Rows,
        asked: Int[ndarray, " asked"],
        search: Callable[[ndarray], tuple[ndarray, ndarray]],
    ) -> Int[ndarray, "pair 2"]:
        vectors = rows[self.members[asked]]
        found, numbers = search(vectors)
        may_be = (found >= self.least - MARGIN) & (numbers >= 0)
        crowded = asked[may_be.all(axis=1)]
        may_be &= numbers != asked[:, None]
        where, place = np.nonzero(may_be)
        others = numbers[where, place]
        near = cosines(vectors[where], rows[self.members[others]]) >= self.least
        pairs = np.stack([asked[where[near]], others[near]], axis=1)
        return np.concatenate([pairs, np.stack([crowded, crowded], axis=1)]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class PairCosines:
    """Computes the cosines of pairs of rows."""

    pairs: Int[ndarray, "pair 2"]
    size: int

    @property
    def blocks(self) -> int:
        """Blocks of pairs."""
        return blocks_of(len(self.pairs), self.size)

    def begin(self, rows: Rows, root: str) -> Callable[[int], Float[ndarray, " pair"]]:
        """Nothing to open."""

        def find(block: int) -> Float[ndarray, " pair"]:
            pairs = self.pairs[block_of(block, self.size)]
            parts = [pairs[i : i + AT_ONCE] for i in range(0, len(pairs), AT_ONCE)]
            return np.concatenate([cosines(rows[part[:, 0]], rows[part[:, 1]]) for part in parts])

        return find


@dataclass(frozen=True, kw_only=True)
class NearestOf:
    """Finds rows that are near one of some other vectors, which fit in memory."""

    others: Float[ndarray, "other width"]
    asked: Int[ndarray, " asked"]
    least: float
    size: int

    @property
    def blocks(self) -> int:
        """Blocks of rows that are asked."""
        return blocks_of(len(self.asked), self.size)

    def begin(self, rows: Rows, root: str) -> Callable[[int], ndarray]:
        """Make an index of the others."""
        index, kind = FlatIndex(self.others), [("row", "i8"), ("other", "i8"), ("cosine", "f4")]

        def find(block: int) -> ndarray:
            asked, parts = self.asked[block_of(block, self.size)], []
            for first in range(0, len(asked), AT_ONCE):
                some = asked[first : first + AT_ONCE]
                vectors = rows[some]
                other = index.search(vectors, 1)[1][:, 0]
                found = np.empty(len(some), kind)
                found["row"], found["other"] = some, other
                found["cosine"] = cosines(vectors, self.others[other])
                parts.append(found[found["cosine"] >= self.least])
            return np.concatenate(parts)

        return find


class FlatIndex:
    """Finds the nearest of vectors that fit in memory in float32, by comparing all."""

    def __init__(self, vectors: Float[ndarray, "row width"]) -> None:
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(unit(vectors))

    def search(
        self, vectors: Float[ndarray, "asked width"], count: int
    ) -> tuple[Float[ndarray, "asked nearest"], Int[ndarray, "asked nearest"]]:
        """Cosines and numbers of the `count` nearest of each vector, the nearest first; -1 for none."""
        with one_thread():
            return self.index.search(unit(vectors), count)


def near_groups(
    rows: Rows,
    least: float,
    rank: Int[ndarray, " member"],
    members: Int[ndarray, " member"] | None = None,
    share: Share | None = None,
) -> Int[ndarray, " member"]:
    """For each member the best of its group; its own place where it is that, or alone.

    `members` are the rows that are compared, every one unless it says which; places are among them. Two are
    in one group where their cosine is `least` or more, directly or through others; best is whose `rank`, all
    different, is lowest. Where more are near a vector than one search gives, the best of what was found are
    searched again, so that no flood of copies takes the square of its size. `share` does the blocks.
    """
    share = share or InProcess()
    members = np.arange(len(rows)) if members is None else members
    index = _index(rows, members, share) if len(members) > sharded_index.EXACT else ""
    best, asked = np.arange(len(members)), np.arange(len(members))
    while len(asked):
        among = best == np.arange(len(members))
        few = among.sum() <= sharded_index.EXACT
        task = NearPairs(
            members=members,
            asked=asked,
            among=among,
            least=least,
            index="" if few else index,
            pieces=blocks_of(len(members), PIECE),
            nearest=NEAREST,
            size=BLOCK,
        )
        before, crowded = best, []
        for pairs in _gathered(share(task, rows), len(members)):
            alone = pairs[:, 0] == pairs[:, 1]
            crowded.append(pairs[alone, 0])
            best = _joined(best, pairs[~alone], rank)
        if (best == before).all():
            break
        asked = np.unique(best[np.concatenate(crowded)])
    for number in range(blocks_of(len(members), PIECE) if index else 0):
        Path(share.root, index, piece(number)).unlink(missing_ok=True)
    return best


def cosines(
    rows: Float[ndarray, "row width"], others: Float[ndarray, "row width"]
) -> Float[ndarray, " row"]:
    """Cosine of each row and the other beside it, in float32, whatever rows are computed with it."""
    return (unit(rows) * unit(others)).sum(axis=1)


def piece(number: int) -> str:
    """File name of a piece of an index."""
    return f"{number:05d}.faiss"


def _index(rows: Rows, members: Int[ndarray, " member"], share: Share) -> str:
    """The folder of an index of some rows, written."""
    place = share.place("index")
    trained = Path(share.root, place, TRAINED)
    if not trained.exists():
        trained.parent.mkdir(parents=True, exist_ok=True)
        fresh, total = trained.with_suffix(".new"), len(members)
        sample = rows[members[sampled(total)]]
        faiss.write_index(sharded_index.train(sample, total, "fp16"), str(fresh))
        fresh.replace(trained)
    for _ in share(IndexPieces(members=members, place=place, size=PIECE), rows):
        pass
    return place


def _gathered(
    parts: Iterator[Int[ndarray, "pair 2"]], most: int
) -> Iterator[Int[ndarray, "pair 2"]]:
    """The same pairs in fewer parts, each of at least `most` but the last: joining costs that much."""
    held, count = [], 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= most:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)


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
