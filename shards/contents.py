"""What is in a tar, damaged or not."""

import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedReader
from typing import NamedTuple

from zeroseg.errors import NoRoom
from zeroseg.store.local_files import temporary_folder
from zeroseg.store.shard_cache import ShardCache, is_local
from zeroseg.store.tar_index import NAMES, Span, TarIndex, headers, sample_members


class StoredSample(NamedTuple):
    """Members that stand side by side under one key."""

    key: str
    members: list[tuple[str, Span]]
    """By extension, which may come twice."""


@dataclass(frozen=True)
class Contents:
    """What is in a tar, damaged or not."""

    samples: list[StoredSample]
    damage: list[int]
    """Offsets at which a header or the end mark should be and is not."""
    passed_over: Mapping[str, int]
    """Members that are of no sample, counted by what they are."""

    @property
    def index(self) -> TarIndex:
        """What an index file should hold."""
        return TarIndex(
            tuple(s.key for s in self.samples), tuple(dict(s.members) for s in self.samples)
        )


@contextmanager
def open_shard(url: str) -> Iterator[BufferedReader]:
    """A local file with the shard's bytes, its index beside it.

    A remote shard is fetched for this alone: a copy that was kept may differ from what is there.
    Raises OSError when it cannot be had.
    """
    with nullcontext() if is_local(url) else temporary_folder() as folder:
        cache = ShardCache() if folder is None else ShardCache(folder=folder)
        try:
            file = cache.retry(lambda: cache.read(url, lambda copy: copy.open("rb")))
        except NoRoom as error:
            raise NoRoom(f"{error}, by setting TMPDIR") from error
        except Exception as error:  # whatever a storage's own library makes of it
            raise OSError(f"{type(error).__name__}: {error}") from error
        with file:
            yield file


def contents(file: BufferedReader) -> Contents:
    """Find every sample, also those behind a damaged header, as `scan` finds those of a whole tar."""
    infos: list[tarfile.TarInfo] = []
    damage, end = [], 0
    for info, after in _headers(file):
        if info.offset != end:
            damage.append(end)
        end = after
        infos.append(info)
    file.seek(min(end, size_of(file)))  # a damaged size can be any number
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        damage.append(end)
    found, passed_over = sample_members(infos)
    samples: list[StoredSample] = []
    for key, extension, span in found:
        if not samples or samples[-1].key != key:
            samples.append(StoredSample(key, []))
        samples[-1].members.append((extension, span))
    return Contents(samples, damage, passed_over)


def _headers(file: BufferedReader) -> Iterator[tuple[tarfile.TarInfo, int]]:
    """Every member with a whole header, and where the next header should be."""
    start, size = 0, size_of(file)
    while start < size:
        file.seek(start)
        try:
            with tarfile.open(fileobj=file, mode="r:", ignore_zeros=True, **NAMES) as tar:
                for info in headers(tar):
                    yield info, tar.offset
            return
        except Exception:  # a damaged extended header can raise nearly anything
            start = max(start + tarfile.BLOCKSIZE, file.tell())


def size_of(file: BufferedReader) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size
