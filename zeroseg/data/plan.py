"""Which samples make each batch of each process, from any place in the data on.

A place is a few numbers, so that resuming costs the same everywhere; it holds for any number of
processes, so that a job may go on with more or fewer of them.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zeroseg.data.order import Consumed, EpochOrder, cut, measure, rank_share, remaining
from zeroseg.errors import InputError

ORDER = "rounds of shards, permuted (1)"
"""Name of the order that a saved place is in, which changes whenever `EpochOrder`'s lines do."""


@dataclass(frozen=True)
class Position:
    """Between two steps of a job: everything before it was read, nothing after."""

    epoch: int = 0
    consumed: tuple[Consumed, ...] = ()
    """How the part of this epoch that was read was read; an entry for each change of the number
    of processes."""
    left_out: int = 0
    """Samples at the ends of epochs that did not fill a batch of every process, so far."""
    mixed: int | None = None
    """Shards that are mixed at a time in this epoch, once it has begun: it ends as it began, whatever
    the plan of those who go on with it."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, and the order's name."""
        return {"order": ORDER} | dataclasses.asdict(self)

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> "Position":
        """The reverse. Raises InputError for a place in another order."""
        if (order := state.get("order", "blocks of neighbouring samples")) != ORDER:
            raise InputError(
                f"the checkpoint's place in the data is in the order {order!r}, this version reads in "
                f"{ORDER!r}: finish the run with the version that began it, or begin another --output"
            )
        consumed = tuple((int(ranks), int(taken)) for ranks, taken in state["consumed"])
        return Position(int(state["epoch"]), consumed, int(state["left_out"]), state["mixed"])


@dataclass(frozen=True)
class PlannedBatch:
    """One batch of one process: (shard, sample) pairs, and those that would come next."""

    epoch: int
    samples: list[tuple[int, int]]
    spare: list[tuple[int, int]]
    """Stand in when none of the samples can be read; as many, in the same share where it goes on."""
    following: tuple[int, ...]
    """The shards that come after those of these samples, to be fetched meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The batches of every process, as a function of these values alone.

    An epoch ends when the ranks cannot all fill a batch: fewer than processes x batch size samples
    are left out, others in every epoch. Raises InputError when a whole epoch fills no batch.
    """

    counts: tuple[int, ...]
    weights: tuple[float, ...]
    parts: tuple[int, ...]
    mixed: int | None
    """These four as in `EpochOrder`."""
    seed: int
    ranks: int
    """Processes."""
    batch_size: int
    """Of one process."""

    def __post_init__(self) -> None:
        if len(self.order(0)) < self.ranks * self.batch_size:
            raise InputError(
                f"{len(self.order(0))} images do not fill one batch of {self.batch_size} for each of "
                f"{self.ranks} processes: lower --data.batch-size"
            )

    def order(self, epoch: int) -> EpochOrder:
        """The line of one epoch that begins with this plan."""
        return self._order(Position(epoch))

    def batches(
        self, position: Position, rank: int, first: int = 0, stride: int = 1
    ) -> Iterator[PlannedBatch]:
        """Every `stride`-th batch of a process from `place` on, beginning with the `first`; endless."""
        step = first
        while True:
            order, part = self._order(position), self._part(position)
            mine = rank_share(part.left, rank, self.ranks)
            while step < part.steps:
                at = part.taken + step * self.batch_size
                yield self._batch(order, mine, at)
                step += stride
            step -= part.steps
            position = self._next_epoch(position, part)

    def after(self, position: Position, steps: int) -> Position:
        """Where a job is that made `steps` more steps from `place`."""
        while steps >= (part := self._part(position)).steps:
            steps -= part.steps
            position = self._next_epoch(position, part)
        if not steps:
            return position
        part = self._part(position)
        consumed = (*part.earlier, (self.ranks, part.taken + steps * self.batch_size))
        return dataclasses.replace(position, consumed=consumed, mixed=self._mixed(position))

    def _mixed(self, position: Position) -> int | None:
        return position.mixed if position.consumed else self.mixed

    def _order(self, position: Position) -> EpochOrder:
        epoch, mixed = key = (position.epoch, self._mixed(position))
        if key not in self._orders:
            self._orders.clear()
            self._orders[key] = EpochOrder(
                self.counts, self.weights, self.parts, mixed, self.seed, epoch
            )
        return self._orders[key]

    @cached_property
    def _orders(self) -> dict[tuple[int, int | None], EpochOrder]:
        """The order that was asked for last, whose line of shards takes a while to lay."""
        return {}

    def _part(self, position: Position) -> "_Part":
        earlier, taken = position.consumed, 0
        if earlier and earlier[-1][0] == self.ranks:
            *others, (_, taken) = earlier
            earlier = tuple(others)
        left = remaining(len(self._order(position)), earlier)
        shortest = measure(left) // self.ranks
        return _Part(earlier, taken, left, max(0, (shortest - taken) // self.batch_size))

    def _next_epoch(self, position: Position, part: "_Part") -> Position:
        read = self.ranks * (part.taken + part.steps * self.batch_size)
        return Position(position.epoch + 1, (), position.left_out + measure(part.left) - read)

    def _batch(self, order: EpochOrder, mine: list[tuple[int, int]], at: int) -> PlannedBatch:
        size = self.batch_size
        both = [sample for a, b in cut(mine, at, at + 2 * size) for sample in order.samples(a, b)]
        spare = both[size:] or [s for a, b in cut(mine, 0, size) for s in order.samples(a, b)]
        (first, _), *_ = cut(mine, at, at + 1)
        return PlannedBatch(order.epoch, both[:size], spare, order.following(first, mine))


@dataclass(frozen=True)
class _Part:
    """How the rest of an epoch is read: ranks over `left`, of which `taken` are gone already."""

    earlier: tuple[Consumed, ...]
    taken: int
    left: list[tuple[int, int]]
    steps: int
