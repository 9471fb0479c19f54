"""Reading shards: tar files of `<key>.jpg` and, where annotated, `<key>.png` (`shards/README.md`).

Two rules, both from failures that lose data silently. The order of shards is ours, a function of
seed and epoch alone. And no loader is ever handed to Accelerate, which would split it again.
"""

import glob
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from webdataset import filters
from webdataset.shardlists import expand_urls
from webdataset.tariterators import tarfile_to_samples

from zeroseg.data.images import centre_crop, decode_image, decode_labels, resized, short_side_size
from zeroseg.errors import InputError

IMAGE_MEMBER, LABEL_MEMBER = "jpg", "png"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the training shards are and how they are read."""

    shards: str
    """Path or URL; braces `{0000..0099}`, `*` for local files, `::` between several."""
    image_size: int = 224
    """Side of the centre crop, in pixels."""
    batch_size: int = 64
    """Images a process takes at each step."""
    workers: int = 4
    """Loader processes beside each training process; 0 reads in the training process."""
    shuffle: int = 1000
    """Samples held by the shuffle buffer."""

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("image_size", 1), ("workers", 0), ("shuffle", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"data.{name} is {getattr(self, name)}: it must be at least {least}"
                )


@dataclass(frozen=True)
class Batch:
    """Samples of one size, on one device."""

    keys: tuple[str, ...]
    images: Float[Tensor, "batch 3 height width"]
    """In [0, 1]; every model normalises its own way."""
    labels: Int[Tensor, "batch label_height label_width"] | None = None
    """Class indices at the annotation's own size; 255 is ignored."""
    skipped: tuple[str, ...] = ()
    """Samples that could not be decoded since the last batch: shard, key and cause."""

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)
        images = self.images.to(device, non_blocking=True)
        return Batch(self.keys, images, labels, self.skipped)


def shard_list(spec: str) -> list[str]:
    """Expand a shard spec to paths or URLs, in a fixed order.

    Raises InputError when nothing matches, a local file is missing, or a local shard has no image.
    """
    urls = [
        url for part in spec.split("::") for braced in expand_urls(part) for url in _matches(braced)
    ]
    if not urls:
        raise InputError(
            f"no shards match {spec!r}: check the path, or build them with `zeroseg shards`"
        )
    for url in filter(_is_local, urls):
        _check_local(url)
    return urls


def _is_local(url: str) -> bool:
    return "://" not in url and not url.startswith("pipe:")


def _matches(url: str) -> list[str]:
    return sorted(glob.glob(url)) if _is_local(url) and "*" in url else [url]


def _check_local(url: str) -> None:
    if not Path(url).is_file():
        raise InputError(
            f"shard {url} does not exist: check the path, or build it with `zeroseg shards`"
        )
    samples = tarfile_to_samples()([{"url": url}])
    try:
        found = any(IMAGE_MEMBER in sample for sample in samples)
    except Exception as error:
        raise InputError(f"shard {url} cannot be read ({error}): build it again") from error
    if not found:
        raise InputError(
            f"shard {url} holds no image: its samples need a member `<key>.{IMAGE_MEMBER}` "
            "(see shards/README.md)"
        )


@dataclass(frozen=True, kw_only=True)
class ShardOrder:
    """Which shards a reader gets: each epoch is a permutation, dealt to processes and workers."""

    urls: list[str]
    rank: int
    world_size: int
    seed: int

    def urls_of(self, worker: int, workers: int) -> Iterator[dict[str, str]]:
        """Endless shard URLs of one worker, as webdataset's tar reader expects them."""
        for epoch in itertools.count():
            order = random.Random(f"{self.seed}/{epoch}").sample(self.urls, len(self.urls))
            for url in order[self.rank * workers + worker :: self.world_size * workers]:
                yield {"url": url}


class TrainingBatches(IterableDataset[Batch]):
    """Endless batches of one process, from position `skip` on.

    Batches are formed before decoding, so that a corrupt sample makes its own batch smaller and
    moves no other: a place in the stream is a number of batches, and resuming is exact.
    """

    def __init__(self, order: ShardOrder, config: DataConfig, skip: int = 0) -> None:
        self.order, self.config, self.skip = order, config, skip

    def __iter__(self) -> Iterator[Batch]:
        """Yield this worker's batches; the loader takes one from each worker in turn."""
        info = get_worker_info()
        physical, workers = (info.id, info.num_workers) if info else (0, 1)
        worker = (physical + self.skip) % workers
        unreadable: list[str] = []
        urls = self.order.urls_of(worker, workers)
        samples = tarfile_to_samples(handler=partial(_note, unreadable))(urls)
        rng = random.Random(f"{self.order.seed}/{self.order.rank}/{worker}")
        samples = filters.shuffle(self.config.shuffle, rng=rng)(samples)
        decode = partial(_training_sample, side=self.config.image_size)
        for position in itertools.count(worker, workers):
            group = list(itertools.islice(samples, self.config.batch_size))
            notes = list(dict.fromkeys(unreadable))
            unreadable.clear()
            if position >= self.skip:
                batch = decoded_batch(group, decode, notes)
                if not batch.keys:
                    raise InputError(
                        f"not one sample of a whole batch can be decoded: {batch.skipped[:2]}"
                    )
                yield batch


