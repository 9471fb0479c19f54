"""One self-contained HTML page: scores side by side, what is behind them, training, pictures.

zeroseg report runs/a runs/b --output report.html
"""

import base64
import sys
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import jinja2
import tyro

from pipelines.command_line import read
from pipelines.report.comparisons import comparisons_of
from pipelines.report.curves import Curve, curves
from pipelines.report.details import Details, details_of
from pipelines.report.published import BENCHMARKS, CERTAINTIES, FAMILIES, PUBLISHED, Published
from pipelines.report.results import RunResult, metrics_of, pictures_of, results_of, watched_of
from pipelines.report.table import SCORES, Table, table_of
from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Which runs, and where the page goes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders."""
    output: Path = Path("report.html")


class Picture(NamedTuple):
    """A picture inside the page."""

    caption: str
    data: str
    """PNG, base64."""


class BenchmarkPart(NamedTuple):
    """What one run has of one benchmark."""

    benchmark: str
    pictures: dict[str, list[Picture]]
    details: list[Details]


class RunPart(NamedTuple):
    """What the page says of one run."""

    name: str
    curves: list[Curve]
    watched: list[Picture]
    benchmarks: list[BenchmarkPart]
    config: str


class PublishedPart(NamedTuple):
    """What others published under one family of protocols."""

    protocol: str
    words: str
    benchmarks: list[str]
    rows: list[Published]


def report(runs: Sequence[Path], output: Path) -> Path:
    """Write the page. Raises InputError for no folder, or one with neither metrics nor results."""
    if not runs:
        raise InputError("name at least one run folder: zeroseg report RUN ...")
    results = {run: results_of(run, name) for run, name in named(runs).items()}
    everything = [result for held in results.values() for result in held]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
    )
    page = environment.get_template("page.html.jinja").render(
        table=table_of(everything),
        score_names=SCORES,
        comparisons=comparisons_of(everything),
        published=published_parts({held.result.benchmark for held in everything}),
        certainties=CERTAINTIES,
        runs=[run_part(run, name, results[run]) for run, name in named(runs).items()],
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    fresh.write_text(page)
    fresh.rename(output)
    return output


def table(runs: Sequence[Path]) -> Table:
    """The scores of all runs."""
    return table_of([r for run, name in named(runs).items() for r in results_of(run, name)])


def named(runs: Sequence[Path]) -> dict[Path, str]:
    """What the page calls each run: its folder's name, or the whole path where two share one."""
    names = [run.resolve().name for run in runs]
    return {r: str(r) if names.count(n) > 1 else n for r, n in zip(runs, names, strict=True)}


def run_part(run: Path, name: str, results: Sequence[RunResult]) -> RunPart:
    """Collect what is in a run folder."""
    rows = metrics_of(run)
    if not rows and not results:
        raise InputError(f"{run} holds neither metrics.jsonl nor results/: name a run folder")
    drawn = [folder.name for folder in sorted((run / "examples").glob("*/"))]
    config = run / "config.json"
    return RunPart(
        name,
        curves(rows, name),
        [_embedded(file.stem, file) for file in watched_of(run)],
        [
            BenchmarkPart(
                benchmark,
                {
                    kind: [_embedded(*picture) for picture in pictures]
                    for kind, pictures in pictures_of(run, benchmark).items()
                },
                [details_of(held) for held in results if held.result.benchmark == benchmark],
            )
            for benchmark in dict.fromkeys([*(held.result.benchmark for held in results), *drawn])
        ],
        config.read_text() if config.is_file() else "",
    )


def published_parts(benchmarks: AbstractSet[str]) -> list[PublishedPart]:
    """Published numbers on benchmarks of the page; of the paper's rows all, where there is any."""
    parts = []
    for protocol, words in FAMILIES.items():
        rows = [
            row for row in PUBLISHED if row.protocol == protocol and benchmarks & row.miou.keys()
        ]
        shown = [b for b in BENCHMARKS if any(b in row.miou for row in rows)]
        if protocol != "zeroseg":
            shown = [b for b in shown if b in benchmarks]
        if rows:
            parts.append(PublishedPart(protocol, words, shown, rows))
    return parts


def _embedded(caption: str, picture: Path) -> Picture:
    return Picture(caption, base64.b64encode(picture.read_bytes()).decode())


def main(arguments: Sequence[str]) -> None:
    """Read the command line and write the page."""
    config = read(ReportConfig, arguments, "zeroseg report", __doc__)
    page = report(config.runs, config.output)
    print(table(config.runs).markdown())
    print(page)


if __name__ == "__main__":
    main(sys.argv[1:])
