"""What an image costs with very many classes: time, and memory at its peak, beside 150 classes.

    uv run python -m benchmarks.many_classes

One image of 500 x 375 pixels under the protocol `zeroseg` (two windows of 448 pixels at a short side of 448), a
student of ViT-S/16 with random weights, random words, random labels: all that `zeroseg evaluate` does of an
image, from its pixels to its counts. Numbers of classes take turns; what counts are the ratios of
a round. Processor seconds, as in `benchmarks/evaluate.py`. The peak is Linux's (VmHWM), reset before
each image; what the model and the words hold at all times is not in it. Two classes show what the student
alone costs.
"""

import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.evaluate import tally_batches
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import Task
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ManyClassesConfig:
    """What is scored, how often."""

    classes: tuple[int, ...] = (150, 2, 459, 847)
    """The first is what the others are compared with."""
    size: tuple[int, int] = (375, 500)
    """Height and width of the image and its annotation."""
    rounds: int = 5
    threads: int = 1


def task_of(classes: int, embed_dim: int) -> Task:
    """A benchmark of so many classes, with random words."""
    names = tuple(f"class {i}" for i in range(classes))
    generator = torch.Generator().manual_seed(classes)
    queries = Queries(
        names=names,
        owners=torch.arange(classes),
        seen=torch.ones(classes, dtype=torch.bool),
        embeddings=F.normalize(torch.randn(classes, embed_dim, generator=generator), dim=1),
    )
    benchmark = Benchmark(name=f"{classes} classes", classes=names, background=False)
    return Task(benchmark=benchmark, protocol=Protocol(), queries=queries, threshold=None)


def image_of(classes: int, config: ManyClassesConfig) -> Batch:
    """One image at the protocol's size, with regions of 25 pixels a side of random classes."""
    generator = torch.Generator().manual_seed(0)
    cells = [-(-side // 25) for side in config.size]
    labels = torch.randint(classes, (1, *cells), generator=generator)
    labels = labels.repeat_interleave(25, 1).repeat_interleave(25, 2)
    sides = Protocol().picture_size(config.size, 16)
    images = torch.randint(256, (1, 3, *sides), generator=generator, dtype=torch.uint8)
    return Batch(("image",), images, labels[:, : config.size[0], : config.size[1]].contiguous())


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Processor milliseconds, and megabytes that the process held at its peak beyond those at first."""
    ctypes.CDLL(None).malloc_trim(0)  # else what was freed before counts as held
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, begun = _megabytes("VmRSS"), time.process_time()
    run()
    return 1000 * (time.process_time() - begun), _megabytes("VmHWM") - before


def _megabytes(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main(config: ManyClassesConfig) -> None:
    """Print a line a number of classes."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(config.threads)
    torch.manual_seed(0)
    model = ZeroSeg(
        ZeroSegConfig(trunk=ViT(width=384, num_heads=6), decoder_depth=0, patch_embeddings=True)
    )
    student = Student(model.eval(), "patches")
    runs = {}
    for classes in config.classes:
        task, batch = task_of(classes, model.config.embed_dim), image_of(classes, config)
        runs[classes] = lambda t=task, b=batch: tally_batches(student, [b], t, CPU)
        runs[classes]()
    rounds = [{n: measured(run) for n, run in runs.items()} for _ in range(config.rounds)]
    first = config.classes[0]
    print(f"| classes | ms an image | of {first}'s | range | MB | of {first}'s |")
    print("|---|---|---|---|---|---|")
    for classes in config.classes:
        times, peaks = ([r[classes][i] for r in rounds] for i in range(2))
        slower = sorted(r[classes][0] / r[first][0] for r in rounds)
        larger = statistics.median(r[classes][1] / r[first][1] for r in rounds)
        print(
            f"| {classes} | {statistics.median(times):.0f} | {statistics.median(slower):.2f}x | "
            f"{slower[0]:.2f} to {slower[-1]:.2f} | {statistics.median(peaks):.0f} | {larger:.2f}x |"
        )
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main(tyro.cli(ManyClassesConfig, args=sys.argv[1:]))
