"""How fair a draw a batch is, and what reading in that order costs.

    uv run python -m benchmarks.order --photos FOLDER

Classes: ImageNet-1k's 1,281,167 images with their numbers by class nearly so (895 classes have 1,300, which
is right; the other 105 have between 732 and 1,299, here all alike), sorted by class, in shards of 10,000. No
image is read. Each number is the mean over batches spread over an epoch; a uniform draw is as many draws.
Before there was a whole-epoch order, shards were permuted and samples shuffled among neighbours.

Speed: images a second of one process over a local set, in turn round after round, decoded and not, with the
set's files in the page cache and thrown out of it before each turn. What counts are the ratios of a round.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Int
from numpy import ndarray

from shards.build import Limits, build
from shards.folder import Folder
from zeroseg.data.crops import Crops
from zeroseg.data.permutation import permuted
from zeroseg.data.plan import Plan, Position
from zeroseg.data.stream import DataConfig, TrainingStream
from zeroseg.data.transforms import UnlabelledCrops
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache

IMAGES, PER_SHARD, SIDE = 1_281_167, 10_000, 224
RANKS, BATCHES = (1, 8, 64), (64, 4096)


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """What is drawn and read, how often."""

    draws: int = 24
    """Batches of which classes are counted, spread over an epoch."""
    photos: str = ""
    """A folder of JPEGs to read; without one, classes alone are counted."""
    rounds: int = 5
    batches: int = 10
    """Batches of 64 in each turn."""
    images_per_shard: int = 100


def classes_by_path() -> Int[ndarray, " image"]:
    """Class of each image in order of path: nearly ImageNet's numbers."""
    fewer = np.diff(np.linspace(0, IMAGES - 895 * 1300, 106).round().astype(int))
    return np.repeat(np.arange(1000), np.concatenate(([1300] * 895, fewer)))


def uniform(classes: Int[ndarray, " image"], size: int, draws: int) -> float:
    """Distinct classes of a batch drawn at random."""
    rng = np.random.default_rng(0)
    found = [len(set(classes[rng.choice(IMAGES, size, replace=False)])) for _ in range(draws)]
    return statistics.mean(found)


