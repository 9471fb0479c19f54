"""Jobs in processes of their own, a few at a time, each with one thread and a log."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from zeroseg.errors import InputError
from zeroseg.training.preemption import STOPPED

FORKS = multiprocessing.get_context("forkserver")
"""Processes begin with what their server has imported, which takes seconds, and with no thread."""


@dataclass(frozen=True)
class Job:
    """A call of a function that a new process can import."""

    name: str
    target: Callable[..., object]
    arguments: tuple[Any, ...]


def side_by_side(jobs: Sequence[Job], processes: int, logs: Path) -> None:
    """Do all jobs, so many at once, in the order given; what each says goes to `logs`/NAME.log.

    When one fails, or this process is asked to stop, the others are asked to stop too and may save their
    place. Raises InputError naming the job that failed, what it said last and its log, and SystemExit(75)
    after SIGTERM.
    """
    logs.mkdir(parents=True, exist_ok=True)
    FORKS.set_forkserver_preload(["pipelines.generalised.scoring"])
    before = signal.signal(signal.SIGTERM, _stop)
    left, running = list(jobs), dict[BaseProcess, Job]()
    bar = tqdm(total=len(jobs), desc="jobs", unit="job")
    try:
        while left or running:
            while left and len(running) < processes:
                job = left.pop(0)
                process = FORKS.Process(target=_do, args=(job, logs / f"{job.name}.log"))
                process.start()
                running[process] = job
            bar.set_postfix_str(", ".join(job.name for job in running.values()))
            wait([process.sentinel for process in running])
            for process in [p for p in running if p.exitcode is not None]:
                job = running.pop(process)
                _check(job, process.exitcode, logs / f"{job.name}.log")
                bar.update()
    finally:
        signal.signal(signal.SIGTERM, before)
        bar.close()
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _do(job: Job, log: Path) -> None:
    """In the new process."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    torch.set_num_threads(1)
    try:
        job.target(*job.arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except Exception as error:
        traceback.print_exc()
        raise SystemExit(1) from error


def _check(job: Job, status: int | None, log: Path) -> None:
    if status == STOPPED:
        raise SystemExit(STOPPED)
    if status:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [
            f"status {status}"
        ]
        raise InputError(f"{job.name} failed: {said[-1].removeprefix('error: ')} (all in {log})")


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(STOPPED)
