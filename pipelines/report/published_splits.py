"""Numbers that others published with seen and unseen classes; none was measured here.

They stand in `published_splits.csv`: mIoU in percent over seen classes, over unseen ones, and their
harmonic mean, as printed (of zsseg and STRICT with self-training it is not that of the printed two).
Where training and words are those of the papers they compare with each other; their sizes of pictures and
backbones differ. `zsseg`'s and `ZegFormer`'s are of ResNet-50 or 101 and CLIP ViT-B/16.
"""

import csv
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

TRAININGS = {
    "inductive": "neither pixels nor names of unseen classes enter the training",
    "self-training": "names of unseen classes are known, and their pixels have pseudo labels",
}


class SplitScores(NamedTuple):
    """Percent; None is what nobody published."""

    seen: float | None
    unseen: float | None
    hiou: float | None


@dataclass(frozen=True)
class PublishedSplits:
    """A method's row."""

    training: str
    """A name in `TRAININGS`."""
    method: str
    signal: str
    """What a method learns from."""
    certainty: str
    """A name in `pipelines.report.published.CERTAINTIES`."""
    source: str
    scores: Mapping[str, SplitScores]
    """By benchmark; those that nobody published are not there."""


class SplitsPart(NamedTuple):
    """What others published of one kind of training."""

    training: str
    words: str
    benchmarks: list[str]
    rows: list[PublishedSplits]


def _read(file: Path) -> tuple[PublishedSplits, ...]:
    words = ("training", "method", "signal", "certainty", "source")
    return tuple(
        PublishedSplits(
            **{name: row[name] for name in words},
            scores={
                name: SplitScores(*(float(part) if part else None for part in cell.split("/")))
                for name, cell in row.items()
                if name not in words and cell
            },
        )
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    )


PUBLISHED_SPLITS = _read(Path(__file__).with_suffix(".csv"))


def splits_parts(benchmarks: AbstractSet[str]) -> list[SplitsPart]:
    """Published numbers on these benchmarks."""
    parts = []
    for training, words in TRAININGS.items():
        rows = [
            row
            for row in PUBLISHED_SPLITS
            if row.training == training and benchmarks & row.scores.keys()
        ]
        shown = sorted({name for row in rows for name in row.scores} & benchmarks)
        if rows:
            parts.append(SplitsPart(training, words, shown, rows))
    return parts
