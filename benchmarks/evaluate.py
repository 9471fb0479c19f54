"""From window scores to label maps and counts: the usual path beside ours.

    uv run python -m benchmarks.evaluate

One image of 500 x 375 pixels, brought to a short side of 448, seen through two windows of 448 pixels,
random scores of 28 x 28 patches each. The usual path is mmsegmentation 0.x's, which GroupViT and TCL
use: all classes are resized to each window, padded to the image, added and divided by how many
windows there were, resized to the annotation, softmax, argmax. Its metric takes three histograms
of floats. Ours: `zeroseg.evaluation`. Both take turns in one process; what counts are the ratios of a
round. On a CPU processor seconds are counted, which other programs disturb less than wall time.
Label maps are compared pixel by pixel with the usual path in float64.

The last table is of a student: its windows one after the other, then all in one batch.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.inference import (
    Axis,
    WindowScores,
    best_class,
    window_scores,
    window_starts,
)
from zeroseg.evaluation.metrics import confusion_matrix, threshold_counts
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.segmenters import Student
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig

LOGIT_SCALE = 40.0
"""SCLIP's."""
PATCH = 16
"""Pixels."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is scored, how often."""

    classes: tuple[int, ...] = (21, 60, 81, 171)
    size: tuple[int, int] = (375, 500)
    """Height and width of the annotation."""
    short_side: int = 448
    window: int = 448
    stride: int = 224
    rounds: int = 9
    maps: int = 24
    """Label maps that are compared with float64."""
    images: int = 4
    """That a student sees."""
    threads: int = 1
    device: str = "cpu"


def usual(
    scores: WindowScores,
    size: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    *,
    softmax: bool = True,
) -> Tensor:
    """mmsegmentation's label map of one image."""
    down, across = scores.down, scores.across
    windows = [
        part
        for row in scores.grids.to(dtype).chunk(len(down.starts), dim=2)
        for part in row.chunk(len(across.starts), dim=3)
    ]
    total = windows[0].new_zeros(1, scores.grids.shape[1], down.side, across.side)
    count = total.new_zeros(1, 1, down.side, across.side)
    places = [(top, left) for top in down.starts for left in across.starts]
    for part, (top, left) in zip(windows, places, strict=True):
        bottom, right = top + down.window, left + across.window
        seen = F.interpolate(part, (down.window, across.window), mode="bilinear")
        total += F.pad(seen, (left, across.side - right, top, down.side - bottom))
        count[..., top:bottom, left:right] += 1
    pixels = F.interpolate(total / count, size, mode="bilinear")
    return (pixels.softmax(dim=1) if softmax else pixels).argmax(dim=1)


