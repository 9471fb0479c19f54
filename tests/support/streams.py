"""Small sets of real pictures, and training streams over them."""

import itertools
from pathlib import Path

import numpy as np

from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from zeroseg.data.crops import Crops
from zeroseg.data.stream import DataConfig, TrainingStream
from zeroseg.data.transforms import UnlabelledCrops
from zeroseg.store.shard_cache import ShardCache

SIDE = 8
IMPATIENT = ShardCache(retries=1, pause=0.01)


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return encoded(pixels, "png")


def read(number: int, *, bad: frozenset[int] = frozenset()):
    yield Sample(f"k{number:03d}", b"GIF89a torn" if number in bad else photo(number))


def write(folder: Path, count: int = 41, per_shard: int = 6) -> str:
    source = Source(units=range(count), read=read, built_from={"count": str(count)})
    build(source, str(folder), Limits(images_per_shard=per_shard, workers=0, order="path"))
    return str(folder)


def stream(shards: str, rank: int = 0, world_size: int = 1, seed: int = 0, **changes):
    """Of `batch_size` images a process and step."""
    plain = {"batch_size": 3, "workers": 0, "shuffle": None, "cache": IMPATIENT}
    settings = plain | changes
    settings["batch_size"] *= world_size
    config = DataConfig(shards=shards, **settings)
    transform = UnlabelledCrops(size=SIDE, view_size=SIDE, crops=Crops())
    return TrainingStream(config, transform, rank=rank, world_size=world_size, seed=seed)


def keys(batches) -> list[tuple[str, ...]]:
    return [batch.keys for batch in batches]


def taken(source: TrainingStream, steps: int) -> list[tuple[str, ...]]:
    return keys(itertools.islice(source, steps))
