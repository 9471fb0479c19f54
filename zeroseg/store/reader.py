"""Random access to samples: the bytes of one by its shard and its number there."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import NamedTuple

import numpy as np

from zeroseg.errors import InputError, NoRoom
from zeroseg.store.index_file import Blocks, IndexFile
from zeroseg.store.shard_cache import Result, ShardCache
from zeroseg.store.shard_set import ShardSet
from zeroseg.store.tar_index import Span, TarIndex, index_path, scan, tells_of

OPEN_SHARDS = 64
"""Most shards that a reader holds open, two files each. An epoch that is shuffled as a whole comes to all
of them in turn; to open one again costs microseconds, for where its index file has what is remembered."""


class UnreadableShard(Exception):
    """A shard that could not be opened, after all retries."""


class RawSample(NamedTuple):
    """One sample's members, undecoded."""

    shard: str
    key: str
    members: dict[str, bytes]
    number: int = 0
    """Its number in the shard, whatever a selection leaves of it."""
    labelled: bool = False
    """Whether its set has classes, so that a PNG is a label map and never the image."""


class _OpenShard(NamedTuple):
    index: IndexFile | TarIndex
    file: int
    """Its descriptor."""

    def close(self) -> None:
        os.close(self.file)
        self.index.close()


class ShardReader:
    """Reads samples by shard and number, among those that stay; keeps some shards open. One for each process."""

    def __init__(self, shards: ShardSet, cache: ShardCache) -> None:
        self.shards, self.cache = shards, cache
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._blocks: dict[int, Blocks] = {}
        self._unreadable: dict[int, str] = {}
        self._scanned: dict[int, TarIndex | str] = {}
        self._expected: tuple[int, ...] = ()
        self._copying: threading.Thread | None = None

    def key(self, shard: int, number: int) -> str:
        """Key of a sample. Raises UnreadableShard."""
        return self._shard(shard).index.key(self._stored(shard, number))

    def number(self, shard: int, key: str, expected: int = 0) -> int | None:
        """Number of the sample of that key; None if the shard has none. Found sooner where it is expected.
        Raises UnreadableShard."""
        index, kept = self._shard(shard).index, self.shards.kept_of(shard)
        if kept is None:
            return index.number(key, expected)
        stored = index.number(key, int(kept.numbers[min(expected, len(kept.numbers) - 1)]))
        if stored is None:
            return None
        number = int(np.searchsorted(kept.numbers, stored))
        found = number < len(kept.numbers) and kept.numbers[number] == stored
        return number if found else None

    def _stored(self, shard: int, number: int) -> int:
        """Number in the shard of one of those that stay."""
        kept = self.shards.kept_of(shard)
        return number if kept is None else int(kept.numbers[number])

    def read(self, shard: int, number: int, only: Collection[str] = ()) -> RawSample:
        """A sample's members, all or `only` those of these extensions, as far as it has them.

        Raises UnreadableShard, or OSError when the file is not what its index says.
        """
        index, file = self._shard(shard)
        stored = self._stored(shard, number)
        key, spans = index.sample(stored)
        members = {}
        for extension, span in spans.items():
            if only and extension not in only:
                continue
            if isinstance(index, IndexFile):
                header = os.pread(file, BLOCKSIZE, max(0, span.offset - BLOCKSIZE))
                if not tells_of(header, f"{key}.{extension}", span.size):
                    self._compare(shard, stored, (key, spans))
            members[extension] = os.pread(file, span.size, span.offset)
            if len(members[extension]) != span.size:
                raise OSError(f"the shard ends inside member {extension}")
        labelled = bool(self.shards.classes)
        return RawSample(self.shards.urls[shard], key, members, stored, labelled)

    def _compare(self, shard: int, stored: int, indexed: tuple[str, Mapping[str, Span]]) -> None:
        """Raises OSError unless the tar, read through once, has the sample as its index does: the bytes
        of a link lie behind the header of another member."""
        if shard not in self._scanned:
            try:
                self._scanned[shard] = self._read(shard, scan)
            except (OSError, InputError) as error:
                self._scanned[shard] = str(error)
        found = self._scanned[shard]
        if isinstance(found, str):
            raise OSError(found)
        if stored >= len(found) or found.sample(stored) != indexed:
            raise OSError(
                f"sample {indexed[0]} is not where the shard's index file says: delete that, or copy "
                "what is whole by `zeroseg shards check --repair`"
            )

    def announce(self, samples: Iterable[tuple[int, int]]) -> None:
        """Have the disk read samples, all at once, that will be read and decoded one after another."""
        if not hasattr(os, "posix_fadvise"):  # macOS
            return
        for shard, number in samples:
            with suppress(Exception):  # it is told once the sample is read
                index, file = self._shard(shard)
                spans = index.sample(self._stored(shard, number))[1].values()
                first, end = min(s.offset for s in spans), max(s.offset + s.size for s in spans)
                os.posix_fadvise(file, first, end - first, os.POSIX_FADV_WILLNEED)

    def prefetch(self, shards: Sequence[int]) -> None:
        """Begin to copy remote shards, which will be read soon, in the background, one after another."""
        wanted = tuple(shards)
        busy = self._copying is not None and self._copying.is_alive()
        if busy or wanted == self._expected:
            return
        self._expected = wanted
        if missing := [s for s in wanted if self.shards.copied[s] and s not in self._open]:
            self._copying = threading.Thread(target=self._copy, args=(missing,), daemon=True)
            self._copying.start()

    def _copy(self, shards: Sequence[int]) -> None:
        for shard in shards:
            with suppress(Exception):  # it is tried again, and told, once the shard is needed
                self._read(shard, lambda copy: None)

    def close(self) -> None:
        """Close every shard."""
        while self._open:
            self._open.popitem()[1].close()

    def _shard(self, shard: int) -> _OpenShard:
        if shard in self._unreadable:
            raise UnreadableShard(self._unreadable[shard])
        if shard not in self._open:
            try:
                open_copy = partial(self._open_copy, shard)
                self._open[shard] = self.cache.retry(lambda: self._read(shard, open_copy))
            except NoRoom:
                raise
            except (OSError, InputError) as error:
                self._unreadable[shard] = str(error)
                raise UnreadableShard(str(error)) from error
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return self._open[shard]

    def _read(self, shard: int, action: Callable[[Path], Result]) -> Result:
        return self.cache.read(self.shards.urls[shard], action, self.shards.versions[shard])

    def _open_copy(self, shard: int, path: Path) -> _OpenShard:
        index, kept = self._index(shard, path), self.shards.kept_of(shard)
        counted = self.shards.counts[shard] if kept is None else kept.stored
        try:
            if len(index) != counted:
                raise InputError(
                    f"shard {self.shards.urls[shard]} has {len(index)} samples, "
                    f"{counted} were counted before"
                )
            if kept is not None and index.key(kept.known[0]) != kept.known[1]:
                raise InputError(
                    f"the selection is of another shard than {self.shards.urls[shard]}, whose sample "
                    f"{kept.known[0]} has not the key {kept.known[1]}"
                )
            return _OpenShard(index, os.open(path, os.O_RDONLY))
        except BaseException:
            index.close()
            raise

    def _index(self, shard: int, path: Path) -> IndexFile | TarIndex:
        try:
            index = IndexFile(index_path(path), self._blocks.get(shard))
        except FileNotFoundError:
            return scan(path)
        self._blocks[shard] = index.blocks
        return index
