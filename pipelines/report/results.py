"""What a run folder holds for the page: result files, rows of metrics, pictures."""

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipelines.report.curves import Row
from zeroseg.errors import InputError

FORMAT = 1
NUMBER, MAYBE = (int, float), (int, float, type(None))
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "model": dict,
    "model.kind": str,
    "benchmark": str,
    "classes": list,
    "shards": str,
    "protocol": dict,
    "protocol.name": str,
    "threshold.value": MAYBE,
    "threshold.chosen_on": (str, type(None)),
    "scores.miou": NUMBER,
    "scores.per_class": dict,
    "scores.per_class_accuracy": dict,
    "scores.images": int,
    "scores.skipped": list,
    "curve": (dict, type(None)),
    "confusion": list,
    "images": list,
    "code": str,
}
CURVE: dict[str, type | tuple[type, ...]] = {
    "curve.thresholds": list,
    "curve.miou": list,
    "curve.maximum.threshold": NUMBER,
    "curve.maximum.miou": NUMBER,
    "curve.area": NUMBER,
}
KINDS = {"best": "Best images", "median": "Median images", "worst": "Worst images"}
RANKED = re.compile(r"(best|median|worst)-(\d+)-(.*)-(\d+)")
"""Kind, rank, key and mean IoU in percent: names of the pictures that `zeroseg evaluate` chose."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One result file; shares in [0, 1], null where a class is in neither truth nor prediction."""

    file: Path
    run: str
    """What the page calls its run folder."""
    name: str
    model: dict[str, Any]
    benchmark: str
    classes: list[str]
    shards: str
    protocol: dict[str, Any]
    threshold: dict[str, Any]
    scores: dict[str, Any]
    curve: dict[str, Any] | None
    confusion: list[list[int]]
    """Pixels; rows are the truth, columns the prediction."""
    images: list[dict[str, Any]]
    code: str


def read_result(file: Path, run: str) -> Result:
    """Read a result file. Raises InputError naming the file and the field that is not as it should be."""

    def refuse(what: str) -> InputError:
        return InputError(
            f"{file}: {what}; this page reads result files of format {FORMAT}: "
            "delete the file, or score again with `zeroseg evaluate`"
        )

    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise refuse(f"is no JSON ({error})") from error
    if not isinstance(content, dict) or "format" not in content:
        raise refuse("field `format` is missing")
    if content["format"] != FORMAT:
        raise refuse(f"field `format` is {content['format']!r}")
    wanted = REQUIRED if content.get("curve") is None else REQUIRED | CURVE
    for path, kind in wanted.items():
        value: Any = content
        for part in path.split("."):
            if not isinstance(value, dict) or part not in value:
                raise refuse(f"field `{path}` is missing")
            value = value[part]
        if not isinstance(value, kind):
            raise refuse(f"field `{path}` is {value!r}")
    size = len(content["classes"])
    if [len(row) for row in content["confusion"]] != [size] * size:
        raise refuse(f"field `confusion` is not {size} by {size}, the number of `classes`")
    names = {f.name for f in fields(Result)} - {"file", "run"}
    return Result(file=file, run=run, **{name: content[name] for name in names})


def results_of(run: Path, name: str) -> list[Result]:
    """Every result of a run, in order of file name."""
    return [read_result(file, name) for file in sorted((run / "results").glob("*.json"))]


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
    """None for what is no number either way, null or nan."""
    return None if value is None or math.isnan(value) else value
