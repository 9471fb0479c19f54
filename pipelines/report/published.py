"""Numbers that others published, each with its protocol and its source; none was measured here.

They stand in `published.csv`, by protocol, the paper's own rows first. Two numbers compare when they
share benchmark and protocol. Even inside a family of protocols, class names and thresholds differ between
repositories, and scores by points. Left out is what follows a way of its own: CLIP-DINOiser and ClearCLIP
on benchmarks with background. The paper's introduction has 20.6 and 20.4 where its Table 1 has 20.4
and 20.2: these are the table's.
"""

import csv
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from pathlib import Path

CERTAINTIES = {
    "READ": "read in the paper or its repository",
    "READ-2": "read in another paper",
    "REM": "remembered, not read again",
}
FAMILIES = {
    "zeroseg": "short side 448, windows of 448 every 224 pixels, background thresholds .95, .05 and "
    ".35 on voc21, context60 and coco-object",
    "groupvit": "short side 448, windows of 448 every 224 pixels, one template, background "
    "thresholds .95, .35 and .95 on voc21, context60 and coco-object",
    "tcl": "GroupViT's sizes and windows, templates of its own, one background threshold",
    "tcl-pamr": "as tcl, refined by PAMR",
    "sclip": "short side 336 (coco-stuff171 448, cityscapes19 560), windows of 224 every 112 pixels, 80 "
    "templates, engineered synonyms, and words for what is background",
    "sclip-pamr": "as sclip, refined by PAMR",
    "maskclip": "85 templates, windows of 512 or 520 pixels",
}
"""Protocols in words; names as in `zeroseg.evaluation.protocols` where that has them."""


@dataclass(frozen=True)
class Published:
    """A method's row in a table of a paper."""

    protocol: str
    """A name in `FAMILIES`; "zeroseg" are the paper's own rows, which a full run should reach."""
    method: str
    signal: str
    """What a method learns from. `with masks`: it asks a class-agnostic mask model, SAM or EntitySeg."""
    certainty: str
    """A name in `CERTAINTIES`."""
    source: str
    miou: Mapping[str, float]
    """Percent by benchmark; those that nobody published are not there."""


def _read(file: Path) -> tuple[tuple[str, ...], tuple[Published, ...]]:
    """The benchmarks of the table's head, and its rows."""
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    words = [field.name for field in fields(Published) if field.name != "miou"]
    benchmarks = tuple(name for name in rows[0] if name not in words)
    return benchmarks, tuple(
        Published(
            **{name: row[name] for name in words},
            miou={name: float(row[name]) for name in benchmarks if row[name]},
        )
        for row in rows
    )


BENCHMARKS, PUBLISHED = _read(Path(__file__).with_suffix(".csv"))


@dataclass(frozen=True)
class PublishedPart:
    """What others published under one family of protocols."""

    protocol: str
    words: str
    benchmarks: list[str]
    rows: list[Published]


def published_parts(benchmarks: AbstractSet[str]) -> list[PublishedPart]:
    """Published numbers on these benchmarks; of the paper's rows all, where there is any."""
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
