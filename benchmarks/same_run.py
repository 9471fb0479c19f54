"""Are two runs the same? Their metrics row by row, but for what depends on the clock, and their weights.

    uv run python -m benchmarks.same_run runs/before runs/after
    uv run python -m benchmarks.same_run runs/before runs/after --renamed segments_used=grouping/segments_used

A change that is to move no number is held to this: train the same config and seed before and after it, on one
machine. Exit status 1 where they differ, and which figures do.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

CLOCK = {"mfu", "images_per_second", "images_per_second_per_device", "step_seconds", "data_wait"}
CLOCK |= {"memory_gb"}
MODELS = ("model", "model-ema")


def rows(run: Path, renamed: Mapping[str, str]) -> list[dict[str, float]]:
    """What a run measured at each step, by today's names."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {renamed.get(k, k): v for k, v in json.loads(line).items() if k not in CLOCK}
        for line in lines
    ]


def different_weights(one: Path, other: Path, renamed: Mapping[str, str]) -> list[str]:
    """Parameters that are not equal to the bit, or that only one has."""
    first, second = (load_file(run / "model.safetensors") for run in (one, other))
    for old, new in renamed.items():
        first = {k.replace(old, new): v for k, v in first.items()}
    names = first.keys() | second.keys()
    both = first.keys() & second.keys()
    return sorted(n for n in names if n not in both or not torch.equal(first[n], second[n]))


def main() -> None:
    """Compare, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--renamed", metavar="OLD=NEW", action="append", default=[])
    options = parser.parse_args()
    renamed = dict(pair.split("=") for pair in options.renamed)
    before, after = rows(options.before, renamed), rows(options.after, {})
    pairs = list(zip(before, after, strict=False))
    differ = {k for a, b in pairs for k in a.keys() | b.keys() if a.get(k) != b.get(k)}
    weights = {
        name: different_weights(options.before / name, options.after / name, renamed)
        for name in MODELS
        if (options.before / name).is_dir()
    }
    print(f"{len(before)} and {len(after)} rows, different in {sorted(differ) or 'nothing'}")
    for name, names in weights.items():
        print(f"{name}: different in {names or 'nothing'}")
    if differ or len(before) != len(after) or any(weights.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
