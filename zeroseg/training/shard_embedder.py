"""Embedding whole shards before training: one process's part of the work."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm
from webdataset.writer import TarWriter

from zeroseg.data.batch import Lost
from zeroseg.data.crop_batches import CropBatch, CropReading
from zeroseg.data.embeddings import TeacherRecord, embedding_members
from zeroseg.data.loader import AtWork, load_in_workers
from zeroseg.errors import InputError
from zeroseg.store.set_writer import (
    JobRecord,
    publish_shard,
    record_path,
    scratch,
    write_job_record,
)
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet
from zeroseg.training.teacher import ViewEncoder


def shares(counts: Sequence[int], processes: int) -> list[list[int]]:
    """Shards of each process: the largest first, each to whoever has the fewest images so far."""
    parts: list[list[int]] = [[] for _ in range(processes)]
    images = [0] * processes
    for shard in sorted(range(len(counts)), key=lambda shard: -counts[shard]):
        least = images.index(min(images))
        parts[least].append(shard)
        images[least] += counts[shard]
    return [sorted(part) for part in parts]


@dataclass(frozen=True, kw_only=True)
class ShardEmbedder:
    """Writes, for shards of images, shards of embeddings with the same names."""

    encode: ViewEncoder
    record: TeacherRecord
    shards: ShardSet
    output: str
    batch_size: int
    workers: int
    worker_timeout: float
    cache: ShardCache

    @property
    def names(self) -> list[str]:
        """File names of the shards."""
        return [url.rpartition("/")[2] for url in self.shards.urls]

    def done(self, shard: int) -> str:
        """Where a shard's record is, once its embeddings are in place."""
        return record_path(self.output, self.names[shard])

    def run(self, chosen: Sequence[int], bar: tqdm) -> None:
        """Embed some shards, one after the other; each image is read once.

        Images that cannot be had are named on standard error and in the shard's record. Raises
        InputError when the teacher gives a value that is not finite.
        """
        at_work = AtWork(self.workers)
        reading = CropReading(
            shards=self.shards,
            cache=self.cache,
            chosen=chosen,
            crops=self.record.crops,
            side=self.record.side,
            batch_size=self.batch_size,
            at_work=at_work,
        )
        loaded = load_in_workers(
            reading, self.workers, at_work, timeout=self.worker_timeout, option="--workers"
        )
        batches = self._encoded(loaded)
        for shard, group in itertools.groupby(batches, key=lambda pair: pair[0].shard):
            self._write(shard, group, bar)

    def _encoded(self, batches: Iterable[CropBatch]) -> Iterator[tuple[CropBatch, Tensor]]:
        """Embeddings of one batch at a time; a GPU is at the next while this process writes one."""
        device = self.encode.clip.mean.device
        before = None
        for batch in batches:
            shape = (*batch.images.shape[:2], self.record.views.count, self.record.embed_dim)
            encoded = torch.empty(shape)
            if batch.keys:
                pixels = batch.images.flatten(0, 1).to(device, non_blocking=True).float() / 255
                encoded = self.encode(pixels).view(shape)
            if before is not None:
                yield before
            before = batch, encoded
        if before is not None:
            yield before

    def _write(self, shard: int, batches: Iterable[tuple[CropBatch, Tensor]], bar: tqdm) -> None:
        """Write one shard, its index, then its record."""
        lost: list[Lost] = []
        with scratch(self.output) as folder:
            path = folder / self.names[shard]
            with path.open("wb") as file, TarWriter(file, mtime=0) as tar:
                for batch, embeddings in batches:
                    for members in self._members(batch, embeddings.cpu()):
                        tar.write(members)
                    for loss in batch.lost:
                        tqdm.write(f"lost {loss}", file=sys.stderr)
                    lost += batch.lost
                    self._advance(bar, len(batch.keys) + len(batch.lost))
            written = publish_shard(path, self.output)
        record = JobRecord((written,), tuple(str(loss) for loss in lost))
        write_job_record(self.done(shard), record)

    def _members(
        self, batch: CropBatch, embeddings: Float[Tensor, "image crop view embed"]
    ) -> Iterator[dict[str, object]]:
        parts = zip(batch.keys, batch.digests, batch.crops, embeddings, strict=True)
        for key, digest, crops, rows in parts:
            if not rows.isfinite().all():
                raise InputError(
                    f"the teacher's embedding of {key} of {self.shards.urls[batch.shard]} is not "
                    "finite: try --teacher.precision fp32"
                )
            yield embedding_members(key, digest, crops, rows, self.record.storage)

    def _advance(self, bar: tqdm, images: int) -> None:
        bar.update(images)
        views = (bar.format_dict["rate"] or 0) * self.record.views.count * self.record.crops.count
        bar.set_postfix_str(f"{views:.0f} views/s", refresh=False)
