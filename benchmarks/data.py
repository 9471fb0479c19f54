"""Images a second of one reading core: this loader, two others, and reading without decoding.

    uv run --group bench --with webdataset==0.2.86 python -m benchmarks.data --photos FOLDER

(open_clip's loader does not run with later versions of webdataset; this one does.)

All take the same photos through the same centre crop, in one process and one thread, in turn round
after round, so that a noisy machine is noisy for all of them. What counts are the ratios of a round.
"""

import itertools
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
import webdataset as wds
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torchvision import transforms
from webdataset.writer import TarWriter

from shards.build import Limits, build
from shards.folder import Folder
from zeroseg.data.batch import Batch
from zeroseg.data.crops import Crops
from zeroseg.data.stream import DataConfig, TrainingStream
from zeroseg.data.transforms import UnlabelledCrops
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache

SIDE, BATCH = 224, 32
CROP = transforms.Compose(
    [
        transforms.Resize(SIDE, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(SIDE),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
"""The usual pipeline on Pillow images."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is read, how often."""

    photos: str
    """A folder of JPEGs."""
    rounds: int = 7
    batches: int = 10
    """Batches of 32 in each turn."""


def captioned(stream: TrainingStream, path: Path) -> Path:
    """The same samples with an empty caption each, which open_clip's loader insists on."""
    reader = ShardReader(stream.shards, ShardCache())
    with TarWriter(str(path)) as tar:
        for shard, count in enumerate(stream.shards.counts):
            for number in range(count):
                sample = reader.read(shard, number)
                tar.write({"__key__": sample.key, "jpg": sample.members["jpg"], "txt": "a"})
    return path


def research(path: Path) -> Iterator[Tensor]:
    """webdataset's own decoding to Pillow, and torchvision's transforms."""
    shards = wds.WebDataset([str(path)] * 1000, shardshuffle=False)
    images = shards.decode("pil").to_tuple("jpg").map_tuple(CROP)
    yield from (batch[0] for batch in images.batched(BATCH))


def open_clips(path: Path) -> Iterator[Tensor]:
    """open_clip's training loader, which reads in its own process too."""
    from open_clip_train.data import get_wds_dataset

    arguments = Namespace(
        train_data=str(path),
        train_num_samples=10**6,
        train_data_upsampling_factors=None,
        dataset_resampled=True,
        seed=0,
        batch_size=BATCH,
        workers=0,
        world_size=1,
    )
    data = get_wds_dataset(arguments, CROP, True, tokenizer=lambda text: torch.zeros(1, 1))
    yield from (images for images, _ in data.dataloader)


def raw(stream: TrainingStream) -> Iterator[int]:
    """Bytes by index, in the order of training, undecoded."""
    reader = ShardReader(stream.shards, ShardCache())
    for planned in stream.plan.batches(stream.start, 0):
        yield sum(len(reader.read(*place).members["jpg"]) for place in planned.samples)


class _Ready(IterableDataset[Batch]):
    """The same batch again and again: what remains is the way from a worker to here."""

    def __init__(self) -> None:
        images = torch.zeros(BATCH, 3, SIDE, SIDE, dtype=torch.uint8)
        self.batch = Batch(tuple(map(str, range(BATCH))), images)

    def __iter__(self) -> Iterator[Batch]:
        yield from itertools.repeat(self.batch)


def milliseconds_from_a_worker(batches: int = 100) -> float:
    """Milliseconds an image that a batch takes from a loader process to the training process."""
    loader = iter(DataLoader(_Ready(), batch_size=None, num_workers=1))
    return 1000 / rate(loader, batches)


def rate(batches: Iterator[object], count: int) -> float:
    """Images a second over `count` batches, after one that is not counted."""
    next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return BATCH * count / (time.perf_counter() - start)


def difference(stream: TrainingStream, path: Path) -> float:
    """Mean absolute difference to the research pipeline's pixels, in grey levels."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (CROP.transforms[3].mean, CROP.transforms[3].std)
    )
    theirs = {
        s["__key__"]: (CROP(s["jpg"]) * std + mean) * 255
        for s in wds.WebDataset(str(path), shardshuffle=False).decode("pil")
    }
    batch = next(iter(stream))
    pairs = zip(batch.keys, batch.images, strict=True)
    return float(np.mean([(theirs[k].round() - i).abs().mean().item() for k, i in pairs]))


def main(config: BenchmarkConfig) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        build(Folder(config.photos).source(), f"{scratch}/set", Limits())
        data = DataConfig(shards=f"{scratch}/set", batch_size=BATCH, workers=0)
        crops = UnlabelledCrops(size=SIDE, view_size=SIDE, crops=Crops())
        stream = TrainingStream(data, crops, rank=0, world_size=1, seed=0)
        tar = captioned(stream, Path(scratch, "captioned.tar"))
        contestants: dict[str, Callable[[], Iterator[object]]] = {
            "zeroseg": lambda: iter(stream),
            "webdataset decode + torchvision": lambda: research(tar),
            "open_clip's training loader": lambda: open_clips(tar),
            "bytes by index, no decoding": lambda: raw(stream),
        }
        rounds = []
        for _ in range(config.rounds):
            rounds.append({n: rate(make(), config.batches) for n, make in contestants.items()})
        print("| loader | images/s, median | zeroseg is | range of the ratio |\n|---|---|---|---|")
        for name in contestants:
            ratios = sorted(r["zeroseg"] / r[name] for r in rounds)
            speed = statistics.median(r[name] for r in rounds)
            middle = statistics.median(ratios)
            print(f"| {name} | {speed:.0f} | {middle:.2f}x | {ratios[0]:.2f} to {ratios[-1]:.2f} |")
        print(f"mean absolute pixel difference: {difference(stream, tar):.4f} levels")
        print(f"worker to training process: {milliseconds_from_a_worker():.3f} ms an image")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
