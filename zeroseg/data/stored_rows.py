"""Rows of arrays on disk, read as those of one array, so that no more of them is in memory than is asked for."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Shaped
from numpy import ndarray

from zeroseg.errors import InputError
from zeroseg.store.storage import local_path, read_bytes, write_atomically

OPEN = 1024
"""Files that are mapped at a time; Linux allows a process 65,530."""


@runtime_checkable
class Rows(Protocol):
    """An array of rows, in memory or on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and their width."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, numbers: Int[ndarray, " some"], /) -> Shaped[ndarray, "some width"]: ...


@dataclass(frozen=True)
class StoredRows:
    """The rows of one file after those of another."""

    name: str
    """By which the processes of a job know it."""
    urls: Sequence[str]
    """Of arrays that `write_array` wrote."""
    counts: Sequence[int]
    """Rows of each."""
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and their width."""
        return len(self), self.width

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, numbers: Int[ndarray, " some"]) -> Shaped[ndarray, "some width"]:
        """The rows of some numbers, in their order, copied. Raises InputError as `read_array`."""
        if not len(numbers):
            return np.zeros((0, self.width), np.float16)
        files = np.searchsorted(self._starts, numbers, side="right") - 1
        order = np.argsort(files, kind="stable")
        found, begins = np.unique(files[order], return_index=True)
        parts = []
        for file, places in zip(found.tolist(), np.split(order, begins[1:]), strict=True):
            parts.append(self._opened(self.urls[file])[numbers[places] - self._starts[file]])
        rows = np.concatenate(parts)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return rows if (np.diff(order) == 1).all() else rows[back]

    @cached_property
    def _starts(self) -> Int[ndarray, " files_and_end"]:
        return np.cumsum([0, *self.counts])

    @cached_property
    def _opened(self) -> Callable[[str], Shaped[ndarray, "_ width"]]:
        return lru_cache(OPEN)(read_array)


def write_array(url: str, array: Shaped[ndarray, "..."]) -> None:
    """Write an array, all of it or nothing."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_atomically(url, buffer.getvalue())


def read_array(url: str) -> Shaped[ndarray, "..."]:
    """An array that `write_array` wrote: mapped where its file is local, else read.

    Raises InputError when the file is damaged.
    """
    path = local_path(url)
    try:
        if path is not None:
            return np.load(path, mmap_mode="r")
        return np.load(io.BytesIO(read_bytes(url)))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            f"{url} cannot be read ({error}): remove it, and run the same command again"
        ) from error
