"""An index file read line by line: what stays in memory is where its lines end, four bytes a sample."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from zeroseg.errors import InputError
from zeroseg.store.tar_index import VERSION, Span, parse_line

NEIGHBOURS = 4
"""Lines before the expected one that are tried before the whole file is searched."""


class IndexFile:
    """The samples of one shard, as its index file has them (`tar_index`), found when they are asked for.

    A thousand shards of 10,000 samples take 40 MB, where `TarIndex` takes 10 MB for each.
    """

    def __init__(self, path: Path, ends: Integer[ndarray, " line"] | None = None) -> None:
        """`ends` from an earlier opening of the same file save reading it. Raises InputError when it is no
        index, OSError when there is none."""
        self.path = path
        self._file = os.open(path, os.O_RDONLY)
        self._size = os.fstat(self._file).st_size
        try:
            self.ends = self._found_ends() if ends is None or ends[-1] != self._size else ends
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self.ends) - 1

    def key(self, number: int) -> str:
        """Key of a sample."""
        return self.sample(number)[0]

    def sample(self, number: int) -> tuple[str, Mapping[str, Span]]:
        """Key of a sample and the spans of its members."""
        begin, end = int(self.ends[number]), int(self.ends[number + 1])
        return parse_line(os.pread(self._file, end - begin, begin).decode())

    def number(self, key: str, expected: int = 0) -> int | None:
        """Number of the sample of a key, None without one; looked for first near where it is expected."""
        last = min(expected, len(self) - 1)
        for number in range(last, max(-1, last - NEIGHBOURS), -1):
            if self.key(number) == key:
                return number
        text, wanted, at = self._text(), f" {key}.".encode(), -1
        while (at := text.find(wanted, at + 1)) >= 0:
            number = int(np.searchsorted(self.ends, at, side="right")) - 1
            if self.key(number) == key:  # and not the beginning of a path
                return number
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _text(self) -> bytes:
        return os.pread(self._file, self._size, 0)

    def _found_ends(self) -> Integer[ndarray, " line"]:
        text = self._text()
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
        if text and not text.endswith(b"\n"):
            ends = np.append(ends, len(text))
        head = text[: ends[0]].decode(errors="replace").split() if len(ends) else []
        if head != [VERSION, str(len(ends) - 1)]:
            raise InputError(
                f"index {self.path} does not begin with '{VERSION} {max(0, len(ends) - 1)}': delete it, it "
                "is made again by `zeroseg shards index`"
            )
        return ends.astype(np.uint32 if len(text) < 2**32 else np.int64)
