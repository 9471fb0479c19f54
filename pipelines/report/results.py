"""What a run folder holds for the page: result files, rows of metrics, pictures."""

import dataclasses
import json
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipelines.report.curves import Row
from zeroseg.evaluation.results import Result, read_result
from zeroseg.evaluation.tally import Tally, from_bytes

KINDS = {"best": "Best images", "median": "Median images", "worst": "Worst images"}
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
    # Files of before 0.2 do not say which label maps they were scored on, but their counts do.
    if not found.result.truth and (tally := found.tally):
        return found._replace(result=dataclasses.replace(found.result, truth=tally.truth))
    return found


def metrics_of(run: Path) -> list[Row]:
    """The rows of a run's metrics.jsonl; a line that a crash cut short is left out."""
    file, rows = run / "metrics.jsonl", []
    for line in file.read_text().splitlines() if file.is_file() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def watched_of(run: Path) -> list[Path]:
    """The first and the last picture that training drew."""
    pictures = sorted((run / "watch").glob("step-*.png"))
    return pictures[:1] + pictures[1:][-1:]


def pictures_of(run: Path, benchmark: str) -> dict[str, list[tuple[str, Path]]]:
    """Captions and files of a benchmark's example pictures, by kind, in order of rank."""
    files = (run / "examples" / benchmark).glob("*.png")
    ranked = [(RANKED.fullmatch(file.stem), file) for file in files]
    kinds: dict[str, list[tuple[str, Path]]] = {kind: [] for kind in (*KINDS.values(), "Images")}
    for name, file in sorted(ranked, key=_place):
        kind = KINDS[name[1]] if name else "Images"
        kinds[kind].append((f"{name[3]}: mIoU {name[4]}" if name else file.stem, file))
    return {kind: pictures for kind, pictures in kinds.items() if pictures}


def _place(ranked: tuple[re.Match[str] | None, Path]) -> tuple[int, str]:
    name, file = ranked
    return (int(name[2]) if name else 0, file.name)


def number(value: float | None) -> float | None:
    """None for what is no number either way, None or nan."""
    return None if value is None or math.isnan(value) else value
