"""Whether the best of a column is better than the others for certain: paired bootstrap over images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.report.results import Result
from pipelines.report.table import groups_of, setting_of
from zeroseg.evaluation.bootstrap import paired
from zeroseg.evaluation.tally import ClassCounts, from_bytes


class Comparison(NamedTuple):
    """How much higher the mean IoU of one result is than another's, in points."""

    column: str
    better: Result
    other: Result
    difference: float
    low: float
    """Lower end of the interval with 95 % of the samples."""
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval is above zero."""
        return self.low > 0


def comparisons_of(results: Sequence[Result]) -> list[Comparison]:
    """The best result of each setting with every other one; results without counts are left out."""
    found = []
    for group in groups_of(results):
        held = [r for r in results if setting_of(r) == group.setting and counts_file(r).is_file()]
        counts = [counts_of(result) for result in held]
        if not held:
            continue
        best = max(range(len(held)), key=lambda i: held[i].scores["miou"])
        for i, other in enumerate(held):
            if i != best:
                absent = 0.0 if other.protocol.get("absent_classes") == "zero" else math.nan
                values = paired(counts[i], counts[best], absent=absent)
                points = (100 * value for value in values)
                found.append(Comparison(group.heading, held[best], other, *points))
    return found


def counts_of(result: Result) -> ClassCounts:
    """What was counted of each image, images in order of their keys."""
    tally = from_bytes(counts_file(result).read_bytes())
    order = np.argsort(np.array(tally.keys))
    return ClassCounts(*(part[order] for part in tally.by_image(result.threshold["value"])))


def counts_file(result: Result) -> Path:
    """Where the counts are: beside the result."""
    return result.file.with_suffix(".npz")
