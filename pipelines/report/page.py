"""One self-contained HTML page: the result in a sentence and pictures, then all that is behind it.

    zeroseg report runs/a runs/b --output report.html

The page opens with the first run, and compares it with the others.
"""

import base64
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from pipelines.command_line import read
from pipelines.html.rendering import rendered
from pipelines.report.comparisons import comparison_groups
from pipelines.report.curves import Curve, curves
from pipelines.report.details import Details, details_of
from pipelines.report.headlines import headlines_of
from pipelines.report.published import CERTAINTIES, published_parts
from pipelines.report.published_splits import splits_parts
from pipelines.report.runs import (
    Example,
    RunResult,
    drawn_by,
    examples_of,
    metrics_of,
    results_of,
    watched_of,
)
from pipelines.report.table import SCORES, Table, table_of
from zeroseg.errors import InputError

KINDS = {"median": "Median", "best": "Best", "worst": "Worst", "": "Other"}
"""Of example pictures, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Which runs, and where the page goes."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run folders; the page opens with the first."""
    output: Path = Path("report.html")


class Picture(NamedTuple):
    """A picture inside the page."""

    caption: str
    data: str
    """PNG, base64."""


class Examples(NamedTuple):
    """Example pictures of one benchmark, by kind."""

    benchmark: str
    of: RunResult | None
    """The result that they show; None if that is unclear."""
    pictures: dict[str, list[Picture]]


class BenchmarkPart(NamedTuple):
    """What one run has of one benchmark."""

    benchmark: str
    examples: Examples
    details: list[Details]


class RunPart(NamedTuple):
    """What the page says of one run."""

    name: str
    results: list[RunResult]
    trained: bool
    """Whether it has metrics of training."""
    curves: list[Curve]
    watched: list[Picture]
    benchmarks: list[BenchmarkPart]
    config: str


def report(runs: Sequence[Path], output: Path) -> Path:
    """Write the page. Raises InputError for no folder, or one with neither metrics nor results."""
    if not runs:
        raise InputError("name at least one run folder: zeroseg report RUN ...")
    parts = [run_part(run, name) for run, name in run_names(runs).items()]
    results = ordered([part.results for part in parts], runs[0])
    opening = [part.examples for part in parts[0].benchmarks if part.examples.pictures][:1]
    page = rendered(
        Path(__file__).with_name("page.html.jinja"),
        headlines=headlines_of(
            results, parts[0].name, {part.name for part in parts if not part.trained}
        ),
        opening=opening[0] if opening else None,
        table=table_of(results),
        score_names=SCORES,
        comparisons=comparison_groups(results),
        published=published_parts({entry.result.benchmark for entry in results}),
        splits=splits_parts({entry.result.benchmark for entry in results}),
        certainties=CERTAINTIES,
        runs=parts,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    fresh.write_text(page, encoding="utf-8")
    fresh.rename(output)
    return output


def table(runs: Sequence[Path]) -> Table:
    """The scores of all runs."""
    return table_of(ordered([results_of(r, n) for r, n in run_names(runs).items()], runs[0]))


def ordered(results: Sequence[Sequence[RunResult]], first: Path) -> list[RunResult]:
    """Results of all runs; those of benchmarks with pictures in the first run come first."""
    everything = [entry for of_run in results for entry in of_run]
    return sorted(everything, key=lambda entry: not examples_of(first, entry.result.benchmark))


def run_names(runs: Sequence[Path]) -> dict[Path, str]:
    """What the page calls each run: its folder's name, or the whole path where two share one."""
    names = [run.resolve().name for run in runs]
    return {r: str(r) if names.count(n) > 1 else n for r, n in zip(runs, names, strict=True)}


def run_part(run: Path, name: str) -> RunPart:
    """Collect what is in a run folder."""
    rows, results = metrics_of(run), ordered([results_of(run, name)], run)
    if not rows and not results:
        raise InputError(f"{run} holds neither metrics.jsonl nor results/: name a run folder")
    drawn = [folder.name for folder in sorted((run / "examples").glob("*/"))]
    config = run / "config.json"
    benchmarks = dict.fromkeys([*(entry.result.benchmark for entry in results), *drawn])
    return RunPart(
        name,
        results,
        bool(rows),
        curves(rows, name),
        [_picture(f"step {int(file.stem[5:])}", file) for file in watched_of(run)],
        [benchmark_part(run, benchmark, results) for benchmark in benchmarks],
        config.read_text(encoding="utf-8") if config.is_file() else "",
    )


def benchmark_part(run: Path, benchmark: str, results: Sequence[RunResult]) -> BenchmarkPart:
    """Collect what is in a run folder of one benchmark, the best result first."""
    own = [entry for entry in results if entry.result.benchmark == benchmark]
    own.sort(key=lambda entry: -entry.result.scores.miou)
    found = examples_of(run, benchmark)
    return BenchmarkPart(
        benchmark,
        Examples(benchmark, drawn_by(found, own), _by_kind(found)),
        [details_of(entry) for entry in own],
    )


def _by_kind(examples: Sequence[Example]) -> dict[str, list[Picture]]:
    kinds = {
        title: [_picture(e.caption, e.file) for e in examples if e.kind == kind]
        for kind, title in KINDS.items()
    }
    return {title: pictures for title, pictures in kinds.items() if pictures}


def _picture(caption: str, file: Path) -> Picture:
    return Picture(caption, base64.b64encode(file.read_bytes()).decode())


def main(arguments: Sequence[str]) -> None:
    """Read the command line and write the page."""
    config = read(ReportConfig, arguments, "zeroseg report", __doc__)
    page = report(config.runs, config.output)
    print(table(config.runs).markdown())
    print(page)


if __name__ == "__main__":
    main(sys.argv[1:])
