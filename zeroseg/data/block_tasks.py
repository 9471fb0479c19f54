"""Work on rows that is done block by block, by whichever process comes to a block."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol, runtime_checkable

from numpy import ndarray

from zeroseg.data.stored_rows import Rows


@runtime_checkable
class Task(Protocol):
    """What is asked of some rows. A dataclass of arrays, and of values that JSON knows."""

    @property
    def blocks(self) -> int:
        """Blocks of the work, none of which needs another's result."""
        ...

    def begin(self, rows: Rows, root: str) -> Callable[[int], ndarray]:
        """What does a block, by its number, once what all need is there; `root` is the share's."""
        ...


@runtime_checkable
class Share(Protocol):
    """What has the blocks of tasks done."""

    @property
    def root(self) -> str:
        """Folder or URL of what all blocks may read."""
        ...

    def place(self, name: str) -> str:
        """Name of a folder below it that nothing else has; another one at each call."""
        ...

    def __call__(self, task: Task, rows: Rows) -> Iterator[ndarray]:
        """The result of each block, in their order."""
        ...


@dataclass
class InProcess:
    """Does the blocks in this process; its files go with it."""

    _folder: tempfile.TemporaryDirectory = field(
        default_factory=lambda: tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    )
    _places: Iterator[int] = field(default_factory=count)

    @property
    def root(self) -> str:
        """Folder of what all blocks may read."""
        return self._folder.name

    def place(self, name: str) -> str:
        """Name of a folder below it that nothing else has; another one at each call."""
        return f"{name}-{next(self._places)}"

    def __call__(self, task: Task, rows: Rows) -> Iterator[ndarray]:
        """The result of each block, in their order."""
        return map(task.begin(rows, self.root), range(task.blocks))


def blocks_of(total: int, size: int) -> int:
    """Blocks of `size` that so many make."""
    return -(-total // size)
