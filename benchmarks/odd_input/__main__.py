"""The command: so many cases, a table by kind, and how to make again what went wrong."""

import collections
import sys
import time
from dataclasses import dataclass

import tyro

from benchmarks.odd_input.processes import KINDS, CaseName, judged
from benchmarks.odd_input.verdict import Judged, Verdict
from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OddInputConfig:
    """How many cases of which kinds."""

    cases: int = 10_000
    """Dealt to the kinds in turn."""
    seed: int = 0
    kinds: tuple[str, ...] = KINDS
    only: str = ""
    """A case by its name, `voc/17`: it is made again, and what comes of it is told."""

    def names(self) -> list[CaseName]:
        """The cases. Raises InputError for a kind that there is not."""
        if self.only:
            kind, _, number = self.only.rpartition("/")
            names = [CaseName(kind, int(number))]
        else:
            names = [
                CaseName(self.kinds[n % len(self.kinds)], n // len(self.kinds))
                for n in range(self.cases)
            ]
        if unknown := {name.kind for name in names} - {*KINDS}:
            raise InputError(f"kinds {sorted(unknown)} are none of {', '.join(KINDS)}")
        return names


def table(results: list[tuple[CaseName, Judged]]) -> str:
    """Markdown: a row for each kind, and their sum."""
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for name, result in results:
        counts[name.kind][result.verdict] += 1
        counts["all"][result.verdict] += 1
    lines = ["| kind | cases | " + " | ".join(Verdict) + " |", "|---" * (2 + len(Verdict)) + "|"]
    for kind in (*(k for k in KINDS if k in counts), "all"):
        cells = [counts[kind].total(), *(counts[kind][verdict] for verdict in Verdict)]
        lines.append(f"| {kind} | " + " | ".join(f"{cell:,}" for cell in cells) + " |")
    return "\n".join(lines)


def main(config: OddInputConfig) -> None:
    """Try every case; exit status 1 when one is wrong."""
    begun, results = time.monotonic(), []
    for name, result in judged(config.names(), config.seed):
        results.append((name, result))
        if result.verdict is Verdict.WRONG or config.only:
            detail = ascii(result.detail)
            print(f"{result.verdict}: --seed {config.seed} --only '{name}': {detail}", flush=True)
    rate = len(results) / (time.monotonic() - begun)
    print(f"\n{table(results)}\n\n{rate:.0f} cases a second")
    sys.exit(any(result.verdict is Verdict.WRONG for _, result in results))


if __name__ == "__main__":
    main(tyro.cli(OddInputConfig, args=sys.argv[1:]))
