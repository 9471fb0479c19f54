"""The table of all rows over seeds, and whether the papers' orders hold on it."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.generalised.rows import Bound, Order
from pipelines.report.comparisons import comparison_of
from pipelines.report.runs import RunResult

Rows = Mapping[str, Mapping[int, RunResult]]
"""Results by the name of the row, then by seed; a row without training has the seed of each of the others."""
COLUMNS = {"seen_miou": "seen", "unseen_miou": "unseen", "hiou": "hIoU", "miou": "mIoU"}


class Finding(NamedTuple):
    """A score, or how much higher one is than another, in percent, with the interval of 95 % of the
    bootstrap samples of the images."""

    value: float
    low: float
    high: float


class Verdict(NamedTuple):
    """What was found of a claim, for each seed."""

    claim: Order | Bound
    word: str
    """holds, does not hold, or undecided."""
    findings: tuple[Finding, ...]


def table(rows: Rows) -> str:
    """Markdown: percent, means over seeds, with the range where there are several."""
    lines = [f"| | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, by_seed in rows.items():
        cells = [
            _cell([100 * (_score(e, column) or 0) for e in by_seed.values()]) for column in COLUMNS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts(claims: Sequence[Order | Bound], rows: Rows) -> list[Verdict]:
    """Of each claim whose rows are there."""
    return [found for claim in claims if (found := verdict(claim, rows)) is not None]


def verdict(claim: Order | Bound, rows: Rows) -> Verdict | None:
    """Whether a claim holds with every seed: it does where the whole interval is on its side, and does
    not where the whole interval is on the other; undecided is all else. None without its rows."""
    if isinstance(claim, Order):
        findings = _differences(claim, rows)
        sides = [(f.low > 0, f.high < 0) for f in findings]
    else:
        findings = [_interval(entry, claim.score) for entry in rows.get(claim.row, {}).values()]
        sides = [_side(f, claim) for f in findings]
    if not findings:
        return None
    holds, fails = (all(side) for side in zip(*sides, strict=True))
    word = "holds" if holds else "does not hold" if fails else "undecided"
    return Verdict(claim, word, tuple(findings))


def orders(found: Sequence[Verdict]) -> str:
    """Markdown: a row for each claim."""
    head = "| what papers report | by | what the paper has | here | points, and 95 % of resamples, of each seed |"
    lines = [head, "|---" * 5 + "|"]
    for claim, word, findings in found:
        told = _numbers(claim, findings)
        lines.append(f"| {claim.claim} | {_by(claim)} | {claim.source} | **{word}** | {told} |")
    return "\n".join(lines)


def differences(found: Sequence[Verdict]) -> str:
    """Markdown: a row for each order that is no paper's."""
    lines = ["| ours | here | points, and 95 % of resamples, of each seed |", "|---" * 3 + "|"]
    lines += [f"| {_by(c)} | **{word}** | {_numbers(c, of)} |" for c, word, of in found]
    return "\n".join(lines)


def _numbers(claim: Order | Bound, findings: Sequence[Finding]) -> str:
    sign = "+" if isinstance(claim, Order) else ""
    return "; ".join(
        f"{f.value:{sign}.1f} ({f.low:{sign}.1f} to {f.high:{sign}.1f})" for f in findings
    )


def _by(claim: Order | Bound) -> str:
    column = COLUMNS[claim.score]
    if isinstance(claim, Order):
        return f"{column}: {claim.higher} over {claim.lower}"
    limit = f"above {claim.above:g}" if claim.above is not None else f"below {claim.below:g}"
    return f"{column}: {claim.row} {limit}"


def _differences(claim: Order, rows: Rows) -> list[Finding]:
    higher, lower = rows.get(claim.higher, {}), rows.get(claim.lower, {})
    found = []
    for seed in [seed for seed in higher if seed in lower]:
        comparison = comparison_of(higher[seed], lower[seed], claim.score)
        if comparison is not None:
            found.append(Finding(comparison.difference, comparison.low, comparison.high))
    return found


def _side(finding: Finding, claim: Bound) -> tuple[bool, bool]:
    """Whether the whole interval is where the claim says, and whether it is on the other side."""
    if claim.above is not None:
        return finding.low > claim.above, finding.high < claim.above
    assert claim.below is not None
    return finding.high < claim.below, finding.low > claim.below


def _interval(entry: RunResult, score: str) -> Finding:
    interval = getattr(entry.result.scores, f"{score}_interval") or (float("nan"),) * 2
    return Finding(*(100 * value for value in (_score(entry, score) or 0.0, *interval)))


def _score(entry: RunResult, score: str) -> float | None:
    return getattr(entry.result.scores, score)


def _cell(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.1f} to {max(values):.1f})"
