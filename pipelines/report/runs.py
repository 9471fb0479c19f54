"""What a run folder holds for the page: result files, rows of metrics, pictures."""

import dataclasses
import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipelines.report.curves import Row
from zeroseg.evaluation.results import Result, read_result
from zeroseg.evaluation.tally import Tally, from_bytes
from zeroseg.store.keys import file_name

RANKED = re.compile(r"(best|median|worst)-(\d+)-(.*)-(\d+)")
"""Kind, rank, key and mean IoU in percent: names of the pictures that `zeroseg evaluate` chose."""


class RunResult(NamedTuple):
    """A result and where it is from."""

    run: str
    """What the page calls its run folder."""
    file: Path
    result: Result

    @property
    def tally(self) -> Tally | None:
        """The counts beside the result; None if they are not there."""
        file = self.file.with_suffix(".npz")
        return from_bytes(file.read_bytes()) if file.is_file() else None


def results_of(run: Path, name: str) -> list[RunResult]:
    """Every result of a run, in order of file name. Raises InputError as `read_result`."""
    return [_read(file, name) for file in sorted((run / "results").glob("*.json"))]


def _read(file: Path, run: str) -> RunResult:
    found = RunResult(run, file, read_result(str(file)))
    # A file of an earlier version does not say which label maps it is of, but its counts do.
    if not found.result.truth and (tally := found.tally):
        return found._replace(result=dataclasses.replace(found.result, truth=tally.truth))
    return found


def metrics_of(run: Path) -> list[Row]:
    """The rows of a run's metrics.jsonl; a line that a crash cut short is left out."""
    file, rows = run / "metrics.jsonl", []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def watched_of(run: Path) -> list[Path]:
    """The first and the last picture that training drew."""
    pictures = sorted((run / "watch").glob("step-*.png"))
    return pictures[:1] + pictures[1:][-1:]


class Example(NamedTuple):
    """A picture of one image, with what its file's name says of it."""

    file: Path
    kind: str
    """`best`, `median` or `worst`; empty if the name says nothing."""
    rank: int
    key: str
    percent: str
    """Mean IoU of the image."""

    @property
    def caption(self) -> str:
        """In words."""
        return f"{self.key}: mIoU {self.percent}" if self.kind else self.key


def examples_of(run: Path, benchmark: str) -> list[Example]:
    """Example pictures of a benchmark, the best of each kind first."""
    files = sorted((run / "examples" / benchmark).glob("*.png"))
    names = [(file, RANKED.fullmatch(file.stem)) for file in files]
    found = [
        Example(file, name[1], int(name[2]), name[3], name[4])
        if name
        else Example(file, "", 0, file.stem, "")
        for file, name in names
    ]
    return sorted(found, key=lambda example: example.rank)


def drawn_by(examples: Sequence[Example], results: Sequence[RunResult]) -> RunResult | None:
    """The one result whose images have the scores that the pictures' names say; None if unclear."""
    told = {(example.key, example.percent) for example in examples if example.kind}
    fitting = [
        entry
        for entry in results
        if told <= {(file_name(i.key), f"{100 * i.miou:.0f}") for i in entry.result.images}
    ]
    return fitting[0] if told and len(fitting) == 1 else None


def number(value: float | None) -> float | None:
    """None for what is no number either way, None or nan."""
    return None if value is None or math.isnan(value) else value
