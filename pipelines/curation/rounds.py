"""Work that the processes of a job share by files alone: rounds of tasks, each of blocks.

The main process asks, round by round: `0003/task.json`, written after the arrays that belong to it. Every
process does the blocks that fall to it, each a file `0003/<block>.npy`, and the main process goes on when
all are there. The others take one round after the other, until there is `selection.json`, or `over`, which
the main process writes when it gives up. What is asked depends on nothing but what was found, so that a job
that was stopped asks the same again, and finds what is done, whatever the number of its processes.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import count

from numpy import ndarray

from pipelines.curation.facts import WORKING
from shards.parallel import count_image, in_parallel
from zeroseg.data.block_tasks import Task
from zeroseg.data.stored_rows import Rows, StoredRows, read_array, write_array
from zeroseg.data.vector_tasks import IndexPieces, NearestOf, NearPairs, PairCosines
from zeroseg.errors import InputError
from zeroseg.store.selection import NAME
from zeroseg.store.storage import exists, join, read_bytes, write_atomically

KINDS: Mapping[str, Callable[..., Task]] = {
    kind.__name__: kind for kind in (IndexPieces, NearPairs, PairCosines, NearestOf)
}
"""What is asked for, by its name."""
POLL = 0.2
"""Seconds between two looks for a file of another process."""
TASK = "task.json"


@dataclass
class Rounds:
    """A process's part in them."""

    output: str
    """Folder of the selection."""
    columns: Mapping[str, StoredRows]
    """Rows that are compared, by their name."""
    rank: int = 0
    processes: int = 1
    workers: int = 0
    """Processes of each that do the blocks; 0 does them in that one."""
    _asked: Iterator[int] = field(default_factory=count)
    _places: Iterator[int] = field(default_factory=count)

    def __call__(self, task: Task, rows: Rows) -> Iterator[ndarray]:
        """The result of each block, in their order, in the main process alone.

        Raises InputError when something else was asked for before it was stopped.
        """
        folder = self._folder(next(self._asked))
        self._ask(folder, task, rows)
        self._work(folder)
        for block in range(task.blocks):
            while not exists(_result(folder, block)):
                time.sleep(POLL)
            yield read_array(_result(folder, block))

    @property
    def root(self) -> str:
        """Folder or URL of what all blocks may read."""
        return join(self.output, WORKING)

    def place(self, name: str) -> str:
        """Name of a folder below it that nothing else has; another one at each call."""
        return f"{name}-{next(self._places)}"

    def serve(self) -> None:
        """Do this process's blocks of every round, until there are no more."""
        for number in count():
            while not exists(join(folder := self._folder(number), TASK)):
                if self.over():
                    return
                time.sleep(POLL)
            self._work(folder)

    def give_up(self) -> None:
        """Have the other processes end, since the main process does."""
        with contextlib.suppress(InputError):  # it ends with what it is that it gives up for
            write_atomically(over_path(self.output), b"")

    def over(self) -> bool:
        """Whether the main process has ended."""
        return exists(join(self.output, NAME)) or exists(over_path(self.output))

    def _folder(self, number: int) -> str:
        return join(self.output, f"{WORKING}/rounds/{number:04d}")

    def _ask(self, folder: str, task: Task, rows: Rows) -> None:
        values = {name.name: getattr(task, name.name) for name in fields(task)}  # type: ignore[arg-type]
        arrays = {name: value for name, value in values.items() if isinstance(value, ndarray)}
        record = {
            "task": type(task).__name__,
            "rows": rows.name if isinstance(rows, StoredRows) else "",
            "arrays": {name: list(array.shape) for name, array in arrays.items()},
            "values": {name: value for name, value in values.items() if name not in arrays},
        }
        path, text = join(folder, TASK), json.dumps(record).encode()
        if not exists(path):
            for name, array in arrays.items():
                write_array(join(folder, f"{name}.npy"), array)
            write_atomically(path, text)
        elif read_bytes(path) != text:
            raise InputError(
                f"{path} is of another version of zeroseg: remove {join(self.output, WORKING)}, and run "
                "the same command again"
            )

    def _work(self, folder: str) -> None:
        """Do this process's blocks of a round."""
        try:
            blocks = _Blocks(folder, self.root, self.columns)
            mine = range(blocks.task.blocks)[self.rank :: self.processes]
            todo = [block for block in mine if not exists(_result(folder, block))]
        except InputError:
            if self.over():  # and the main process removes them
                return
            raise
        if not todo or self.over():
            return
        names = [f"block {block} of {folder}" for block in todo]
        workers = self.workers if len(todo) > 1 else 0
        bar = {"hidden": self.rank > 0 or len(todo) < 2, "said": "blocks"}
        for _ in in_parallel(blocks, todo, names, workers, len(todo), **bar):
            pass


@dataclass(frozen=True)
class _Blocks:
    """Does blocks of a round, each into its file."""

    folder: str
    root: str
    columns: Mapping[str, StoredRows]

    def __call__(self, block: int) -> None:
        write_array(_result(self.folder, block), self._do(block))
        count_image()

    @cached_property
    def _record(self) -> dict:
        return json.loads(read_bytes(join(self.folder, TASK)))

    @cached_property
    def task(self) -> Task:
        arrays = {
            name: read_array(join(self.folder, f"{name}.npy")) for name in self._record["arrays"]
        }
        return KINDS[self._record["task"]](**self._record["values"], **arrays)

    @cached_property
    def _do(self) -> Callable[[int], ndarray]:
        return self.task.begin(self.columns[self._record["rows"]], self.root)


def over_path(output: str) -> str:
    """The file by which the main process says that it gives up."""
    return join(output, f"{WORKING}/over")


def _result(folder: str, block: int) -> str:
    return join(folder, f"{block:06d}.npy")
