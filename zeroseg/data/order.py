"""Order: which sample comes when, a function of seed and epoch alone, and who reads it.

An epoch is one line of positions: its shards in a permuted order, then the samples shuffled within
blocks of neighbouring positions. Processes take equal, contiguous ranks of that line, so that each
touches few shards. Nothing here reads a file.
"""

import bisect
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

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
    block: int
    """Positions that are shuffled among themselves; 0 or 1 leaves samples as they stand."""
    seed: int
    epoch: int

    @cached_property
    def shards(self) -> tuple[int, ...]:
        """The shards of this epoch, permuted; one of weight 2 stands there twice."""
        rng = random.Random(f"{self.seed}/{self.epoch}")
        times = [int(w) + (rng.random() < w % 1) for w in self.weights]
        chosen = [shard for shard, n in enumerate(times) for _ in range(n)]
        rng.shuffle(chosen)
        return tuple(chosen)

    @cached_property
    def _ends(self) -> list[int]:
        return list(itertools.accumulate(self.counts[shard] for shard in self.shards))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def samples(self, start: int, stop: int) -> list[tuple[int, int]]:
        """(shard, sample in it) at each position from `start` to `stop`."""
        return [self._at(p) for p in self._shuffled(start, stop)]

    def following(self, position: int, rank_share: Sequence[Interval]) -> int | None:
        """The shard that a rank_share comes to after those that are read around a position; None after
        the last."""
        size = max(1, self.block)
        last = min((position // size + 1) * size, len(self)) - 1
        end = self._ends[bisect.bisect_right(self._ends, last)]
        ahead = (p for a, b in rank_share if b > end for p in self._shuffled(max(a, end), b))
        start = next((p for p in ahead if p >= end), None)
        return None if start is None else self._at(start)[0]

    def _shuffled(self, start: int, stop: int) -> Iterator[int]:
        size = max(1, self.block)
        for number in range(start // size, -(-stop // size)):
            first = number * size
            last = min(first + size, len(self))
            places = np.random.default_rng((self.seed, self.epoch, number)).permutation(
                last - first
            )
            yield from (
                first + int(p) for p in places[max(0, start - first) : max(0, stop - first)]
            )

    def _at(self, position: int) -> tuple[int, int]:
        place = bisect.bisect_right(self._ends, position)
        shard = self.shards[place]
        return shard, position - (self._ends[place] - self.counts[shard])


def remaining(total: int, consumed: Sequence[Consumed]) -> list[Interval]:
    """What is left of an epoch after it was read in each of these ways, one after the other."""
    left = [(0, total)]
    for ranks, taken in consumed:
        left = [
            piece
            for rank_share in range(ranks)
            for piece in cut(left, *_bounds(left, rank_share, ranks, skip=taken))
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
