"""Curves of a run: what the rows of its metrics.jsonl hold, drawn over its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from pipelines.report.charts import chart as svg

Row = dict[str, Any]
"""`step` and the numbers logged at it, None where not finite; rows differ in what they hold."""


@dataclass(frozen=True)
class Chart:
    """Values that share axes."""

    title: str
    names: tuple[str, ...]
    """Of values; one that ends in `/` takes all that begin with it."""
    stacked: bool = False
    log: bool = False

    def takes(self, name: str) -> bool:
        """Whether a value belongs here."""
        return any(name == n or (n.endswith("/") and name.startswith(n)) for n in self.names)


CHARTS = (
    Chart("weighted losses", ("loss", "loss/"), log=True),
    Chart("scores on the watched images", ("watch/",)),
    Chart("grouping: a collapse shows here", ("grouping/",)),
    Chart("grid of the view nearest to a segment, shares", ("nearest/",), stacked=True),
    Chart("images per second", ("images_per_second", "images_per_second_per_device")),
    Chart("seconds per step", ("step_seconds",)),
    Chart("share of time waiting for data; MFU", ("data_wait", "mfu")),
    Chart("lost samples and skipped steps so far", ("lost", "lost/", "skipped_steps")),
)
"""Each is drawn where a run has any value of it; figures with another prefix have a chart of their own."""


def series(rows: Sequence[Row], name: str) -> dict[int, float]:
    """A value by step, in order; where a run went over a step again, what it said last."""
    values = {row["step"]: row[name] for row in rows if row.get(name) is not None}
    return dict(sorted(values.items()))


def charted(rows: Sequence[Row]) -> list[tuple[Chart, dict[str, dict[int, float]]]]:
    """The charts that the rows have anything for, each with its values by name."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    strange = [n for n in names if "/" in n and not any(chart.takes(n) for chart in CHARTS)]
    prefixes = dict.fromkeys(name.partition("/")[0] for name in strange)
    charts = [*CHARTS, *(Chart(prefix, (f"{prefix}/",)) for prefix in prefixes)]
    lines_of = [(c, {n: series(rows, n) for n in names if c.takes(n)}) for c in charts]
    filled = [(c, {n: values for n, values in lines.items() if values}) for c, lines in lines_of]
    return [(chart, lines) for chart, lines in filled if lines]


class Curve(NamedTuple):
    """A chart that is drawn."""

    title: str
    svg: str


def curves(rows: Sequence[Row], run: str) -> list[Curve]:
    """All charts that the rows of a run have anything for."""
    return [
        Curve(chart.title, svg(f"{chart.title}, by step: {run}", partial(_draw, chart, values)))
        for chart, values in charted(rows)
    ]


def _draw(chart: Chart, lines: dict[str, dict[int, float]], axes: Axes) -> None:
    labels = {n: n if n.startswith("lost/") else n.rpartition("/")[2] for n in lines}
    if chart.stacked:
        grids = sorted(lines, key=lambda name: (len(name), name))
        steps = sorted({step for line in lines.values() for step in line})
        areas = [[lines[name].get(step, 0.0) for step in steps] for name in grids]
        axes.stackplot(steps, areas, labels=[labels[name] for name in grids], alpha=0.8)
    else:
        for name, line in lines.items():
            # A single value would be a line without length.
            marker = "o" if len(line) == 1 else None
            axes.plot(list(line), list(line.values()), label=labels[name], marker=marker)
    if chart.log and any(value > 0 for line in lines.values() for value in line.values()):
        axes.set_yscale("log")
    axes.set(xlabel="step")
    axes.legend()
