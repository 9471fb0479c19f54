"""Tasks on vectors on disk, block by block: an index of them, near pairs, cosines of pairs, the nearest of others.

An index rounds what it stores: it names candidates, from `MARGIN` below, and the cosine of the vectors
themselves decides.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray

from zeroseg.data.block_tasks import blocks_of
from zeroseg.data.sharded_index import ShardedIndex, write_piece
from zeroseg.data.stored_rows import Rows
from zeroseg.data.unit_vectors import FlatIndex, cosines

BLOCK = 65_536
"""Vectors of one block: of one file of pairs."""
AT_ONCE = 4096
"""Vectors in memory at a time while they are compared."""
TRAINED = "trained.faiss"
"""An index without vectors, which has the clusters of all pieces."""
PIECE = "{:05d}.faiss"
"""One of those, by its number."""
MARGIN = 1e-3
"""What float16 may take from a cosine of unit vectors is half of it: 2^-11 of each product."""


@dataclass(frozen=True, kw_only=True)
class IndexPieces:
    """Writes the pieces of an index, each a block. Gives nothing."""

    members: Int[ndarray, " member"]
    """Which rows are in the index, in its order."""
    place: str
    """Folder of the empty index, `TRAINED`, and of the pieces, `PIECE`."""
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
            parts = _parts(self.members, block, self.size)
            fresh = folder / f"{block}.new"
            write_piece(fresh, trained, (rows[part] for part in parts))
            fresh.replace(folder / PIECE.format(block))
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
    pieces: Sequence[str]
    """Of an index of the members, their paths below the share's root; none: all are compared."""
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
            parts = _parts(self.asked, block, self.size)
            return np.concatenate([self._near(rows, part, search) for part in parts])

        return find

    def _search(self, rows: Rows, root: str) -> Callable[[ndarray], tuple[ndarray, ndarray]]:
        if self.pieces:
            index = ShardedIndex([Path(root, piece) for piece in self.pieces])
            among = None if self.among.all() else np.array(self.among)
            return lambda vectors: index.search(vectors, self.nearest, among)
        places = np.flatnonzero(self.among)
        flat = FlatIndex(rows[self.members[places]])

        def search(vectors: ndarray) -> tuple[ndarray, ndarray]:
            near, found = flat.search(vectors, self.nearest)
            return near, np.where(found >= 0, places[found], -1)

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
            parts = _parts(self.pairs, block, self.size)
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

        def near(asked: Int[ndarray, " asked"]) -> ndarray:
            vectors, found = rows[asked], np.empty(len(asked), kind)
            found["row"], found["other"] = asked, index.search(vectors, 1)[1][:, 0]
            found["cosine"] = cosines(vectors, self.others[found["other"]])
            return found[found["cosine"] >= self.least]

        def find(block: int) -> ndarray:
            return np.concatenate([near(part) for part in _parts(self.asked, block, self.size)])

        return find


def _parts(
    asked: Shaped[ndarray, "asked ..."], block: int, size: int
) -> Iterator[Shaped[ndarray, "part ..."]]:
    """What is asked of a block, so much as is in memory at a time."""
    end = min((block + 1) * size, len(asked))
    for first in range(block * size, end, AT_ONCE):
        yield asked[first : min(first + AT_ONCE, end)]
