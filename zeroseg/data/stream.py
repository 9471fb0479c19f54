"""Batches for training, endless and exact: every sample of an epoch once over all processes.

What comes when is `Plan`'s, a function of numbers; this module only reads it, in the training
process or in loader processes beside it, which changes nothing but the speed. No loader is ever
handed to Accelerate, which would split it again.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from zeroseg.data.batch import Batch, Decode, load_batch, training_sample
from zeroseg.data.plan import Place, Plan
from zeroseg.data.reader import ShardReader
from zeroseg.data.shard_cache import ShardCache
from zeroseg.data.shard_set import ShardSet, open_set
from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the training shards are and how they are read."""

    shards: str
    """Folder, path or URL; braces `{0000..0099}`, `*` for local files, `::` between several."""
    weights: tuple[float, ...] = ()
    """How often each of several parts comes in an epoch; none is once."""
    image_size: int = 224
    """Side of the centre crop, in pixels."""
    batch_size: int = 64
    """Images a process takes at each step."""
    workers: int = 4
    """Loader processes beside each training process; 0 reads in the training process."""
    shuffle: int = 1000
    """Neighbouring samples of an epoch's shard order that are shuffled among themselves."""
    most_lost: float = 0.01
    """Ours: the run stops when more than this share of what was read could not be decoded (one
    batch's worth is always allowed)."""
    cache: ShardCache = field(default_factory=ShardCache)

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("image_size", 1), ("workers", 0), ("shuffle", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"data.{name} is {getattr(self, name)}: it must be at least {least}"
                )


class TrainingStream:
    """Endless batches of one process, which knows its place.

    Iterate once; `state_dict` is the place after the batches taken so far, the same on every
    process, and holds for any number of processes, workers and batch size. Raises InputError when
    shards are missing or too few, and while reading when too many samples are lost.
    """

    def __init__(self, config: DataConfig, *, rank: int, world_size: int, seed: int) -> None:
        self.config, self.rank = config, rank
        self.shards = open_set(config.shards, config.cache, config.weights)
        self.plan = Plan(
            counts=self.shards.counts,
            weights=self.shards.weights,
            block=config.shuffle,
            seed=seed,
            lanes=world_size,
            batch_size=config.batch_size,
        )
        self.start, self.steps = Place(), 0
        self.seen = 0
        self.lost: Counter[str] = Counter()
        """Samples that could not be had, by cause."""

    @property
    def place(self) -> Place:
        """Between the last batch taken and the next."""
        return self.plan.after(self.start, self.steps)

    def state_dict(self) -> dict[str, Any]:
        """The place, as plain values."""
        return self.place.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a place; before iterating."""
        self.start, self.steps = Place.from_state(state), 0

    def __iter__(self) -> Iterator[Batch]:
        """Batches of this process from the place on."""
        workers = self.config.workers
        at_work = torch.zeros(max(1, workers), 512, dtype=torch.uint8).share_memory_()
        decode = partial(training_sample, side=self.config.image_size)
        reading = _Reading(
            self.plan, self.shards, self.config.cache, decode, self.start, self.rank, at_work
        )
        loader = DataLoader(
            reading,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
            # Its own: drawing from the global one here would make a resumed run draw other masks.
            generator=torch.Generator().manual_seed(0),
        )
        batches = iter(loader)
        while True:
            try:
                batch = next(batches)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                where = "; ".join(f"worker {i}: {_text(row)}" for i, row in enumerate(at_work))
                raise RuntimeError(f"{error} It was at one of: {where}") from error
            self.steps += 1
            self._count(batch)
            yield batch

    def _count(self, batch: Batch) -> None:
        self.seen += self.config.batch_size
        self.lost.update(loss.cause for loss in batch.lost)
        total, allowed = self.lost.total(), self.config.most_lost * self.seen
        if not batch.keys or total > allowed + self.config.batch_size:
            causes = ", ".join(f"{n} {cause}" for cause, n in self.lost.most_common())
            raise InputError(
                f"{total} of {self.seen} samples could not be had ({causes}), the last "
                f"{batch.lost[-1]}: run `zeroseg shards check`, or raise --data.most-lost"
            )


@dataclass
class _Reading(IterableDataset[Batch]):
    """One worker's share of a process's batches; the loader takes one from each worker in turn."""

    plan: Plan
    shards: ShardSet
    cache: ShardCache
    decode: Decode
    start: Place
    rank: int
    at_work: Tensor
    """What each worker is decoding, for when it dies of it."""

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        reader = ShardReader(self.shards, self.cache)
        decode = partial(_announced, self.at_work[worker], self.decode)
        for planned in self.plan.batches(self.start, self.rank, worker, workers):
            batch = load_batch(reader, planned.samples, decode)
            if planned.following is not None:
                reader.expect(planned.following)
            if not batch.keys:  # every process must make this step: neighbours stand in
                spare = load_batch(reader, planned.spare, decode)
                batch = dataclasses.replace(spare, lost=batch.lost + spare.lost)
            yield batch


def _announced(row: Tensor, decode: Decode, sample: Any) -> tuple[Tensor, Tensor | None]:
    name = f"{sample.shard} {sample.key}".encode()[: len(row)]
    row.zero_()
    row[: len(name)] = torch.frombuffer(bytearray(name), dtype=torch.uint8)
    return decode(sample)


def _text(row: Tensor) -> str:
    return bytes(row.tolist()).rstrip(b"\0").decode(errors="replace")
