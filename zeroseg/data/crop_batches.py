"""Every crop of every image, each image read once: what the teacher is shown before training."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from zeroseg.data.batch import Lost
from zeroseg.data.crops import Crop, Crops, cut
from zeroseg.data.loader import AtWork
from zeroseg.data.samples import image_bytes, image_of, read_samples
from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample, ShardReader, UnreadableShard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet


class CropBatch(NamedTuple):
    """All crops of some neighbouring images of one shard."""

    shard: int
    keys: tuple[str, ...]
    digests: tuple[str, ...]
    """SHA-256 of each image's file."""
    crops: tuple[tuple[Crop | None, ...], ...]
    images: UInt8[Tensor, "image crop 3 side side"]
    lost: tuple[Lost, ...]


@dataclass
class CropReading(Dataset[CropBatch]):
    """Batches of the chosen shards in order; none holds images of two shards."""

    shards: ShardSet
    cache: ShardCache
    chosen: Sequence[int]
    crops: Crops
    side: int
    batch_size: int
    at_work: AtWork
    reader: ShardReader | None = field(default=None, init=False)
    """Of this process: made at the first batch, so that loader processes have each their own."""

    def __post_init__(self) -> None:
        self.batches = [
            (shard, range(first, min(first + self.batch_size, self.shards.counts[shard])))
            for shard in self.chosen
            for first in range(0, self.shards.counts[shard], self.batch_size)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> CropBatch:
        self.reader = self.reader or ShardReader(self.shards, self.cache)
        info = get_worker_info()
        decode = self.at_work.announcing(info.id if info else 0, self._all_crops)
        shard, samples = self.batches[index]
        try:
            self.reader.key(shard, 0)
        except UnreadableShard as error:  # left out, it would make the set depend on the network
            url = self.shards.urls[shard]
            raise InputError(f"shard {url} cannot be read, so not embedded: {error}") from error
        decoded, lost = read_samples(self.reader, ((shard, n) for n in samples), decode)
        digests, crops, images = (
            zip(*(d for _, d in decoded), strict=True) if decoded else ((),) * 3
        )
        nothing = torch.empty(0, self.crops.count, 3, self.side, self.side, dtype=torch.uint8)
        pixels = torch.stack(images) if images else nothing
        return CropBatch(shard, tuple(k for k, _ in decoded), digests, crops, pixels, tuple(lost))

    def _all_crops(self, sample: RawSample) -> tuple[str, tuple[Crop | None, ...], Tensor]:
        image = image_of(sample)
        crops = self.crops.of(sample.key, image.shape[1], image.shape[2])
        images = torch.stack([cut(image, crop, self.side) for crop in crops])
        return hashlib.sha256(image_bytes(sample)).hexdigest(), crops, images
