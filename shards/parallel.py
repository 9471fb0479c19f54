"""Jobs spread over processes: one bar for all of them, and names for what killed one."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from zeroseg.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_parallel(
    do: Callable[[Job], Result],
    jobs: Sequence[Job],
    names: Sequence[str],
    workers: int,
    images: int | None,
) -> Iterator[Result]:
    """Do every job in so many processes, 0 for this one; results come in the order of the jobs.

    `do` calls `count_image` for each of `images`. Raises InputError when a process is killed, with
    the names of what it and the others were at.
    """
    with tqdm(desc="images", unit=" images", total=images) as bar:
        if workers == 0:
            global _count
            _count = bar.update
            yield from map(do, jobs)
            return
        rows = max(1, min(workers, len(jobs)))
        board, context = _Board(rows), multiprocessing.get_context("fork")
        with ProcessPoolExecutor(rows, context, _begin, (board,)) as pool:
            futures = [pool.submit(_noted, do, number, job) for number, job in enumerate(jobs)]
            try:
                _watch(futures, board, bar)
            except BrokenProcessPool as error:
                raise InputError(board.killed(names)) from error
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        yield from (future.result() for future in futures)


def count_image() -> None:
    """Move the bar of the jobs that are being done."""
    _count()


class _Board:
    """What every process is at. Each writes its own row alone, so that none waits for another."""

    def __init__(self, rows: int) -> None:
        self.given = multiprocessing.Value("q", 0)
        """Rows that have a process."""
        self.job = multiprocessing.RawArray("q", [-1] * rows)
        self.images = multiprocessing.RawArray("q", rows)
        """Counted so far, in all jobs of the process."""
        self.before = multiprocessing.RawArray("q", rows)
        """Counted before its present job."""

    def killed(self, names: Sequence[str]) -> str:
        """What to say when a process was killed."""
        rows = zip(self.job, self.images, self.before, strict=True)
        at = [f"{names[job]} after {n - m} images" for job, n, m in rows if job >= 0]
        return (
            f"a process was killed, at one of: {'; '.join(at) or 'its start'}. If memory ran out, "
            "start again with fewer --workers; if it happens again there, that image is to blame"
        )


_board: _Board
_row: int
"""Of this process."""


def _count_nowhere() -> None:
    """Outside of `in_parallel`."""


_count: Callable[[], object] = _count_nowhere
"""What counting an image does in this process."""


def _begin(board: _Board) -> None:
    global _board, _row, _count
    torch.set_num_threads(1)  # more would compete, and hang where the parent already has some
    with board.given.get_lock():
        _board, _row, _count = board, board.given.value, _count_on_board
        board.given.value += 1


def _count_on_board() -> None:
    _board.images[_row] += 1


def _noted(do: Callable[[Job], Result], number: int, job: Job) -> Result:
    _board.job[_row], _board.before[_row] = number, _board.images[_row]
    result = do(job)
    _board.job[_row] = -1
    return result


def _watch(futures: Sequence[Future[Any]], board: _Board, bar: tqdm) -> None:
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
        bar.update(sum(board.images) - bar.n)
        for future in finished:
            future.result()
