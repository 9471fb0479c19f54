"""The table of what was scored: a row for each variant and reading, over its seeds."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from pipelines.scoring.contenders import READOUTS
from zeroseg.models.readouts import Readout

RECORD = "rows.json"
"""In the folder of a variant and a seed: scores by the name of the row."""


def summary(output: Path, order: Sequence[str]) -> str:
    """Markdown table of every row in the folder: seen and unseen mIoU in percent, mean over seeds, and
    below it the range; and how segments divide the image."""
    rows: dict[str, list[dict[str, float]]] = {}
    for file in sorted(output.glob(f"*/{RECORD}")):
        for name, row in json.loads(file.read_text(encoding="utf-8")).items():
            rows.setdefault(name, []).append(row)
    heads = ["row", "seeds", *READOUTS, "segments used", "largest share"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in (n for n in order if n in rows):
        runs = rows[name]
        cells = [name, str(len(runs)), *(_scores(runs, readout) for readout in READOUTS)]
        cells += [
            f"{statistics.mean(run['segments_used'] for run in runs):.1f}",
            f"{statistics.mean(run['largest_share'] for run in runs):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _scores(runs: Sequence[dict[str, float]], readout: Readout) -> str:
    split = [
        [run[f"{readout}/{which}"] for run in runs if f"{readout}/{which}" in run]
        for which in ("seen", "unseen")
    ]
    if not split[0]:
        return "-"
    means = " / ".join(f"{statistics.mean(values):.1f}" for values in split)
    if len(split[0]) == 1:
        return means
    ranges = " / ".join(f"{min(values):.1f} to {max(values):.1f}" for values in split)
    return f"{means} ({ranges})"
