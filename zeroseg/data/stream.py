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

from torch.utils.data import IterableDataset, get_worker_info

from zeroseg.data.batch import Batch
from zeroseg.data.global_batch import divide_batch
from zeroseg.data.loader import AtWork, load_in_workers
from zeroseg.data.mixing import mixed_shards
from zeroseg.data.plan import Plan, Position
from zeroseg.data.samples import load_batch
from zeroseg.data.transforms import Transform
from zeroseg.errors import InputError
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the training shards are and how they are read."""

    shards: str
    """Folder, path or URL; braces `{0000..0099}`, `*` for local files, `::` between several."""
    weights: tuple[float, ...] = ()
    """How often each of several parts comes in an epoch; none is once."""
    selection: str = ""
    """Folder or URL that `zeroseg curate` wrote: only what it leaves is read; none reads everything."""
    batch_size: int = 64
    """Images of a step, over all processes."""
    workers: int = 4
    """Loader processes beside each training process; 0 reads in the training process."""
    worker_timeout: float = 1800.0
    """Ours: seconds without a batch from the loader processes after which the run ends and says what each was
    at. Generous: a remote shard is fetched, and tried again, in this time. 0 waits without end."""
    shuffle: int | None = None
    """Shards whose samples a process shuffles among themselves; 0 leaves samples as they stand in their
    shards. None is all of a local set, whose epoch is then one draw: each sample once, in an order drawn
    anew. Of a remote set it is at most 16, and no more than have room in `cache` twice (read, and fetched
    meanwhile) for each process of the machine: its bytes over twice those of the largest shard, with the
    embeddings beside it, over the processes. Of a local set without index files it is 16."""
    most_lost: float = 0.01
    """Ours: the run stops when more than this share of what was read could not be decoded (one
    batch's worth is always allowed)."""
    cache: ShardCache = field(default_factory=ShardCache)

    def __post_init__(self) -> None:
        leasts = {"batch_size": 1, "workers": 0, "worker_timeout": 0, "shuffle": 0}
        for name, least in leasts.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"data.{name} is {value}: it must be at least {least}")


class TrainingStream:
    """Endless batches of one process, which knows its place.

    Iterate once; `state_dict` is the place after the batches taken so far, the same on every
    process, and holds for any number of processes, workers and batch size. `on_machine` is the most
    processes that share a machine's cache, the same number for all of them; all where it is not given.
    Raises InputError when shards are missing or too few, a batch cannot be dealt to the processes or the
    cache is too small, and while reading when too many samples are lost.
    """

    def __init__(
        self,
        config: DataConfig,
        transform: Transform,
        *,
        rank: int,
        world_size: int,
        seed: int,
        on_machine: int | None = None,
    ) -> None:
        self.config, self.rank = config, rank
        self.shards = open_set(config.shards, config.cache, config.weights, config.selection)
        self.transform = transform.on(self.shards)
        beside = self.transform.copied(self.shards.urls)
        copied = [sum(sizes) for sizes in zip(self.shards.copied, beside, strict=True)]
        self.plan = Plan(
            counts=self.shards.counts,
            weights=self.shards.weights,
            parts=self.shards.parts,
            mixed=mixed_shards(
                config.shuffle, self.shards, copied, config.cache, on_machine or world_size
            ),
            seed=seed,
            ranks=world_size,
            batch_size=divide_batch(config.batch_size, world_size)[0],
        )
        self.start, self.steps = Position(), 0
        self.seen = 0
        self.lost: Counter[str] = Counter()
        """Samples that could not be had, by cause."""

    @property
    def position(self) -> Position:
        """Between the last batch taken and the next."""
        return self.plan.after(self.start, self.steps)

    def state_dict(self) -> dict[str, Any]:
        """The place, as plain values, and the selection that it is a place in."""
        selection = {"selection": self.shards.selection} if self.shards.selection else {}
        return self.position.state_dict() | selection

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a place; before iterating. Raises InputError for a place in another order."""
        self.start, self.steps = Position.from_state(state), 0

    def __iter__(self) -> Iterator[Batch]:
        """Batches of this process from the place on."""
        at_work = AtWork(self.config.workers)
        reading = _Reading(
            self.plan, self.shards, self.config, self.transform, self.start, self.rank, at_work
        )
        batches = load_in_workers(
            reading, self.config.workers, at_work, timeout=self.config.worker_timeout
        )
        for batch in batches:
            self.steps += 1
            self._count(batch)
            yield batch

    def _count(self, batch: Batch) -> None:
        self.seen += self.plan.batch_size
        self.lost.update(loss.cause for loss in batch.lost)
        total, allowed = self.lost.total(), self.config.most_lost * self.seen
        if not batch.keys or total > allowed + self.plan.batch_size:
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
    config: DataConfig
    transform: Transform
    start: Position
    rank: int
    at_work: AtWork

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        reader = ShardReader(self.shards, self.config.cache)
        for planned in self.plan.batches(self.start, self.rank, worker, workers):
            decode = self.at_work.announcing(
                worker,
                partial(self.transform, epoch=planned.epoch),
            )
            batch = load_batch(reader, planned.samples, decode)
            if following := planned.following:
                first = worker % len(following)  # each worker fetches others first
                following = following[first:] + following[:first]
                reader.prefetch(following)
                self.transform.prefetch([self.shards.urls[shard] for shard in following])
            if not batch.keys:  # every process must make this step: neighbours stand in
                spare = load_batch(reader, planned.spare, decode)
                batch = dataclasses.replace(spare, lost=batch.lost + spare.lost)
            yield batch
