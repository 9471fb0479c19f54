"""Nearest neighbours among more vectors than fit in memory: a faiss index in pieces, each a file.

All pieces are of one trained index: of up to `EXACT` vectors a flat one, which compares all; of more an
inverted file, which compares a vector with those in the clusters nearest to it (k-means). Pieces are mapped
into memory, not read: a search reads the clusters that it compares with. One thread does it: the last bits
of a product depend on how many there are.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from zeroseg.data.unit_vectors import one_thread, unit
from zeroseg.errors import InputError

EXACT = 20_000
"""Most vectors of a flat index."""
PROBED = 8
"""Clusters that a vector is compared with: the nearest ones."""
TRAINED_ON = 64
"""Vectors for each cluster that the index is trained on."""
FEWEST = 16_384
"""Vectors that it is trained on at least, where there are as many: 64 for each value of a PQ code."""
BLOCK = 4096
"""Vectors of one search of the clusters, and of one addition."""
SEED = 0
"""Of what it is trained on, and of the clusters."""

Kind = Literal["fp16", "int8", "pq"]
"""How a vector is stored: two bytes a dimension, one, or one for every eight (product quantisation)."""

Found = tuple[Float[ndarray, "row nearest"], Int[ndarray, "row nearest"]]
"""Cosines, and the numbers of the vectors."""


def sampled(total: int) -> Int[ndarray, " sample"]:
    """Which of `total` vectors an index of them is trained on, in their order."""
    count = 1 if total <= EXACT else max(TRAINED_ON * _clusters(total), FEWEST)
    chosen = np.random.default_rng(SEED).choice(total, min(count, total), False, shuffle=False)
    return np.sort(chosen)


def train(sample: Float[ndarray, "sample embed"], total: int, kind: Kind) -> faiss.Index:
    """An empty index for `total` vectors, trained on those that `sampled` names.

    Up to `EXACT` it is flat and in float16, whatever the kind. Vectors need not be of unit norm. K-means is
    on the GPUs where faiss finds some, and its clusters are others there.
    """
    dimensions, product = sample.shape[1], faiss.METRIC_INNER_PRODUCT
    scalar = faiss.ScalarQuantizer.QT_8bit if kind == "int8" else faiss.ScalarQuantizer.QT_fp16
    if total <= EXACT:
        index = faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_fp16, product)
        index.train(unit(sample))
        return index
    flat = faiss.IndexFlatIP(dimensions)
    clusters = _clusters(total)
    if kind == "pq":
        codes = _codes(dimensions)
        index = faiss.IndexIVFPQ(flat, dimensions, clusters, codes, 8, product)
        index.pq.cp.seed = SEED
    else:
        index = faiss.IndexIVFScalarQuantizer(flat, dimensions, clusters, scalar, product, False)
    index.cp.seed = SEED
    if _gpus():
        index.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dimensions))
    with one_thread():
        index.train(unit(sample))
    return index


def write_piece(path: Path, trained: Any, blocks: Iterable[Float[ndarray, "_ embed"]]) -> None:
    """Write a piece of some vectors, which is in memory meanwhile. They need not be of unit norm.

    The same blocks give the same bytes. Where they are assigned to clusters by GPUs, one that is as near to
    two may be in the other.
    """
    piece: Any = faiss.clone_index(trained)
    on_gpus = _gpus() and isinstance(piece, faiss.IndexIVF)
    nearest = faiss.index_cpu_to_all_gpus(trained.quantizer) if on_gpus else None
    with one_thread():
        for block in blocks:
            for first in range(0, len(block), BLOCK):
                vectors = unit(block[first : first + BLOCK])
                if nearest is None:
                    piece.add(vectors)
                    continue
                _, clusters = nearest.search(vectors, 1)
                rows, of = map(faiss.swig_ptr, (vectors, clusters))
                piece.add_core(len(vectors), rows, None, of)
    faiss.write_index(piece, str(path))


class ShardedIndex:
    """Finds the nearest vectors by their cosines, as far as they are stored; numbers go through all pieces."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Opens pieces of one trained index. Raises InputError when one is none, or of another index."""
        self.pieces = [_opened(path) for path in paths]
        self.starts = np.cumsum([0, *(piece.ntotal for piece in self.pieces)])
        self.inverted = isinstance(self.pieces[0], faiss.IndexIVF)
        for path, piece in zip(paths, self.pieces, strict=True):
            if _kind(piece) != _kind(self.pieces[0]):
                raise InputError(
                    f"{path} is of another index than {paths[0]}: build the index again"
                )
            if self.inverted:
                _share_quantizer(piece, self.pieces[0])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def search(
        self,
        vectors: Float[ndarray, "row embed"],
        count: int,
        among: Bool[ndarray, " stored"] | None = None,
        probes: int = PROBED,
    ) -> Found:
        """Cosines and numbers of the `count` nearest of each vector, the nearest first; -1 for none.

        `among` says which of all may be found; none is every one. Of equal cosines the lowest number is
        first; which of them are found, where more are than `count`, depends on the pieces.
        """
        found = (np.empty((len(vectors), count), np.float32), np.empty((len(vectors), count), int))
        with one_thread():
            for first in range(0, len(vectors), BLOCK):
                rows = slice(first, first + BLOCK)
                found[0][rows], found[1][rows] = self._nearest(
                    unit(vectors[rows]), count, among, probes
                )
        return found

    def _nearest(
        self,
        vectors: Float[ndarray, "row embed"],
        count: int,
        among: Bool[ndarray, " stored"] | None,
        probes: int,
    ) -> Found:
        clusters = np.empty((0, 0), int), np.empty((0, 0), np.float32)
        if self.inverted:
            probes = min(probes, self.pieces[0].nlist)
            clusters = self.pieces[0].quantizer.search(vectors, probes)[::-1]
        best = (
            np.full((len(vectors), count), -np.inf, np.float32),
            np.full((len(vectors), count), -1),
        )
        for piece, first, end in zip(self.pieces, self.starts, self.starts[1:], strict=False):
            parts = None if among is None else among[first:end]
            if end == first or (parts is not None and not parts.any()):
                continue
            if self.inverted:
                found = _in_clusters(piece, vectors, count, clusters, parts)
            else:
                parameters = faiss.SearchParameters(**_only(parts))
                found = piece.search(vectors, count, params=parameters)
            numbers = np.where(found[1] >= 0, found[1] + first, -1)
            best = _merged(best, (found[0], numbers), count)
        return best


