"""Selections of any samples, as `zeroseg curate` writes them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.streams import IMPATIENT
from zeroseg.store.reader import ShardReader
from zeroseg.store.selection import LeftOut, SelectedShard, write_selection
from zeroseg.store.shard_set import open_set


def leave_out(shards: str, folder: Path, gone: Iterable[int] | Mapping[int, LeftOut]) -> str:
    """Write a selection without some samples, by their numbers in the whole set."""
    opened = open_set(shards, IMPATIENT)
    reader, left_out, first = ShardReader(opened, IMPATIENT), {}, 0
    wanted = gone if isinstance(gone, Mapping) else dict.fromkeys(gone)
    for shard, count in enumerate(opened.counts):
        record = SelectedShard(
            name=opened.names[shard],
            samples=count,
            sha256=opened.digests[shard],
            left_out=0,
        )
        numbers = [n for n in range(count) if first + n in wanted]
        left_out[record] = [
            wanted[first + n] or LeftOut(number=n, key=reader.key(shard, n), reason="chosen")
            for n in numbers
        ]
        first += count
    reader.close()
    write_selection(str(folder), left_out, steps={})
    return str(folder)
