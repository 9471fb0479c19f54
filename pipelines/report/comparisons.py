"""Whether one result is better than another for certain: paired bootstrap over images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.report.runs import RunResult
from pipelines.report.table import groups_of, setting_of
from zeroseg.evaluation.bootstrap import paired
from zeroseg.evaluation.tally import ClassCounts


class Comparison(NamedTuple):
    """How much higher the mean IoU of one result is than another's, in points."""

    result: RunResult
    other: RunResult
    difference: float
    low: float
    """Lower end of the interval with 95 % of the samples."""
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval does not hold zero."""
        return self.low > 0 or self.high < 0


class ComparisonGroup(NamedTuple):
    """The best result of a setting with every other one."""

    heading: str
    rows: list[Comparison]


def comparison_groups(results: Sequence[RunResult]) -> list[ComparisonGroup]:
    """Comparisons under each setting that has any; results without counts are left out."""
    found = []
    for group in groups_of(held.result for held in results):
        same = [held for held in results if setting_of(held.result) == group.setting]
        counts = {held.file: c for held in same if (c := _counts(held)) is not None}
        counted = [held for held in same if held.file in counts]
        if len(counted) > 1:
            best = max(counted, key=lambda held: held.result.scores.miou)
            others = [held for held in counted if held is not best]
            rows = [_compared(best, counts[best.file], o, counts[o.file]) for o in others]
            found.append(ComparisonGroup(group.heading, rows))
    return found


def comparison_of(held: RunResult, other: RunResult) -> Comparison | None:
    """How much better a result is than another of the same setting; None if one has no counts."""
    counts, fewer = _counts(held), _counts(other)
    return None if counts is None or fewer is None else _compared(held, counts, other, fewer)


def _compared(
    held: RunResult, counts: ClassCounts, other: RunResult, others: ClassCounts
) -> Comparison:
    values = paired(others, counts, absent=held.result.protocol.absent)
    return Comparison(held, other, *(100 * value for value in values))


def _counts(held: RunResult) -> ClassCounts | None:
    """Counts of each image, images in order of their keys; None if they are not beside the result."""
    if (tally := held.tally) is None:
        return None
    order = np.argsort(np.array(tally.keys))
    return ClassCounts(*(part[order] for part in tally.by_image(held.result.threshold.value)))
