"""Labelled images, each once, in the order of their shards."""

import itertools
from collections.abc import Callable, Collection, Iterator
from functools import partial

import torch
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.data.images import decode_labels, resized
from zeroseg.data.samples import LABELS, image_of, load_batch
from zeroseg.store.reader import RawSample, ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet

Resize = Callable[[tuple[int, int]], tuple[int, int]]
"""From a picture's (height, width) to those it is scored at."""


def evaluation_sample(sample: RawSample, resize: Resize) -> dict[str, Tensor]:
    """The image at the size it is scored at, and the label map as it is."""
    image, labels = image_of(sample), decode_labels(sample.members[LABELS])
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"image is {tuple(image.shape[1:])} but its label map {tuple(labels.shape)}"
        )
    size = (image.shape[1], image.shape[2])
    return {
        "images": resized(image, resize(size)),
        "labels": labels,
    }


def evaluation_batches(
    shards: ShardSet, resize: Resize, *, batch_size: int, samples: range | None = None
) -> Iterator[Batch]:
    """Every labelled image once, or those of consecutive numbers; neighbours of one size share a
    batch. Samples that cannot be had are named in `lost`."""
    reader = ShardReader(shards, ShardCache())
    decode = partial(evaluation_sample, resize=resize)
    everything = ((s, n) for s, count in enumerate(shards.counts) for n in range(count))
    chosen = range(shards.samples) if samples is None else samples
    mine = itertools.islice(everything, chosen.start, chosen.stop)
    singles = (load_batch(reader, [sample], decode) for sample in mine)
    for _, same in itertools.groupby(singles, key=_kind):
        while group := list(itertools.islice(same, batch_size)):
            yield _concatenate(group)
    reader.close()


def positions(shards: ShardSet, keys: Collection[str]) -> dict[str, int]:
    """Numbers of samples in the set, by key."""
    reader, wanted = ShardReader(shards, ShardCache()), set(keys)
    everything = ((s, n) for s, count in enumerate(shards.counts) for n in range(count))
    found = {}
    for number, place in enumerate(everything):
        if len(found) == len(wanted):
            break
        if (key := reader.key(*place)) in wanted:
            found[key] = number
    reader.close()
    return found


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