def _clusters(total: int) -> int:
    return round(total**0.5)


def _codes(dimensions: int) -> int:
    """Bytes of a PQ code: one for every eight dimensions or, where that does not divide them, fewer."""
    return next(n for n in range(max(1, dimensions // 8), 0, -1) if dimensions % n == 0)


def _gpus() -> int:
    """GPUs that faiss can use; none without the package faiss-gpu."""
    return faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0


def _opened(path: Path) -> Any:
    """A piece, its lists mapped into memory. Raises InputError when it is not there, or cut short."""
    try:
        piece: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    except RuntimeError as error:
        why = str(error).rpartition("Error: ")[2]
        raise InputError(
            f"{path} is no piece of an index ({why}): build the index again"
        ) from error
    if isinstance(piece, faiss.IndexIVF):
        # Each search would read all its lists once more, in 32 threads, to warm the disk's cache.
        lists: Any = faiss.downcast_InvertedLists(piece.invlists)  # pyrefly: ignore
        lists.prefetch_nthread = 0
    return piece


def _kind(piece: Any) -> tuple[Any, ...]:
    return type(piece), piece.d, piece.nlist if isinstance(piece, faiss.IndexIVF) else 0


def _share_quantizer(piece: Any, first: Any) -> None:
    """Have a piece use the first one's clusters, so that they are in memory once."""
    if piece is first:
        return
    own = piece.quantizer
    piece.own_fields, piece.quantizer = False, first.quantizer
    own.__swig_destroy__(own)  # to have it own itself leaves faiss's later objects without class


def _only(among: Bool[ndarray, " stored"] | None) -> dict[str, faiss.IDSelector]:
    """faiss's option to find only some."""
    if among is None:
        return {}
    bits: Any = np.packbits(among, bitorder="little")
    return {"sel": faiss.IDSelectorBitmap(bits)}  # pyrefly: ignore


def _in_clusters(
    piece: Any,
    vectors: Float[ndarray, "row embed"],
    count: int,
    clusters: tuple[Int[ndarray, "row probe"], Float[ndarray, "row probe"]],
    among: Bool[ndarray, " stored"] | None,
) -> Found:
    """The nearest of a piece, in the clusters that are given for each vector with their products."""
    parameters = faiss.SearchParametersIVF(**_only(among), nprobe=clusters[0].shape[1])  # pyrefly: ignore
    found = np.empty((len(vectors), count), np.float32), np.empty((len(vectors), count), np.int64)
    rows, *places = map(faiss.swig_ptr, (vectors, *clusters, *found))
    piece.search_preassigned_c(len(vectors), rows, count, *places, False, parameters)
    return found


def _merged(one: Found, other: Found, count: int) -> Found:
    """The `count` best of both, those of no number last."""
    cosines, numbers = (np.concatenate(parts, axis=1) for parts in zip(one, other, strict=True))
    cosines[numbers < 0] = -np.inf
    order = np.lexsort((numbers, -cosines))[:, :count]
    return np.take_along_axis(cosines, order, 1), np.take_along_axis(numbers, order, 1)
