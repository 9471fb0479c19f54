"""One self-contained HTML page: curves of training, scores, per-class bars, pictures.

zeroseg report runs/a runs/b --output report.html
"""

import base64
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import jinja2
import tyro

from pipelines.curves import Row, curves
from zeroseg.errors import InputError

COLUMNS = ("miou", "seen_miou", "unseen_miou", "hiou")


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Which runs, and where the page goes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders."""
    output: Path = Path("report.html")


def results_of(run: Path) -> list[dict[str, Any]]:
    """Every scored result of a run, as `pipelines.evaluate` wrote them, in order of name."""
    return [json.loads(p.read_text()) for p in sorted((run / "results").glob("*.json"))]


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


def table(runs: Sequence[Path]) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """Column names, then rows of (name, scores in percent), runs in the order given."""
    columns, rows = [], {}
    for run in runs:
        for result in results_of(run):
            scores = result["scores"]
            row = rows.setdefault((run.name, result["name"]), {})
            for key in COLUMNS:
                if scores[key] is not None:
                    column = (
                        f"{scores['benchmark']} {key.replace('_miou', '').replace('miou', 'mIoU')}"
                    )
                    columns += [] if column in columns else [column]
                    row[column] = 100 * scores[key]
    lines = [
        (f"{run} · {name}", [row.get(c) for c in columns]) for (run, name), row in rows.items()
    ]
    return columns, lines


def markdown(columns: Sequence[str], rows: Sequence[tuple[str, list[float | None]]]) -> str:
    """The table as Markdown."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in rows:
        lines.append(
            f"| {name} | " + " | ".join("-" if v is None else f"{v:.1f}" for v in values) + " |"
        )
    return "\n".join(lines)


def report(runs: Sequence[Path], output: Path) -> Path:
    """Write the page. Raises InputError for a folder with neither metrics nor results."""
    pages = []
    for run in runs:
        rows, results = metrics_of(run), results_of(run)
        if not rows and not results:
            raise InputError(f"{run} holds neither metrics.jsonl nor results/: name a run folder")
        pages.append(
            {
                "name": run.name,
                "curves": curves(rows),
                "watched": [_embedded(p) for p in watched_of(run)],
                "results": [r for r in results if r["name"].startswith("student")],
                "examples": [_embedded(p) for p in sorted((run / "examples").glob("*/*.png"))],
                "config": (run / "config.json").read_text()
                if (run / "config.json").is_file()
                else "",
            }
        )
    columns, rows = table(runs)
    best = [max((r[1][i] or 0 for r in rows), default=0) for i in range(len(columns))]
    template = jinja2.Environment(autoescape=True).from_string(
        files("pipelines").joinpath("report.html.jinja").read_text()
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    fresh.write_text(template.render(columns=columns, rows=rows, best=best, runs=pages))
    fresh.rename(output)
    return output


def _embedded(picture: Path) -> dict[str, str]:
    return {"name": picture.stem, "data": base64.b64encode(picture.read_bytes()).decode()}


def main(arguments: Sequence[str]) -> None:
    """Read the command line and write the page."""
    config = tyro.cli(ReportConfig, args=arguments, prog="zeroseg report")
    print(markdown(*table(config.runs)))
    print(report(config.runs, config.output))


if __name__ == "__main__":
    main(sys.argv[1:])
