"""Labelled images, each once, in the order of their shards."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.data.images import decode_pair, resized
from zeroseg.data.samples import UNREADABLE, Decode, image_bytes, labels_bytes, load_batch
from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample, ShardReader

Resize = Callable[[tuple[int, int]], tuple[int, int]]
"""From a picture's (height, width) to those it is scored at."""


def evaluation_sample(sample: RawSample, resize: Resize) -> dict[str, Tensor]:
    """The upright image at the size it is scored at, and the label map turned with it.

    Raises ValueError when it has no label map or one of another size.
    """
    image, labels = decode_pair(image_bytes(sample), labels_bytes(sample))
    size = (image.shape[1], image.shape[2])
    return {
        "images": resized(image, resize(size)),
        "labels": labels,
    }


def evaluation_batches(
    reader: ShardReader, resize: Resize, *, batch_size: int, samples: range | None = None
) -> Iterator[Batch]:
    """Every labelled image once, or those of consecutive numbers; neighbours of one size share a
    batch. Samples that cannot be had are named in `lost`.

    Raises InputError for a shard that cannot be had: left out, it would make scores depend on the
    network.
    """
    decode = partial(evaluation_sample, resize=resize)
    everything = ((s, n) for s, count in enumerate(reader.shards.counts) for n in range(count))
    chosen = range(reader.shards.samples) if samples is None else samples
    mine = itertools.islice(everything, chosen.start, chosen.stop)
    singles = (_single(reader, sample, decode) for sample in mine)
    for _, same in itertools.groupby(singles, key=_kind):
        while group := list(itertools.islice(same, batch_size)):
            yield _concatenate(group)


def _single(reader: ShardReader, sample: tuple[int, int], decode: Decode) -> Batch:
    batch = load_batch(reader, [sample], decode)
    if batch.lost and batch.lost[0].cause == UNREADABLE:
        raise InputError(f"{batch.lost[0]}: start again once that is mended")
    return batch


def sample_number(reader: ShardReader, key: str) -> int:
    """Number of a sample in its set, the first of that key. Raises KeyError when there is none."""
    first = 0
    for shard, count in enumerate(reader.shards.counts):
        if (number := reader.number(shard, key)) is not None:
            return first + number
        first += count
    raise KeyError(key)


def share(count: int, rank: int, world_size: int) -> range:
    """A process's part of so many samples: consecutive, and equal to one."""
    return range(count * rank // world_size, count * (rank + 1) // world_size)


def _kind(batch: Batch) -> tuple[torch.Size, torch.Size | None]:
    return batch.images.shape, None if batch.labels is None else batch.labels.shape


def _concatenate(group: list[Batch]) -> Batch:
    labels = [b.labels for b in group if b.labels is not None]
    return Batch(
        tuple(key for b in group for key in b.keys),
        torch.cat([b.images for b in group]),
        torch.cat(labels) if labels else None,
        tuple(loss for b in group for loss in b.lost),
    )
