"""Jobs spread over processes: one bar for all of them, and names for what killed one."""

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from zeroseg.data.loader import AtWork, leave_interrupts, refusing_processes, uninterrupted
from zeroseg.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_parallel(
    do: Callable[[Job], Result],
    jobs: Sequence[Job],
    names: Sequence[str],
    workers: int,
    images: int | None,
    *,
    hidden: bool = False,
    said: str = "images",
) -> Iterator[Result]:
    """Do every job in so many processes, 0 for this one; results come in the order of the jobs.

    `do` calls `count_image` for each of `images`, or of what else the bar says that it counts; it may be
    hidden. Raises InputError when a process is killed, with the names of what it and the others were at, and
    when none can be started. Interrupted, it leaves none behind.
    """
    with tqdm(desc=said, unit=f" {said}", total=images, disable=hidden) as bar:
        if workers == 0:
            global _count
            _count = bar.update
            yield from map(do, jobs)
            return
        rows, context = max(1, min(workers, len(jobs))), multiprocessing.get_context("fork")
        others, at_work = multiprocessing.active_children(), AtWork(rows)
        with refusing_processes("--workers"):
            counts, free = context.RawArray("q", rows), context.SimpleQueue()
            pool = ProcessPoolExecutor(rows, context, _begin, (at_work, counts, free, do))
        for row in range(rows):
            free.put(row)
        with pool:
            futures: list[Future[Result]] = []
            try:
                with refusing_processes("--workers"), uninterrupted():
                    for job, name in zip(jobs, names, strict=True):
                        futures.append(pool.submit(_announce, job, name))
                _watch(futures, counts, bar)
            except BrokenProcessPool as error:
                raise InputError(
                    f"a process was killed, at one of: {at_work}. If memory ran out, start again with "
                    "fewer --workers; if it happens again there, that image is to blame"
                ) from error
            except BaseException:
                for future in futures:
                    future.cancel()
                for process in multiprocessing.active_children():
                    if process not in others:
                        process.terminate()
                raise
        yield from (future.result() for future in futures)


def count_image() -> None:
    """Move the bar of the jobs that are being done."""
    _count()


def _count_nowhere() -> None:
    """Outside of `in_parallel`."""


_count: Callable[[], object] = _count_nowhere
"""What counting an image does in this process."""


_worker: tuple[int, AtWork, Any, Callable[[Any], Any]]
"""Of a process of several: its row, what each row is at, images so far by row, and what does a job, which
no job has to bring along."""


_ended = False
"""Whether this process was told to end."""


def _begin(at_work: AtWork, counts: Any, free: Any, do: Callable[[Any], Any]) -> None:
    global _worker
    leave_interrupts()
    signal.signal(signal.SIGTERM, _give_up)
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    torch.set_num_threads(1)  # more would compete, and hang where the parent already has some
    _worker = free.get(), at_work, counts, do


def _give_up(number: int, frame: FrameType | None) -> None:
    """Leave what is being done, and nothing half written; begin nothing that waits."""
    global _ended
    _ended = True
    raise SystemExit(128 + number)


def _announce(job: Any, name: str) -> Any:
    global _count
    if _ended:
        raise SystemExit(128 + signal.SIGTERM)
    row, at_work, counts, do = _worker
    before = counts[row]

    def count() -> None:
        counts[row] += 1
        at_work.write(row, f"{name} after {counts[row] - before} images")

    _count = count
    at_work.write(row, f"{name} after 0 images")
    result = do(job)
    at_work.write(row, "")
    return result


def _watch(futures: Sequence[Future[Any]], counts: Sequence[int], bar: tqdm) -> None:
    waiting = set(futures)
    while waiting:
        finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
        bar.update(sum(counts) - bar.n)
        for future in finished:
            future.result()
