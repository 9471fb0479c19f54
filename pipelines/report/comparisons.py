"""Whether the best of a column is better than the others for certain: paired bootstrap over images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.report.results import RunResult
from pipelines.report.table import groups_of, setting_of
from zeroseg.evaluation.bootstrap import paired
from zeroseg.evaluation.tally import ClassCounts, Tally


class Comparison(NamedTuple):
    """How much higher the mean IoU of one result is than another's, in points."""

    column: str
    better: RunResult
    other: RunResult
    difference: float
    low: float
    """Lower end of the interval with 95 % of the samples."""
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval is above zero."""
        return self.low > 0


def comparisons_of(results: Sequence[RunResult]) -> list[Comparison]:
    """The best result of each setting with every other one; results without counts are left out."""
    found = []
    for group in groups_of(held.result for held in results):
        same = [held for held in results if setting_of(held.result) == group.setting]
        counts = [(held, _in_order(t, held)) for held in same if (t := held.tally) is not None]
        if not counts:
            continue
        best, most = max(counts, key=lambda pair: pair[0].result.scores.miou)
        for other, fewer in counts:
            if other is not best:
                values = paired(fewer, most, absent=other.result.protocol.absent)
                points = (100 * value for value in values)
                found.append(Comparison(group.heading, best, other, *points))
    return found


def _in_order(tally: Tally, held: RunResult) -> ClassCounts:
    """Counts of each image, images in order of their keys."""
    order = np.argsort(np.array(tally.keys))
    return ClassCounts(*(part[order] for part in tally.by_image(held.result.threshold.value)))