def histograms(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """mmsegmentation's intersections, predictions and labels of each class."""
    keep = labels != IGNORE
    predicted, labels = predicted[keep], labels[keep]
    parts = (predicted[predicted == labels], predicted, labels)
    counts = [torch.histc(part.float(), bins=classes, min=0, max=classes - 1) for part in parts]
    return torch.stack(counts)


def picture_size(config: BenchmarkConfig) -> tuple[int, int]:
    """Of the image that windows are cut from."""
    protocol = Protocol(short_side=config.short_side, window=config.window, stride=config.stride)
    return protocol.picture_size(config.size, PATCH)


def random_scores(config: BenchmarkConfig, classes: int, seed: int) -> WindowScores:
    """Of one image, about as far apart as cosines of CLIP."""
    sides = picture_size(config)
    down, across = (
        Axis(side, min(config.window, side), window_starts(side, config.window, config.stride))
        for side in sides
    )
    rows, columns = (len(a.starts) * a.window // PATCH for a in (down, across))
    generator = torch.Generator().manual_seed(seed)
    grids = 0.2 + 0.05 * torch.randn(1, classes, rows, columns, generator=generator)
    return WindowScores(grids.to(config.device), down, across)


def interleaved(runs: dict[str, Callable[[], object]], config: BenchmarkConfig) -> list[dict]:
    """Milliseconds of each, round by round, after one of each that does not count."""
    clock = time.process_time if config.device == "cpu" else time.perf_counter

    def milliseconds(run: Callable[[], object]) -> float:
        begun = clock()
        run()
        if config.device != "cpu":
            torch.cuda.synchronize()
        return 1000 * (clock() - begun)

    for run in runs.values():
        run()
    return [{n: milliseconds(run) for n, run in runs.items()} for _ in range(config.rounds)]


def compared(rounds: list[dict], first: str, second: str) -> str:
    """Milliseconds of both; the ratio's median and range."""
    ratios = sorted(r[first] / r[second] for r in rounds)
    times = [statistics.median(r[name] for r in rounds) for name in (first, second)]
    return (
        f"{times[0]:.1f} | {times[1]:.2f} | {statistics.median(ratios):.1f}x | "
        f"{ratios[0]:.1f} to {ratios[-1]:.1f}"
    )


def label_maps(config: BenchmarkConfig) -> None:
    """Print times of both ways, and how many pixels differ from float64."""
    print("| classes | what | usual, ms | ours, ms | ratio | range | differ: usual | ours |")
    print("|---|---|---|---|---|---|---|---|")
    for classes in config.classes:
        owners = torch.arange(classes, device=config.device)
        cosines = random_scores(config, classes, 0)
        probabilities = cosines._replace(grids=(LOGIT_SCALE * cosines.grids).softmax(dim=1))
        ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "label map": (
                lambda s=cosines: usual(s, config.size),
                lambda s=cosines, o=owners: best_class(s, config.size, o),
            ),
            "with softmax at pixels": (
                lambda s=cosines: usual(s, config.size),
                lambda s=cosines, o=owners: best_class(s, config.size, o, logit_scale=LOGIT_SCALE),
            ),
            "of probabilities": (
                lambda s=probabilities: usual(s, config.size, softmax=False),
                lambda s=probabilities, o=owners: best_class(s, config.size, o),
            ),
        }
        runs = {f"{w} {i}": run for w, pair in ways.items() for i, run in enumerate(pair)}
        rounds = interleaved(runs, config)
        wrong = differing(config, classes, owners)
        for what in ways:
            print(
                f"| {classes} | {what} | {compared(rounds, f'{what} 0', f'{what} 1')} | {wrong} |"
            )


def differing(config: BenchmarkConfig, classes: int, owners: Tensor) -> str:
    """Pixels of all compared maps whose class is not float64's: the usual path's, ours."""
    wrong = [0, 0]
    for seed in range(config.maps):
        scores = random_scores(config, classes, seed)
        truth = usual(scores, config.size, torch.float64)
        found = usual(scores, config.size), best_class(scores, config.size, owners)[1]
        wrong = [w + int((f != truth).sum()) for w, f in zip(wrong, found, strict=True)]
    return " | ".join(map(str, wrong))


def metrics(config: BenchmarkConfig) -> None:
    """Print times of counting one image: regions of 25 pixels a side, every tenth row ignored."""
    print("| classes | what | usual, ms | ours, ms | ratio | range |\n|---|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    cells = (2, *(-(-side // 25) for side in config.size))
    levels = torch.randint(11, config.size, generator=generator).to(config.device)
    for classes in config.classes:
        coarse = torch.randint(classes, cells, generator=generator)
        whole = F.interpolate(coarse[None].float(), scale_factor=25)[0].to(config.device)
        wide = whole[:, : config.size[0], : config.size[1]].long()
        wide[1, ::10] = IGNORE
        predicted, labels = wide
        narrow = wide.int()
        ways: dict[str, Callable[[], object]] = {
            "matrix of int32": lambda m=narrow, c=classes: confusion_matrix(*m, c),
            "matrix of int64": lambda m=wide, c=classes: confusion_matrix(*m, c),
            "at 10 thresholds": lambda m=wide, c=classes: threshold_counts(*m, levels, c),
        }
        usual = {"usual": lambda p=predicted, t=labels, c=classes: histograms(p, t, c)}
        rounds = interleaved(usual | ways, config)
        for what in ways:
            print(f"| {classes} | {what} | {compared(rounds, 'usual', what)} |")


def windows(config: BenchmarkConfig) -> None:
    """Print times of a student on all windows of some images, one after the other and at once."""
    torch.manual_seed(0)
    model = ZeroSeg(
        ZeroSegConfig(trunk=ViT(width=384, num_heads=6), decoder_depth=0, patch_embeddings=True)
    )
    student = Student(model.to(config.device).eval(), "patches")
    sides = picture_size(config)
    images = torch.rand(config.images, 3, *sides, device=config.device)
    embeddings = torch.randn(21, model.config.embed_dim, device=config.device)
    queries = Queries(
        names=tuple(f"class {i}" for i in range(21)),
        owners=torch.arange(21, device=config.device),
        seen=torch.ones(21, dtype=torch.bool, device=config.device),
        embeddings=F.normalize(embeddings, dim=1),
    )

    def run(batch_size: int) -> Callable[[], object]:
        return lambda: window_scores(
            student, images, queries, config.window, config.stride, batch_size=batch_size
        )

    rounds = interleaved({"single": run(1), "batch": run(1000)}, config)
    print("| images | one by one, ms | in one batch, ms | ratio | range |\n|---|---|---|---|---|")
    print(f"| {config.images} | {compared(rounds, 'single', 'batch')} |")


def main(config: BenchmarkConfig) -> None:
    """Print all tables."""
    torch.set_grad_enabled(False)
    torch.set_num_threads(config.threads)
    for title, table in {
        "Label maps": label_maps,
        "Counting": metrics,
        "Windows of a student": windows,
    }.items():
        print(f"\n{title}\n")
        table(config)
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, {config.device}")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
