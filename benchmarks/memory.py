"""Megabytes that one loader process adds, at first and after many epochs.

    uv run python -m benchmarks.memory --photos FOLDER

Counted is what no other process shares (Private_Clean and Private_Dirty of Linux's
/proc/PID/smaps_rollup): a loader process begins as a copy of the training process, whose pages cost
nothing until one of the two writes to them.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
import tyro

from shards.build import Limits, build
from shards.folder import Folder
from zeroseg.data.crops import Crops
from zeroseg.data.stream import DataConfig, TrainingStream
from zeroseg.data.transforms import UnlabelledCrops

SIDE = 224
"""Of a crop, in pixels."""


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """What is read, how often."""

    photos: str
    """A folder of pictures."""
    epochs: int = 50
    every: int = 10
    """Epochs between two lines."""
    batch_size: int = 32
    workers: int = 1
    images_per_shard: int = 100


def megabytes(process: int) -> float:
    """What a process shares with no other."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def main(config: MemoryConfig) -> None:
    """Print a line every few epochs."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        limits = Limits(images_per_shard=config.images_per_shard)
        images = build(Folder(config.photos).source(), f"{scratch}/set", limits).samples
        data = DataConfig(
            shards=f"{scratch}/set", batch_size=config.batch_size, workers=config.workers
        )
        crops = UnlabelledCrops(size=SIDE, view_size=SIDE, crops=Crops())
        batches = iter(TrainingStream(data, crops, rank=0, world_size=1, seed=0))
        for _ in range(config.workers):
            next(batches)
        print("| epoch | MB a loader process |\n|---|---|")
        for epoch in range(0, config.epochs + 1, config.every):
            loaders = [child.pid for child in psutil.Process().children()]
            print(f"| {epoch} | {sum(map(megabytes, loaders)) / len(loaders):.1f} |", flush=True)
            for _ in range(config.every * (images // config.batch_size)):
                next(batches)


if __name__ == "__main__":
    main(tyro.cli(MemoryConfig, args=sys.argv[1:]))
