"""One sentence for each setting: the best of one run, and whether it beats the baselines."""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pipelines.report.comparisons import Comparison, comparison_of
from pipelines.report.runs import RunResult
from pipelines.report.table import Group, groups_of, setting_of


class Headline(NamedTuple):
    """The best result of a run under one setting."""

    group: Group
    best: RunResult
    rival: RunResult | None
    """The best of the baselines; of the other runs, where none is a baseline. None if it is alone."""
    rival_is_baseline: bool
    comparison: Comparison | None
    """Of the two; None if one of them has no counts."""


def headlines_of(
    results: Sequence[RunResult], run: str, baselines: AbstractSet[str]
) -> list[Headline]:
    """A headline for each setting under which a run has a result, in the order of the table.

    `baselines` are the names of runs that trained nothing.
    """
    found = []
    for group in groups_of(entry.result for entry in results):
        same = [entry for entry in results if setting_of(entry.result) == group.setting]
        others = [entry for entry in same if entry.run != run]
        rivals = [entry for entry in others if entry.run in baselines]
        best = _best([entry for entry in same if entry.run == run])
        rival = _best(rivals or others)
        if best:
            comparison = comparison_of(best, rival) if rival else None
            found.append(Headline(group, best, rival, bool(rivals), comparison))
    return found


def _best(results: Sequence[RunResult]) -> RunResult | None:
    known = [entry for entry in results if not math.isnan(entry.result.scores.miou)]
    return max(known, key=lambda entry: entry.result.scores.miou, default=None)
