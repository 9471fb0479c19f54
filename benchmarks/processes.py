"""Images a second of a training with one CPU process and with two, which take turns.

    uv run python -m benchmarks.processes

torchrun trains on generated scenes, one thread a process. Each process takes the same number of images a
step, so that two that do not hinder each other are twice as fast.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from shards.build import Limits, build
from shards.scenes import Scenes


@dataclass(frozen=True, kw_only=True)
class ProcessesConfig:
    """Which training, how long, how often."""

    config: str = "configs/quickstart.py"
    images: int = 800
    """Scenes, in shards of 100."""
    batch_size: int = 16
    """Images of a process in a step."""
    steps: int = 40
    rounds: int = 3


def images_per_second(config: ProcessesConfig, processes: int, shards: str) -> float:
    """Train, and read how fast the run says that it was."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), "-m", "pipelines.train", config.config]
    with tempfile.TemporaryDirectory() as output:
        command += ["--data.shards", shards, "--output", f"{output}/run"]
        command += ["--data.batch-size", str(config.batch_size * processes)]
        command += ["--steps", str(config.steps), "--schedule.warmup", "0", "--log-every", "10"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        rows = Path(output, "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return json.loads(rows[-1])["images_per_second"]


def main(config: ProcessesConfig) -> None:
    """Print a row a round."""
    print("| round | 1 process, images/s | 2 processes, images/s | ratio |\n|---|---|---|---|")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        build(
            Scenes("train", config.images).source(), f"{folder}/set", Limits(images_per_shard=100)
        )
        for turn in range(config.rounds):
            one, two = (images_per_second(config, n, f"{folder}/set") for n in (1, 2))
            ratios.append(two / one)
            print(f"| {turn + 1} | {one:.1f} | {two:.1f} | {two / one:.2f} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.2f}; {os.cpu_count()} cores")


if __name__ == "__main__":
    main(tyro.cli(ProcessesConfig, args=sys.argv[1:]))
