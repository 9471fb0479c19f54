"""A bounded part of what a selection leaves out: enough to judge it by, whatever its size."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from tqdm import tqdm

from zeroseg.store.selection import LeftOut, SelectedShard, read_left_out

AT_MOST = 16
"""Lines of a kind."""


@dataclass
class Least:
    """The lines of least value among many, of equal ones the first."""

    found: list[tuple[float, int, LeftOut]] = field(default_factory=list)
    """Value, shard and line."""

    def add(self, value: float, shard: int, line: LeftOut) -> None:
        """Take a line in, as long as it is among the least."""
        self.found.append((value, shard, line))
        if len(self.found) > 8 * AT_MOST:
            self._sort()

    def lines(self, count: int) -> list[tuple[int, LeftOut]]:
        """Shard and line of so many, `AT_MOST` at most, the least first."""
        self._sort()
        return [(shard, line) for _, shard, line in self.found[:count]]

    def _sort(self) -> None:
        self.found.sort(key=lambda entry: entry[:2])
        del self.found[AT_MOST:]


@dataclass(frozen=True)
class Excerpt:
    """Lines by reason."""

    doubtful: Mapping[str, Least]
    """Of those that have a cosine, the lowest."""
    certain: Mapping[str, Least]
    """The highest."""
    any: Mapping[str, Least]
    """Of those without one, by a digest of the key: a sample of all."""
    gone: frozenset[tuple[int, int]]
    """Those of the places that were asked for that do not stay."""


def excerpt_of(
    folder: str, shards: Sequence[SelectedShard], asked: Int[ndarray, "image 2"]
) -> Excerpt:
    """Read every line of a selection once. `asked` has places, shard and number there.

    Raises InputError when a file of lines is damaged.
    """
    doubtful: dict[str, Least] = {}
    certain: dict[str, Least] = {}
    others: dict[str, Least] = {}
    places, gone = frozenset(map(tuple, asked.tolist())), set()
    for shard, record in enumerate(tqdm(shards, "selection", unit="shard", delay=2)):
        for line in read_left_out(folder, record):
            if (shard, line.number) in places:
                gone.add((shard, line.number))
            if line.cosine is None:
                digest = zlib.crc32(line.key.encode("utf-8", "surrogateescape"))
                others.setdefault(line.reason, Least()).add(digest, shard, line)
            else:
                doubtful.setdefault(line.reason, Least()).add(line.cosine, shard, line)
                certain.setdefault(line.reason, Least()).add(-line.cosine, shard, line)
    return Excerpt(doubtful, certain, others, frozenset(gone))


def sample_of(counts: Sequence[int], shards: int, images: int) -> Int[ndarray, "image 2"]:
    """Places of at most so many images, of at most so many shards; the same for the same counts."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(np.flatnonzero(counts))[:shards])
    places = np.concatenate([[(s, n) for n in range(counts[s])] for s in chosen])
    return places[np.sort(rng.permutation(len(places))[:images])]
