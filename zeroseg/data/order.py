"""Order: which sample comes when, a function of seed and epoch alone, and who reads it.

An epoch is one line of positions. Its shards, permuted, are divided into rounds, and the samples of a round
are permuted among themselves; where all shards are in one round, that is the whole epoch. A place in a
round comes from a keyed permutation and not from a table, so that any position is found at once. Processes
take equal, contiguous shares of the line, so that each is in few rounds. Nothing here reads a file.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from zeroseg.data.permutation import permuted

Interval = tuple[int, int]
"""Positions from the first up to, not including, the second."""
Consumed = tuple[int, int]
"""How a part of an epoch was read: number of ranks, and samples taken from each."""


@dataclass(frozen=True)
class EpochOrder:
    """Where each position of one epoch lies: a shard, and a sample in it."""

    counts: tuple[int, ...]
    """Samples of each shard."""
    weights: tuple[float, ...]
    """How often a shard's samples come in an epoch; 1 is once. A fraction is the chance of one more."""
    parts: tuple[int, ...]
    """Which part of a set each shard is of. Every round has its share of every part, to a shard."""
    mixed: int | None
    """Shards of a round (at least one of each part), whose samples are permuted among themselves; None
    has all in one round, 0 has one in a round and leaves its samples as they stand."""
    seed: int
    epoch: int

    @cached_property
    def shards(self) -> Int[ndarray, " place"]:
        """The shards of this epoch, permuted part by part; one of weight 2 stands there twice."""
        rng = random.Random(f"{self.seed}/{self.epoch}")
        times = np.array([int(w) + (rng.random() < w % 1) for w in self.weights])
        parts = np.asarray(self.parts)
        lines = []
        for part in np.unique(parts):
            line = np.repeat(np.arange(len(parts)), np.where(parts == part, times, 0))
            key = (self.seed, self.epoch, 0, int(part))
            lines.append(line[permuted(np.arange(len(line)), len(line), key)])
        return np.concatenate(lines)

    @cached_property
    def _counts(self) -> Int[ndarray, " place"]:
        """Samples of each of `shards`."""
        return np.asarray(self.counts)[self.shards]

    @cached_property
    def _ends(self) -> Int[ndarray, " place"]:
        """Where the samples of each of `shards` end, on a line of them all."""
        return np.cumsum(self._counts)

    @cached_property
    def _cuts(self) -> Int[ndarray, "part cut"]:
        """Where each round begins and ends on that line, for each part.

        A part with at least a shard for each round is cut between shards, any other inside them.
        """
        sizes = np.unique(np.asarray(self.parts)[self.shards], return_counts=True)[1]
        room = max(1, len(self.shards) if self.mixed is None else self.mixed)
        if len(sizes) > 1 and self.mixed is not None:
            room = max(1, room - len(sizes))
        rounds = max(1, -(-len(self.shards) // room))
        starts = np.concatenate(([0], self._ends))
        counts = np.append(self._counts, 0)
        cuts = []
        for first, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
            place, rest = np.divmod(size * np.arange(rounds + 1), rounds)
            place += first
            inside = 0 if size >= rounds else counts[place] * rest // rounds
            cuts.append(starts[place] + inside)
        return np.stack(cuts)

    @cached_property
    def _round_ends(self) -> Int[ndarray, " round"]:
        """Where each round ends on the line of positions."""
        return np.cumsum(np.diff(self._cuts).sum(axis=0))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def samples(self, start: int, stop: int) -> list[tuple[int, int]]:
        """(shard, sample in it) at each position from `start` to `stop`."""
        if stop <= start:
            return []
        places = []
        for number in range(self._round(start), self._round(stop - 1) + 1):
            end = int(self._round_ends[number])
            first = int(self._round_ends[number - 1]) if number else 0
            inside = np.arange(max(start, first), min(stop, end)) - first
            if self.mixed != 0:
                inside = permuted(inside, end - first, (self.seed, self.epoch, 1, number))
            places.append(self._places(number, inside))
        line = np.concatenate(places)
        at = np.searchsorted(self._ends, line, side="right")
        numbers = line - self._ends[at] + self._counts[at]
        return list(zip(self.shards[at].tolist(), numbers.tolist(), strict=True))

    def following(self, position: int, share: Sequence[Interval]) -> tuple[int, ...]:
        """Shards of the next round that a share comes to, without those of the round of a position."""
        present = self._round(position)
        end = int(self._round_ends[present])
        start = next((max(a, end) for a, b in share if b > end), None)
        if start is None:
            return ()
        here = set(self._shards_of(present))
        return tuple(s for s in self._shards_of(self._round(start)) if s not in here)

    def _round(self, position: int) -> int:
        return int(np.searchsorted(self._round_ends, position, side="right"))

    def _places(self, number: int, inside: Int[ndarray, " n"]) -> Int[ndarray, " n"]:
        """Where the places inside a round are on the line of samples."""
        begin, end = self._cuts[:, number], self._cuts[:, number + 1]
        ends = np.cumsum(end - begin)
        part = np.searchsorted(ends, inside, side="right")
        return inside - ends[part] + end[part]

    def _shards_of(self, number: int) -> list[int]:
        begin, end = self._cuts[:, number], self._cuts[:, number + 1]
        first = np.searchsorted(self._ends, begin, side="right")
        last = np.searchsorted(self._ends, end - 1, side="right")
        runs = [
            self.shards[a : b + 1] for a, b, n in zip(first, last, end - begin, strict=True) if n
        ]
        return list(dict.fromkeys(np.concatenate(runs).tolist()))


def remaining(total: int, consumed: Sequence[Consumed]) -> list[Interval]:
    """What is left of an epoch after it was read in each of these ways, one after the other."""
    left = [(0, total)]
    for ranks, taken in consumed:
        left = [
            piece
            for rank in range(ranks)
            for piece in cut(left, *_bounds(left, rank, ranks, skip=taken))
        ]
    return left


def rank_share(left: Sequence[Interval], rank: int, ranks: int) -> list[Interval]:
    """One reader's part of what is left; all parts are equal to one sample."""
    return cut(left, *_bounds(left, rank, ranks))


def cut(intervals: Sequence[Interval], start: int, stop: int) -> list[Interval]:
    """The part of a line of intervals from its `start`-th position to its `stop`-th."""
    pieces, before = [], 0
    for a, b in intervals:
        low, high = max(a, a + start - before), min(b, a + stop - before)
        if low < high:
            pieces.append((low, high))
        before += b - a
    return pieces


def measure(intervals: Sequence[Interval]) -> int:
    """Positions in all."""
    return sum(b - a for a, b in intervals)


def _bounds(left: Sequence[Interval], rank: int, ranks: int, skip: int = 0) -> tuple[int, int]:
    total = measure(left)
    start, stop = total * rank // ranks, total * (rank + 1) // ranks
    return min(start + skip, stop), stop
