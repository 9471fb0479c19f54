"""Train and score all methods with seen and unseen classes, as docs/seen_unseen.md has them.

    zeroseg seen-unseen                                 # the embedded scenes, one seed
    zeroseg seen-unseen --seeds 0 1 2
    zeroseg seen-unseen --world voc                     # real photos, of $ZEROSEG_REAL
    zeroseg seen-unseen --only zs3net zegformer

Goes on where it was stopped. Prints a table of all rows, whether the orders that papers report hold, and how far
the student is above its teacher's readings, and writes them into the output folder. Nothing is chosen on what
is scored.
"""

import dataclasses
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.command_line import UNSET, read
from pipelines.generalised.rows import (
    ABOVE_NOTHING,
    CLAIMS,
    CORRECTED,
    STUDENT,
    UNTRAINED,
    Reading,
    readings,
)
from pipelines.generalised.scoring import (
    NOTHING,
    method_rows,
    result_folders,
    student_rows,
    untrained_rows,
)
from pipelines.generalised.side_by_side import Job, side_by_side
from pipelines.generalised.summary import differences, orders, table, verdicts
from pipelines.generalised.worlds import WORLDS, World
from pipelines.report.runs import RunResult, results_of
from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class SeenUnseenConfig:
    """Which methods, where, and how often."""

    world: Literal["scenes", "voc"] = "scenes"
    """The embedded scenes, or real photos of $ZEROSEG_REAL."""
    output: Path | None = None
    """By default runs/seen-unseen/WORLD."""
    seeds: tuple[int, ...] = (0,)
    only: tuple[str, ...] = ()
    """Methods; `student` is the one without annotation. By default all."""
    processes: int = 2
    """Trainings at a time, of one thread each."""


def seen_unseen(config: SeenUnseenConfig) -> str:
    """Do what is missing of it all; return table and orders, as they are written.

    Raises InputError for a method that there is not, or what the trainings raise.
    """
    begun, world = time.monotonic(), WORLDS[config.world]
    output = config.output or Path("runs/seen-unseen") / config.world
    rows = readings(world.one_sentence, world.several_sentences)
    methods = ("student", *dict.fromkeys(reading.method for reading in rows))
    if unknown := [name for name in config.only if name not in methods]:
        raise InputError(f"--only {unknown[0]}: the methods are {', '.join(methods)}")
    asked = [name for name in methods if name in (config.only or methods)]
    world.build(output)
    jobs = [_job(world, name, output, seed, rows) for seed in config.seeds for name in asked]
    jobs.append(Job(NOTHING, untrained_rows, (world, output)))
    side_by_side(jobs, config.processes, output / "logs")
    found = results(world, output, asked, config.seeds, rows)
    minutes = (time.monotonic() - begun) / 60
    papers, ours = (verdicts(claims, found) for claims in (CLAIMS, ABOVE_NOTHING))
    text = f"{table(found)}\n\n{orders(papers)}\n\n{differences(ours)}\n"
    (output / "seen_unseen.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\n{output}/seen_unseen.md written, {minutes:.1f} minutes in all")
    return text


def _job(world: World, method: str, output: Path, seed: int, rows: Sequence[Reading]) -> Job:
    name = f"{method}-{seed}"
    if method == "student":
        return Job(name, student_rows, (world, output, seed))
    own = [reading for reading in rows if reading.method == method]
    return Job(name, method_rows, (world, method, output, seed, own))


def results(
    world: World,
    output: Path,
    methods: Sequence[str],
    seeds: Sequence[int],
    rows: Sequence[Reading],
) -> dict[str, dict[int, RunResult]]:
    """Results of these methods by row and seed, in the order of the table."""
    names = (*(reading.row for reading in rows), STUDENT, CORRECTED, *UNTRAINED)
    setting = dataclasses.asdict(world.images(output).protocol)
    found: dict[str, dict[int, RunResult]] = {name: {} for name in names}
    for seed in seeds:
        folders = [f for method in methods for f in result_folders(world, output, method, seed)]
        for entry in (e for f in [*folders, output / NOTHING] for e in results_of(f, f.name)):
            protocol = {
                k: v for k, v in dataclasses.asdict(entry.result.protocol).items() if k in setting
            }
            if entry.result.name in found and protocol == setting:
                found[entry.result.name][seed] = entry
    return {name: by_seed for name, by_seed in found.items() if by_seed}


def main(arguments: Sequence[str]) -> None:
    """Read the command line and run."""
    seen_unseen(read(SeenUnseenConfig, arguments, "zeroseg seen-unseen", __doc__, *UNSET))


if __name__ == "__main__":
    main(sys.argv[1:])
