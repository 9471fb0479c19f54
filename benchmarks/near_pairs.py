"""Near pairs among many embeddings: what `zeroseg curate` finds by clusters, beside a comparison of all.

    uv run python -m benchmarks.near_pairs --count 100000

Vectors lie about some directions; a tenth of them are copies of others, at cosines that are drawn evenly. Both
ways run in one thread of one process, one after the other; time is the processor's.
"""

import resource
import time
from dataclasses import dataclass

import faiss
import numpy as np
import tyro
from jaxtyping import Float, Int
from numpy import ndarray

from zeroseg.data.near_pairs import BLOCK, near_groups, one_thread, unit


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How many vectors, and what is near."""

    count: int = 100_000
    dimensions: int = 256
    directions: int = 1000
    cosine: float = 0.93
    """From which two are near; copies have it at the least, and 0.999 at the most."""
    seed: int = 0


def vectors(config: BenchmarkConfig) -> Float[ndarray, "row embed"]:
    """Unit vectors about directions, the last tenth of them copies of the first."""
    rng, width = np.random.default_rng(config.seed), config.dimensions
    copies = config.count // 10
    directions = unit(rng.standard_normal((config.directions, width)))
    about = directions[rng.integers(config.directions, size=config.count - copies)]
    rows = unit(about + unit(rng.standard_normal((len(about), width))))
    originals, noise = rows[:copies], rng.standard_normal((copies, width)).astype(np.float32)
    across = unit(noise - (noise * originals).sum(axis=1, keepdims=True) * originals)
    cosines = rng.uniform(config.cosine + 1e-4, 0.999, (copies, 1)).astype(np.float32)
    return np.concatenate([rows, cosines * originals + np.sqrt(1 - cosines**2) * across])


def all_pairs(rows: Float[ndarray, "row embed"], least: float) -> Int[ndarray, "pair 2"]:
    """Every pair that is near, by faiss's brute force."""
    index, pairs = faiss.IndexFlatIP(rows.shape[1]), []
    index.add(rows)
    for first in range(0, len(rows), BLOCK):
        limits, _, numbers = index.range_search(rows[first : first + BLOCK], least)
        asked = first + np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64)))
        pairs.append(np.stack([asked, numbers], axis=1)[numbers > asked])
    return np.concatenate(pairs)


def main(config: BenchmarkConfig) -> None:
    """Find them both ways, and print what is found, the time and the memory."""
    rows = vectors(config)
    began = time.process_time()
    best = near_groups(rows, config.cosine, np.arange(len(rows)))
    by_clusters = time.process_time() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.process_time()
    with one_thread():
        pairs = all_pairs(rows, config.cosine)
    by_all = time.process_time() - began
    together = best[pairs[:, 0]] == best[pairs[:, 1]]
    groups, sizes = np.unique(best, return_counts=True)
    joined = len(rows) - len(groups)
    print(f"{len(rows)} vectors of {config.dimensions} dimensions, near from {config.cosine}")
    print(f"pairs by comparing all: {len(pairs)}; of these in one group: {together.mean():.4f}")
    print(f"vectors that go: {joined} of {len(rows) // 10} copies; largest group {sizes.max()}")
    print(f"processor seconds: {by_clusters:.1f} by clusters, {by_all:.1f} by comparing all")
    print(
        f"that is {by_all / by_clusters:.1f} times; the process held {megabytes:.0f} MB at its peak by then"
    )


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
