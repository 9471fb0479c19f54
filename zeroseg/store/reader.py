"""Random access to samples: the bytes of one by its shard and its number there."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from zeroseg.errors import InputError
from zeroseg.store.shard_cache import Result, ShardCache, is_local
from zeroseg.store.shard_set import ShardSet
from zeroseg.store.tar_index import TarIndex, read_index

OPEN_SHARDS = 8
"""Most shards that a reader holds open; a shuffled block of neighbours seldom spans more."""


class UnreadableShard(Exception):
    """A shard that could not be opened, after all retries."""


class RawSample(NamedTuple):
    """One sample's members, undecoded."""

    shard: str
    key: str
    members: dict[str, bytes]


class _OpenShard(NamedTuple):
    index: TarIndex
    file: int
    """Its descriptor."""


class ShardReader:
    """Reads samples by shard and number; keeps a few shards open. One for each process."""

    def __init__(self, shards: ShardSet, cache: ShardCache) -> None:
        self.shards, self.cache = shards, cache
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._unreadable: dict[int, str] = {}
        self._expected: int | None = None
        self._copying: threading.Thread | None = None

    def key(self, shard: int, number: int) -> str:
        """Key of a sample. Raises UnreadableShard."""
        return self._shard(shard).index.keys[number]

    def number(self, shard: int, key: str) -> int | None:
        """Number of the sample of that key; None if the shard has none. Raises UnreadableShard."""
        return self._shard(shard).index.numbers.get(key)

    def read(self, shard: int, number: int, only: Collection[str] = ()) -> RawSample:
        """A sample's members, all or `only` those of these extensions, as far as it has them.

        Raises UnreadableShard, or OSError when the file is shorter than its index says.
        """
        index, file = self._shard(shard)
        members = {}
        for extension, span in index.members[number].items():
            if only and extension not in only:
                continue
            members[extension] = os.pread(file, span.size, span.offset)
            if len(members[extension]) != span.size:
                raise OSError(f"the shard ends inside member {extension}")
        return RawSample(self.shards.urls[shard], index.keys[number], members)

    def prefetch(self, shard: int) -> None:
        """Begin to copy a remote shard, which will be read soon, in the background."""
        busy = self._copying is not None and self._copying.is_alive()
        if busy or shard == self._expected or shard in self._open:
            return
        self._expected = shard
        if not is_local(self.shards.urls[shard]):
            self._copying = threading.Thread(target=self._copy, args=(shard,), daemon=True)
            self._copying.start()

    def _copy(self, shard: int) -> None:
        with suppress(Exception):  # it is tried again, and told, once the shard is needed
            self._read(shard, lambda copy: None)

    def close(self) -> None:
        """Close every shard."""
        while self._open:
            os.close(self._open.popitem()[1].file)

    def _shard(self, shard: int) -> _OpenShard:
        if shard in self._unreadable:
            raise UnreadableShard(self._unreadable[shard])
        if shard not in self._open:
            try:
                open_copy = partial(self._open_copy, shard)
                self._open[shard] = self.cache.retry(lambda: self._read(shard, open_copy))
            except (OSError, InputError) as error:
                self._unreadable[shard] = str(error)
                raise UnreadableShard(str(error)) from error
            if len(self._open) > OPEN_SHARDS:
                os.close(self._open.popitem(last=False)[1].file)
        self._open.move_to_end(shard)
        return self._open[shard]

    def _read(self, shard: int, action: Callable[[Path], Result]) -> Result:
        return self.cache.read(self.shards.urls[shard], action, self.shards.versions[shard])

    def _open_copy(self, shard: int, path: Path) -> _OpenShard:
        index = read_index(path)
        if len(index) != self.shards.counts[shard]:
            raise InputError(
                f"shard {self.shards.urls[shard]} has {len(index)} samples, "
                f"{self.shards.counts[shard]} were counted before"
            )
        return _OpenShard(index, os.open(path, os.O_RDONLY))