def planned(
    classes: Int[ndarray, " image"], mixed: int | None, ranks: int, size: int, draws: int
) -> float:
    """Distinct classes of batches as `Plan` deals them to processes."""
    counts = tuple(min(PER_SHARD, IMAGES - first) for first in range(0, IMAGES, PER_SHARD))
    ones, zeros = (1.0,) * len(counts), (0,) * len(counts)
    plan = Plan(
        counts=counts,
        weights=ones,
        parts=zeros,
        mixed=mixed,
        seed=0,
        ranks=ranks,
        batch_size=size // ranks,
    )
    found = []
    for step in np.linspace(0, IMAGES // size - 2, draws).astype(int):
        place = plan.after(Position(), int(step))
        dealt = [next(plan.batches(place, rank)).samples for rank in range(ranks)]
        images = [shard * PER_SHARD + number for batch in dealt for shard, number in batch]
        found.append(len(set(classes[images])))
    return statistics.mean(found)


def before(classes: Int[ndarray, " image"], block: int, ranks: int, size: int, draws: int) -> float:
    """The same of shards permuted and samples shuffled within blocks of neighbours."""
    rng = np.random.default_rng(0)
    shards = [classes[first : first + PER_SHARD] for first in range(0, IMAGES, PER_SHARD)]
    line = np.concatenate([shards[i] for i in rng.permutation(len(shards))])
    for first in range(0, IMAGES, block):
        rng.shuffle(line[first : first + block])
    each, found = size // ranks, []
    for step in np.linspace(0, IMAGES // size - 2, draws).astype(int):
        firsts = [IMAGES * rank // ranks + step * each for rank in range(ranks)]
        found.append(len({int(c) for first in firsts for c in line[first : first + each]}))
    return statistics.mean(found)


def fairness(draws: int) -> None:
    """Print distinct classes of each order, and their share of a uniform draw's."""
    by_path = classes_by_path()
    shuffled = by_path[permuted(np.arange(IMAGES), IMAGES, (0,))]
    chance = {size: uniform(by_path, size, draws) for size in BATCHES}
    orders: dict[str, Callable[[int, int], float]] = {
        "sorted shards, block of 1,000 (before)": lambda r, n: before(by_path, 1000, r, n, draws),
        "sorted shards, block of 5,000 (before)": lambda r, n: before(by_path, 5000, r, n, draws),
        "sorted shards, local": lambda r, n: planned(by_path, None, r, n, draws),
        "sorted shards, remote": lambda r, n: planned(by_path, remote(r), r, n, draws),
        "shuffled shards, local": lambda r, n: planned(shuffled, None, r, n, draws),
        "shuffled shards, remote": lambda r, n: planned(shuffled, remote(r), r, n, draws),
        "shuffled shards, as they stand": lambda r, n: planned(shuffled, 0, r, n, draws),
    }
    cases = [(size, ranks) for size in BATCHES for ranks in RANKS]
    print("| order | " + " | ".join(f"{n:,} images, {r} processes" for n, r in cases) + " |")
    print("|---" * (len(cases) + 1) + "|")
    for name, draw in orders.items():
        found = [(draw(ranks, size), chance[size]) for size, ranks in cases]
        print(f"| {name} | " + " | ".join(f"{n:.0f} ({n / of:.0%})" for n, of in found) + " |")
    print("| uniform draw | " + " | ".join(f"{chance[size]:.0f}" for size, _ in cases) + " |")


def remote(ranks: int) -> int:
    """Shards of 1 GB that a process mixes, 8 of a machine, with a cache of 100 GB."""
    return min(16, int(100 / min(ranks, 8) / 2))


def dropped(folder: Path) -> None:
    """Throw a set's files out of the page cache."""
    for path in folder.glob("shard-*"):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def raw(stream: TrainingStream) -> Iterator[int]:
    """Batches of bytes in the order of training, undecoded."""
    reader = ShardReader(stream.shards, ShardCache())
    for batch in stream.plan.batches(stream.start, 0):
        reader.announce(batch.samples)
        yield sum(len(reader.read(*place).members["jpg"]) for place in batch.samples)


def rate(make: Callable[[], Iterator[object]], count: int, folder: Path, cold: bool) -> float:
    """Images a second over `count` batches from the first on."""
    if cold:
        dropped(folder)
    start, batches = time.perf_counter(), make()
    for _ in range(count):
        next(batches)
    return 64 * count / (time.perf_counter() - start)


def speed(config: OrderConfig) -> None:
    """Print images a second of each order, and their ratio to shards as they stand."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        limits = Limits(images_per_shard=config.images_per_shard, order="path")
        folder = Path(scratch)
        manifest = build(Folder(config.photos).source(), scratch, limits)
        size = sum(shard.bytes for shard in manifest.shards) / 1e6
        print(f"\n{manifest.samples} photos, {size:.0f} MB in {len(manifest.shards)} shards\n")
        turns = {}
        for name, shuffle in (("as they stand", 0), ("16 shards", 16), ("whole epoch", None)):
            data = DataConfig(shards=scratch, batch_size=64, workers=0, shuffle=shuffle)
            crops = UnlabelledCrops(size=SIDE, view_size=SIDE, crops=Crops())
            stream = TrainingStream(data, crops, rank=0, world_size=1, seed=0)
            for reading, make in (("decoded", stream.__iter__), ("bytes", partial(raw, stream))):
                for cold in (False, True):
                    turns[(reading, cold, name)] = partial(rate, make, config.batches, folder, cold)
        rounds = [{key: turn() for key, turn in turns.items()} for _ in range(config.rounds)]
        print(
            "| read | page cache | order | images/s, median | ratio | range |\n|---|---|---|---|---|---|"
        )
        for reading, cold, name in sorted(turns, key=lambda key: key[:2], reverse=True):
            ratios = sorted(
                r[reading, cold, name] / r[reading, cold, "as they stand"] for r in rounds
            )
            found = statistics.median(r[reading, cold, name] for r in rounds)
            print(
                f"| {reading} | {'cold' if cold else 'warm'} | {name} | {found:.0f} | "
                f"{statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |"
            )


def main(config: OrderConfig) -> None:
    """Print both tables."""
    fairness(config.draws)
    if config.photos:
        speed(config)


if __name__ == "__main__":
    main(tyro.cli(OrderConfig, args=sys.argv[1:]))
