"""Labelled images, each once, in the order of their shards."""

import itertools
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from zeroseg.data.batch import LABELS, Batch, image_of, load_batch
from zeroseg.data.images import decode_labels, resized, short_side_size
from zeroseg.data.reader import RawSample, ShardReader
from zeroseg.data.shard_cache import ShardCache
from zeroseg.data.shard_set import ShardSet


def evaluation_sample(sample: RawSample, *, short_side: int, multiple: int) -> dict[str, Tensor]:
    """The image at its short side, and the label map as it is."""
    image, labels = image_of(sample), decode_labels(sample.members[LABELS])
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"image is {tuple(image.shape[1:])} but its label map {tuple(labels.shape)}"
        )
    size = (image.shape[1], image.shape[2])
    return {
        "images": resized(image, short_side_size(size, short_side, multiple)),
        "labels": labels,
    }


def evaluation_batches(
    shards: ShardSet,
    *,
    short_side: int,
    multiple: int,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    images: int | None = None,
) -> Iterator[Batch]:
    """Every labelled image of this process's share once; neighbours of one size share a batch.

    Shares are contiguous and equal to one image, of all images or of the first `images`. Samples that cannot be had are named in `lost`.
    """
    reader = ShardReader(shards, ShardCache())
    decode = partial(evaluation_sample, short_side=short_side, multiple=multiple)
    everything = ((s, n) for s, count in enumerate(shards.counts) for n in range(count))
    count = shards.samples if images is None else min(images, shards.samples)
    start, stop = (count * r // world_size for r in (rank, rank + 1))
    mine = itertools.islice(everything, start, stop)
    singles = (load_batch(reader, [sample], decode) for sample in mine)
    for _, same in itertools.groupby(singles, key=_kind):
        while group := list(itertools.islice(same, batch_size)):
            yield _joined(group)
    reader.close()


def _kind(batch: Batch) -> tuple[torch.Size, torch.Size | None]:
    return batch.images.shape, None if batch.labels is None else batch.labels.shape


def _joined(group: list[Batch]) -> Batch:
    labels = [b.labels for b in group if b.labels is not None]
    return Batch(
        tuple(key for b in group for key in b.keys),
        torch.cat([b.images for b in group]),
        torch.cat(labels) if labels else None,
        tuple(loss for b in group for loss in b.lost),
    )
