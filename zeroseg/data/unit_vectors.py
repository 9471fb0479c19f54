"""Vectors in memory by their cosines: each pair's, the nearest of some, their clusters. One thread does it: the
last bits of a product depend on how many there are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

ROUNDS = 20
"""Of k-means."""


def unit(rows: Float[ndarray, "row embed"]) -> Float[ndarray, "row embed"]:
    """The vectors in float32, of unit norm."""
    vectors = np.array(rows, np.float32, order="C")
    faiss.normalize_L2(vectors)
    return vectors


def cosines(
    rows: Float[ndarray, "row width"], others: Float[ndarray, "row width"]
) -> Float[ndarray, " row"]:
    """Cosine of each row and the other beside it, in float32, whatever rows are computed with it."""
    return (unit(rows) * unit(others)).sum(axis=1)


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


def spherical_means(
    vectors: Float[ndarray, "row width"], count: int, seed: int
) -> Float[ndarray, "cluster width"]:
    """Centres of unit norm of `count` clusters (spherical k-means on all vectors); some may be nearest to none."""
    means = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=ROUNDS,
        seed=seed,
        spherical=True,
        gpu=False,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    with one_thread():
        means.train(unit(vectors))
    return np.asarray(means.centroids)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have faiss compute in one thread meanwhile."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
