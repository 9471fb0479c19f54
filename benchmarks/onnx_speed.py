"""Images a second on the CPU of a model by torch and of its exported file by onnxruntime, in one run.

    python -m benchmarks.onnx_speed runs/x x.onnx --side 448 --threads 1

Passes take turns, so that what else the machine does meets both alike; of each the median counts.
"""

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from pipelines.command_line import UNSET, read
from zeroseg.predictor import load

WORDS = ("cat", "dog", "grass", "sky", "person")


@dataclass(frozen=True, kw_only=True)
class SpeedConfig:
    """Which model, which file of it, and how images come."""

    model: Annotated[str, tyro.conf.Positional]
    """What `file` was exported from."""
    file: Annotated[Path, tyro.conf.Positional]
    """Of `zeroseg export onnx`."""
    side: int = 224
    """Of square images, in pixels, brought to a multiple of the model's patch."""
    batch: int = 4
    passes: int = 10
    threads: int = 1
    """Of both."""


def measure(config: SpeedConfig) -> dict[str, float]:
    """Images a second of each."""
    torch.set_num_threads(config.threads)
    models = {"torch": load(config.model, device="cpu"), "onnxruntime": load(config.file)}
    multiple = models["onnxruntime"].segmenter().multiple
    images = torch.rand(config.batch, 3, *[max(2, config.side // multiple) * multiple] * 2)
    answer = {
        name: (model.segmenter(), model.task(WORDS).queries) for name, model in models.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(1 + config.passes):
        for name, (segmenter, queries) in answer.items():
            begun = time.perf_counter()
            segmenter.predict(images, queries)
            seconds[name].append(time.perf_counter() - begun)
    return {name: config.batch / statistics.median(passes[1:]) for name, passes in seconds.items()}


def main() -> None:
    """Read the command line, measure and print."""
    config = read(SpeedConfig, sys.argv[1:], "python -m benchmarks.onnx_speed", __doc__, *UNSET)
    found = measure(config)
    for name, speed in found.items():
        print(f"{name}: {speed:.2f} images a second")
    print(f"onnxruntime / torch: {found['onnxruntime'] / found['torch']:.2f}")


if __name__ == "__main__":
    main()
