"""An index file read where it is asked: what stays in memory is where every 16th of its lines begins."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from zeroseg.errors import InputError
from zeroseg.store.tar_index import VERSION, Span, parse_line

STEP = 16
"""Lines of a block, which are read together."""


class Blocks(NamedTuple):
    """Where the lines of an index file are, to a block."""

    samples: int
    bounds: Integer[ndarray, " block"]
    """Offset of each block's first line; last comes the file's end."""


class IndexFile:
    """The samples of one shard, as its index file has them (`tar_index`), found when they are asked for.

    A shard of 10,000 samples takes 5 kB of memory; as a `TarIndex` it takes about 10 MB, and 100 ms to read.
    """

    def __init__(self, path: Path, blocks: Blocks | None = None) -> None:
        """`blocks` from an earlier opening of the same file save reading it through.

        Raises InputError when it is no index, OSError when there is none.
        """
        self.path = path
        self._file = os.open(path, os.O_RDONLY)
        self._size = os.fstat(self._file).st_size
        try:
            fits = blocks is not None and blocks.bounds[-1] == self._size
            self.blocks = blocks if blocks is not None and fits else self._found_blocks()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return self.blocks.samples

    def key(self, number: int) -> str:
        """Key of a sample."""
        return self.sample(number)[0]

    def sample(self, number: int) -> tuple[str, Mapping[str, Span]]:
        """Key of a sample and the spans of its members."""
        block = number // STEP
        return parse_line(self._text(block, block + 1).split(b"\n")[number % STEP].decode())

    def number(self, key: str, expected: int = 0) -> int | None:
        """Number of the sample of a key, None without one; looked for first near where it is expected."""
        last = len(self.blocks.bounds) - 1
        block = min(expected // STEP, last - 1)
        for first, end in ((max(0, block - 1), block + 1), (0, last)):
            text, wanted, at = self._text(first, end), f" {key}.".encode(), -1
            while (at := text.find(wanted, at + 1)) >= 0:
                number = first * STEP + text.count(b"\n", 0, at)
                if self.key(number) == key:  # and not the beginning of a path
                    return number
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _text(self, first: int, end: int) -> bytes:
        """The lines of some blocks."""
        begin, stop = int(self.blocks.bounds[first]), int(self.blocks.bounds[end])
        return os.pread(self._file, stop - begin, begin)

    def _found_blocks(self) -> Blocks:
        text = os.pread(self._file, self._size, 0)
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
        if text and not text.endswith(b"\n"):
            ends = np.append(ends, len(text))
        samples = max(0, len(ends) - 1)
        if text[: ends[0] if len(ends) else 0].split() != [VERSION.encode(), str(samples).encode()]:
            raise InputError(
                f"index {self.path} does not begin with '{VERSION} {samples}': delete it, it is made "
                "again by `zeroseg shards index`"
            )
        return Blocks(samples, np.append(ends[:-1:STEP], len(text)))
