"""The table of scores: a row for each result, a column for what may be compared, and nothing else.

Scores compare when benchmark, protocol, images and label maps are the same, field by field; the value
of a threshold that was chosen on held-out data is the one thing in which they may differ.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.report.runs import RunResult, number
from zeroseg.evaluation.results import Result
from zeroseg.records import to_json

SCORES = {
    "miou": "mIoU",
    "seen_miou": "seen",
    "unseen_miou": "unseen",
    "hiou": "hIoU",
}
"""Columns under each setting, where any result has them."""

DECONTAMINATED = {
    True: "decontaminated",
    False: "not decontaminated",
    None: "not known",
}
"""What the page says of training images and the benchmark that is scored on."""

CHOSEN_ON = "threshold_chosen_on"
"""Beside a protocol's own fields: the data on which its threshold was chosen."""


class Setting(NamedTuple):
    """What two results must share before their scores are put into one column."""

    benchmark: str
    protocol: str
    """All fields, as JSON."""
    images: str
    """How many, and a digest of their keys and label maps."""

    @property
    def fields(self) -> dict[str, Any]:
        """The protocol's fields, and the images."""
        return json.loads(self.protocol) | {"images": self.images}

    @property
    def name(self) -> str:
        """The protocol's own name."""
        return self.fields["name"]


def setting_of(result: Result) -> Setting:
    """The setting of a result."""
    protocol, chosen_on = to_json(result.protocol), result.threshold.chosen_on
    del protocol["class"]
    if chosen_on is not None:
        protocol |= {"background_threshold": None, CHOSEN_ON: chosen_on}
    keys = sorted(image.key for image in result.images)
    digest = hashlib.sha256(json.dumps([keys, result.truth]).encode()).hexdigest()[:6]
    content = json.dumps(protocol, sort_keys=True)
    return Setting(result.benchmark, content, f"{len(keys)} (set {digest})")


def settings_of(results: Iterable[Result]) -> list[Setting]:
    """The settings that occur, those of one benchmark and protocol beside each other."""
    found = list(dict.fromkeys(setting_of(result) for result in results))
    first = {(s.benchmark, s.name): i for i, s in reversed([*enumerate(found)])}
    benchmarks = {s.benchmark: i for i, s in reversed([*enumerate(found)])}
    return sorted(found, key=lambda s: (benchmarks[s.benchmark], first[s.benchmark, s.name]))


def differing(setting: Setting, settings: Iterable[Setting]) -> dict[str, Any]:
    """Fields in which settings of the same benchmark and protocol name differ, with the values here."""
    alike = [s for s in settings if (s.benchmark, s.name) == (setting.benchmark, setting.name)]
    everything = [s.fields for s in alike]
    names = dict.fromkeys(name for fields in everything for name in fields)
    varying = [n for n in names if len({json.dumps(f.get(n)) for f in everything}) > 1]
    return {name: setting.fields.get(name) for name in varying}


@dataclass(frozen=True)
class Group:
    """The columns of one setting."""

    setting: Setting
    differs: dict[str, Any]
    """What sets it apart from others of the same name."""
    scores: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Fields that the protocol's name does not tell."""
        fields = self.setting.fields
        told = fields.get("changed", {}) | {n: v for n, v in self.differs.items() if n != "changed"}
        told |= {CHOSEN_ON: fields[CHOSEN_ON]} if CHOSEN_ON in fields else {}
        return tuple(f"{name.replace('_', ' ')} {value}" for name, value in told.items())

    @property
    def heading(self) -> str:
        """Benchmark and protocol in one line."""
        return ", ".join([self.setting.benchmark, self.setting.name, *self.notes])


@dataclass(frozen=True)
class Cell:
    """A score in percent, as it stands in the table."""

    value: float
    interval: tuple[float, float] | None
    best: bool
    """Of several in its column."""
    decontaminated: str
    """Whether the training's images were cleaned of the benchmark's, in words."""

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} [{self.interval[0]:.1f}, {self.interval[1]:.1f}]"


@dataclass(frozen=True)
class Row:
    """One segmenter of one run."""

    run: str
    name: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Table:
    """Groups of columns; rows by run, the best in the first column first."""

    groups: tuple[Group, ...]
    rows: tuple[Row, ...]

    @property
    def columns(self) -> tuple[tuple[Group, str], ...]:
        """Group and score of each cell of a row."""
        return tuple((group, score) for group in self.groups for score in group.scores)

    @property
    def fields(self) -> tuple[str, ...]:
        """Of all protocols here."""
        names = dict.fromkeys(n for group in self.groups for n in group.setting.fields)
        return tuple(name for name in names if name not in ("name", "changed"))

    def markdown(self) -> str:
        """For a terminal."""
        columns = [f"{group.heading}: {SCORES[score]}" for group, score in self.columns]
        lines = [(f"{row.run} · {row.name}", row.cells) for row in self.rows]
        return markdown(columns, lines)


def groups_of(results: Iterable[Result]) -> tuple[Group, ...]:
    """The columns that results make."""
    results = list(results)
    settings = settings_of(results)
    return tuple(
        Group(setting, differing(setting, settings), _scores_under(setting, results))
        for setting in settings
    )


def table_of(results: Sequence[RunResult]) -> Table:
    """All results in one table."""
    groups = groups_of(entry.result for entry in results)
    by_row: dict[tuple[str, str], dict[Setting, Result]] = {}
    for run, _, result in results:
        by_row.setdefault((run, result.name), {})[setting_of(result)] = result
    columns = [(group.setting, score) for group in groups for score in group.scores]
    best = {(s, score): _highest(by_row.values(), s, score) for s, score in columns}
    rows = [
        Row(
            run,
            name,
            tuple(_cell(by_setting.get(s), score, best[s, score]) for s, score in columns),
        )
        for (run, name), by_setting in by_row.items()
    ]
    runs = list(dict.fromkeys(row.run for row in rows))
    rows.sort(key=lambda row: (runs.index(row.run), -row.cells[0].value if row.cells[0] else 0))
    return Table(groups, tuple(rows))


def _scores_under(setting: Setting, results: Iterable[Result]) -> tuple[str, ...]:
    found = [result.scores for result in results if setting_of(result) == setting]
    return tuple(
        s for s in SCORES if any(number(getattr(scores, s)) is not None for scores in found)
    )


def _highest(rows: Iterable[dict[Setting, Result]], setting: Setting, score: str) -> float | None:
    """The best of a column; None where it has fewer than two scores."""
    values = [number(getattr(row[setting].scores, score)) for row in rows if setting in row]
    known = [value for value in values if value is not None]
    return max(known) if len(known) > 1 else None


def _cell(result: Result | None, score: str, highest: float | None) -> Cell | None:
    value = None if result is None else number(getattr(result.scores, score))
    if result is None or value is None:
        return None
    interval = getattr(result.scores, f"{score}_interval")
    return Cell(
        100 * value,
        (100 * interval[0], 100 * interval[1]) if interval else None,
        value == highest,
        DECONTAMINATED[result.decontaminated],
    )


def markdown(
    columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell | float | None]]]
) -> str:
    """A table as Markdown."""

    def written(cell: Cell | float | None) -> str:
        if cell is None:
            return "-"
        return f"{cell:.1f}" if isinstance(cell, float) else str(cell)

    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(map(written, cells)) + " |" for name, cells in rows]
    return "\n".join(lines)
