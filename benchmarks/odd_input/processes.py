"""Cases in a process of its own, which is replaced when a case kills it or does not end."""

import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from benchmarks.odd_input import building, reading
from benchmarks.odd_input.verdict import Judged, Verdict, Wrong
from zeroseg.store import shard_cache

SECONDS = 60
"""Of one case; longer is a hang."""
MEMORY = 8 << 30
"""Bytes that a process may ask for beyond what it has at its start."""
KINDS = (*building.BUILT, *reading.CASES)


class CaseName(NamedTuple):
    """What makes a case again, with the seed."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.number}"


Run = Callable[[CaseName, int, Path], Judged]


def run_case(name: CaseName, seed: int, folder: Path) -> Judged:
    """One case, in an empty folder. Whatever else than a value, a loss or a refusal comes of it is wrong."""
    rng = random.Random(f"{seed}/{name}")
    try:
        if name.kind in reading.CASES:
            return reading.CASES[name.kind](rng, folder)
        return building.case(name.kind, rng, folder)
    except Wrong as wrong:
        return Judged(Verdict.WRONG, str(wrong))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return Judged(Verdict.WRONG, f"{type(error).__name__}: {error} ({where})")


def judged(
    names: Sequence[CaseName], seed: int, run: Run = run_case
) -> Iterator[tuple[CaseName, Judged]]:
    """Every case in turn, whatever happens to the process that tries it."""
    rest = list(names)
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if os.path.isdir("/dev/shm") else None
    ) as folder:
        while rest:
            done = 0
            for result in _until_it_dies(rest, seed, Path(folder), run):
                yield rest[done], result
                done += 1
            rest = rest[done:]


def _until_it_dies(
    names: Sequence[CaseName], seed: int, folder: Path, run: Run
) -> Iterator[Judged]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(names, seed, folder, run, theirs), daemon=True)
    process.start()
    theirs.close()
    for _ in names:
        try:
            answered = ours.poll(SECONDS)
            result = ours.recv() if answered else None
        except EOFError:
            process.join()
            name = (
                signal.Signals(-process.exitcode).name if (process.exitcode or 0) < 0 else "an exit"
            )
            crash = (folder / "crash.txt").read_text().strip().splitlines()
            place = next((line.strip() for line in crash if "File" in line), "")
            yield Judged(Verdict.WRONG, f"the process died of {name} {place}")
            return
        if result is None:
            process.kill()
            process.join()
            yield Judged(Verdict.WRONG, f"no end after {SECONDS} seconds")
            return
        yield result
    process.join()


def _work(
    names: Sequence[CaseName], seed: int, folder: Path, run: Run, results: Connection
) -> None:
    faulthandler.enable((folder / "crash.txt").open("w"))
    used = (
        int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        * resource.getpagesize()
    )
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  bars and notes
    shard_cache.time.sleep = lambda seconds: None  # type: ignore[assignment]  no storage comes back here
    for name in names:
        case = folder / "case"
        shutil.rmtree(case, ignore_errors=True)
        case.mkdir()
        results.send(run(name, seed, case))