def _note(unreadable: list[str], error: Exception) -> bool:
    """Keep what webdataset's reader says of a shard it cannot go on with, and let it go on."""
    words = dict.fromkeys(str(a) for a in error.args if isinstance(a, str))
    unreadable.append(" ".join(words) or repr(error))
    return True


def _refuse(error: Exception) -> bool:
    words = " ".join(dict.fromkeys(str(a) for a in error.args if isinstance(a, str)))
    raise InputError(f"a labelled shard cannot be read: {words}; build it again") from error


def _training_sample(sample: dict[str, Any], side: int) -> tuple[Tensor, None]:
    return centre_crop(decode_image(sample[IMAGE_MEMBER]), side), None


def _evaluation_sample(
    sample: dict[str, Any], short_side: int, multiple: int
) -> tuple[Tensor, Tensor]:
    image, labels = decode_image(sample[IMAGE_MEMBER]), decode_labels(sample[LABEL_MEMBER])
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"image is {tuple(image.shape[1:])} but its label map {tuple(labels.shape)}"
        )
    size = (image.shape[1], image.shape[2])
    return resized(image, short_side_size(size, short_side, multiple)), labels


Decode = Callable[[dict[str, Any]], tuple[Tensor, Tensor | None]]


def decoded_batch(
    group: Iterable[dict[str, Any]], decode: Decode, skipped: Iterable[str] = ()
) -> Batch:
    """Decode samples of one size; those that cannot be are left out and named in `skipped`."""
    keys, images, labels, lost = [], [], [], list(skipped)
    for sample in group:
        try:
            image, label = decode(sample)
        except Exception as error:  # any picture library's error; the sample is counted and named
            lost.append(f"{sample['__url__']} {sample['__key__']}: {type(error).__name__}: {error}")
            continue
        keys.append(sample["__key__"])
        images.append(image)
        labels += [] if label is None else [label]
    pixels = torch.stack(images) if images else torch.empty(0, 3, 0, 0)
    return Batch(tuple(keys), pixels, torch.stack(labels) if labels else None, tuple(lost))


def train_batches(
    config: DataConfig, *, rank: int, world_size: int, seed: int, skip: int = 0
) -> Iterator[Batch]:
    """Endless batches of this process's share of the shards, from batch number `skip` on.

    Raises InputError when there are fewer shards than readers.
    """
    urls = shard_list(config.shards)
    readers = world_size * max(1, config.workers)
    if len(urls) < readers:
        raise InputError(
            f"{len(urls)} shards cannot feed {readers} readers ({world_size} processes x "
            f"{max(1, config.workers)} workers): lower --data.workers or write smaller shards"
        )
    order = ShardOrder(urls=urls, rank=rank, world_size=world_size, seed=seed)
    dataset = TrainingBatches(order, config, skip)
    context = "fork" if config.workers else None
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=config.workers,
        multiprocessing_context=context,
        # Its own: drawing from the global one here would make a resumed run draw other masks.
        generator=torch.Generator().manual_seed(seed),
    )
    return iter(loader)


def evaluation_batches(
    shards: str,
    *,
    short_side: int,
    multiple: int,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[Batch]:
    """Every labelled image of this process's share once; neighbours of one size share a batch."""
    mine = [{"url": url} for url in shard_list(shards)[rank::world_size]]
    samples = tarfile_to_samples(handler=_refuse)(mine)
    decode = partial(_evaluation_sample, short_side=short_side, multiple=multiple)
    singles = (decoded_batch([sample], decode) for sample in samples)
    for (_, _, readable), same in itertools.groupby(singles, key=_kind):
        while group := list(itertools.islice(same, batch_size)):
            yield (
                _joined(group)
                if readable
                else decoded_batch((), decode, (s for b in group for s in b.skipped))
            )


def _kind(batch: Batch) -> tuple[torch.Size, torch.Size | None, bool]:
    return (
        batch.images.shape,
        None if batch.labels is None else batch.labels.shape,
        bool(batch.keys),
    )


def _joined(group: list[Batch]) -> Batch:
    labels = torch.cat([b.labels for b in group if b.labels is not None])
    return Batch(tuple(b.keys[0] for b in group), torch.cat([b.images for b in group]), labels)
