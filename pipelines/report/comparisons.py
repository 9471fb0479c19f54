"""Whether one result is better than another for certain: paired bootstrap over images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.report.runs import RunResult
from pipelines.report.table import groups_of, setting_of
from zeroseg.datasets.benchmarks import BENCHMARKS, Benchmark
from zeroseg.evaluation.bootstrap import paired, paired_splits
from zeroseg.evaluation.results import Result
from zeroseg.evaluation.scores import splits_of
from zeroseg.evaluation.tally import ClassCounts


class Comparison(NamedTuple):
    """How much higher a score of the first result is than the second's, in points."""

    first: RunResult
    second: RunResult
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
    best: RunResult
    rows: list[Comparison]
    """Of which it is the first; the smallest difference comes first."""


def comparison_groups(results: Sequence[RunResult]) -> list[ComparisonGroup]:
    """Comparisons under each setting that has any; results without counts are left out."""
    found = []
    for group in groups_of(entry.result for entry in results):
        same = [entry for entry in results if setting_of(entry.result) == group.setting]
        counts = [(entry, c) for entry in same if (c := counts_of(entry)) is not None]
        if len(counts) > 1:
            best = max(counts, key=lambda pair: pair[0].result.scores.miou)
            rows = [_compared(*best, *pair) for pair in counts if pair is not best]
            rows.sort(key=lambda row: row.difference)
            found.append(ComparisonGroup(group.heading, best[0], rows))
    return found


def comparison_of(first: RunResult, second: RunResult, score: str = "miou") -> Comparison | None:
    """How much better the first is than the second, of one setting, by the mean IoU of all classes or by
    `seen_miou`, `unseen_miou` or `hiou` of a split; None if one has no counts."""
    counts = counts_of(first), counts_of(second)
    if counts[0] is None or counts[1] is None:
        return None
    return _compared(first, counts[0], second, counts[1], score)


def _compared(
    first: RunResult,
    counts: ClassCounts,
    second: RunResult,
    others: ClassCounts,
    score: str = "miou",
) -> Comparison:
    absent = first.result.protocol.absent
    if score == "miou":
        values = paired(others, counts, absent=absent)
    else:
        splits = splits_of(_benchmark(first.result))
        values = paired_splits(others, counts, splits, absent=absent)[score]
    return Comparison(first, second, *(100 * value for value in values))


def _benchmark(result: Result) -> Benchmark:
    """What a result's classes are; that of a benchmark file says which are unseen."""
    return BENCHMARKS.get(result.benchmark) or Benchmark(
        name=result.benchmark,
        classes=result.classes,
        background=False,
        unseen=frozenset(result.unseen),
    )


def counts_of(entry: RunResult) -> ClassCounts | None:
    """Counts of each image, images in order of their keys; None if they are not beside the result."""
    if (tally := entry.tally) is None:
        return None
    order = np.argsort(np.array(tally.keys))
    return ClassCounts(*(part[order] for part in tally.by_image(entry.result.threshold.value)))
