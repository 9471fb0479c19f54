"""Near pairs among many embeddings: what `zeroseg curate` finds, and what it takes, beside a comparison of all.

    uv run python -m benchmarks.near_pairs
    uv run python -m benchmarks.near_pairs --vectors 1000000 --processes 2

Vectors lie about some directions; a tenth of them are copies of others, at cosines that are drawn evenly. They are
in files, as facts are, and each way is run in a process of its own, one after the other; those that compare all,
by scikit-learn and by faiss, up to `ALL` vectors. Time is the processors', of all processes of a way; memory the
most that any of them held, pages of mapped files among it.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import faiss
import numpy as np
import tyro
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.neighbors import NearestNeighbors

from pipelines.curation.rounds import Rounds
from zeroseg.data.near_pairs import near_groups
from zeroseg.data.stored_rows import StoredRows, write_array
from zeroseg.data.unit_vectors import one_thread, unit
from zeroseg.data.vector_tasks import AT_ONCE

ALL = 100_000
"""Most vectors that are all compared."""
SHARD = 10_000
"""Vectors of a file."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How many vectors, and what is near."""

    vectors: int = 100_000
    processes: int = 1
    """That compare, of one job."""
    dimensions: int = 256
    directions: int = 1000
    cosine: float = 0.93
    """From which two are near; copies have it at the least, and 0.999 at the most."""
    seed: int = 0

    @property
    def copies(self) -> int:
        """The last of the vectors, each of one of the first."""
        return self.vectors // 10


@dataclass(frozen=True)
class Cost:
    """What one way took."""

    seconds: float
    processor_seconds: float
    megabytes: float
    before: float
    """Megabytes that the process held when it began, of libraries."""


def vectors(config: BenchmarkConfig) -> Iterator[Float[ndarray, "row embed"]]:
    """Unit vectors about directions, file by file; the last tenth are copies of the first."""
    rng, width = np.random.default_rng(config.seed), config.dimensions
    directions = unit(rng.standard_normal((config.directions, width)))
    originals, plain = [], config.vectors - config.copies
    for first in range(0, plain, SHARD):
        about = directions[rng.integers(config.directions, size=min(SHARD, plain - first))]
        rows = unit(about + unit(rng.standard_normal(about.shape))).astype(np.float16)
        if first < config.copies:
            originals.append(rows[: config.copies - first])
        yield rows
    for of in originals:
        noise = rng.standard_normal(of.shape).astype(np.float32)
        across = unit(noise - (noise * of).sum(axis=1, keepdims=True) * of)
        cosines = rng.uniform(config.cosine + 1e-3, 0.999, (len(of), 1)).astype(np.float32)
        yield (cosines * unit(of) + np.sqrt(1 - cosines**2) * across).astype(np.float16)


def write(config: BenchmarkConfig, folder: str) -> StoredRows:
    """The vectors in files."""
    urls, counts = [], []
    for number, rows in enumerate(vectors(config)):
        urls.append(f"{folder}/{number:05d}.npy")
        counts.append(len(rows))
        write_array(urls[-1], rows)
    return StoredRows("rows", urls, counts, config.dimensions)


def by_blocks(config: BenchmarkConfig, rows: StoredRows, folder: str) -> Int[ndarray, " row"]:
    """The best of each vector's group, as `zeroseg curate` finds it."""
    workers = config.processes if config.processes > 1 else 0
    rounds = Rounds(folder, {"rows": rows}, workers=workers)
    return near_groups(rows, config.cosine, np.arange(len(rows)), share=rounds)


def by_faiss(config: BenchmarkConfig, rows: StoredRows, folder: str) -> Int[ndarray, "pair 2"]:
    """Every pair that is near, by faiss's brute force in one thread."""
    every = unit(rows[np.arange(len(rows))])
    index, pairs = faiss.IndexFlatIP(rows.width), []
    index.add(every)
    with one_thread():
        for first in range(0, len(every), AT_ONCE):
            limits, _, numbers = index.range_search(every[first : first + AT_ONCE], config.cosine)
            asked = first + np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64)))
            pairs.append(np.stack([asked, numbers], axis=1)[numbers > asked])
    return np.concatenate(pairs)


def by_scikit(config: BenchmarkConfig, rows: StoredRows, folder: str) -> Int[ndarray, "pair 2"]:
    """Every pair that is near, by scikit-learn's brute force: of unit vectors by their distance."""
    every = unit(rows[np.arange(len(rows))])
    radius = (2 - 2 * config.cosine) ** 0.5
    search = NearestNeighbors(radius=radius, algorithm="brute", n_jobs=1).fit(every)
    pairs = []
    for first in range(0, len(every), AT_ONCE):
        found = search.radius_neighbors(every[first : first + AT_ONCE], return_distance=False)
        asked = first + np.repeat(np.arange(len(found)), [len(numbers) for numbers in found])
        numbers = np.concatenate(found)
        pairs.append(np.stack([asked, numbers], axis=1)[numbers > asked])
    return np.concatenate(pairs)


Way = Callable[[BenchmarkConfig, StoredRows, str], ndarray]


def measured(
    way: Way, config: BenchmarkConfig, rows: StoredRows, folder: str
) -> tuple[ndarray, Cost]:
    """What one way finds, in a process of its own, and what it takes."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measure, way, config, rows, folder).result()


def _measure(
    way: Way, config: BenchmarkConfig, rows: StoredRows, folder: str
) -> tuple[ndarray, Cost]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, used = time.perf_counter(), time.process_time()
    found = way(config, rows, folder)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    held = max(own.ru_maxrss, others.ru_maxrss) / 1024
    return found, Cost(seconds, used + others.ru_utime + others.ru_stime, held, before)


def say(name: str, cost: Cost) -> None:
    """A line on what a way took."""
    print(
        f"{name}: {cost.seconds:.1f} s, {cost.processor_seconds:.1f} processor seconds, "
        f"{cost.megabytes:.0f} MB in the largest process, "
        f"{cost.before:.0f} of them before it began",
        flush=True,
    )


def main(config: BenchmarkConfig) -> None:
    """Find them each way, and print what is found, the time and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        rows = write(config, folder)
        print(f"{len(rows)} vectors of {rows.width} dimensions, near from {config.cosine}")
        best, cost = measured(by_blocks, config, rows, str(Path(folder, "selection")))
        say(f"curate, {config.processes} process(es)", cost)
        copies, first = config.copies, len(rows) - config.copies
        told = best[first:] == best[:copies]
        gone, sizes = len(rows) - len(np.unique(best)), np.unique(best, return_counts=True)[1]
        print(f"planted pairs in one group: {told.mean():.5f} of {copies}")
        print(f"vectors that go: {gone} of {copies} copies; largest group {sizes.max()}")
        if len(rows) > ALL:
            return
        for name, way in (("faiss, all pairs", by_faiss), ("scikit-learn, all pairs", by_scikit)):
            pairs, cost = measured(way, config, rows, folder)
            say(name, cost)
            together = best[pairs[:, 0]] == best[pairs[:, 1]]
            print(f"{len(pairs)} pairs; of these in one group of curate: {together.mean():.5f}")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
