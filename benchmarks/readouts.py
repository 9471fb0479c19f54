"""What an answer costs: the student alone, its teacher's views at test, and the correction by them.

    OMP_NUM_THREADS=1 uv run python -m benchmarks.readouts

First the parts of a corrected answer on the quickstart's student, with random weights, and the scenes' teacher,
beside what the teacher takes for dense features. All take turns in one process; what counts are the ratios of a
round. On a CPU processor seconds are counted, which other programs disturb less than wall time. Then the
correction alone on more and more patches of 512 random dimensions.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from tqdm import tqdm

from configs.quickstart import method as METHOD
from configs.quickstart import teacher as TEACHER
from zeroseg.data.views import ViewSet, cut_views, view_overlap
from zeroseg.evaluation.correction import Correction, Kind
from zeroseg.evaluation.segmenters import OVERLAPPING
from zeroseg.models.clip import CLIP

KINDS: tuple[Kind, ...] = ("mean", "solve", "fused")
VIEWS = {"30 cells of four grids": ViewSet(), "49 windows": OVERLAPPING}
EMBED = 512
Rounds = list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How much, how often."""

    images: int = 8
    """In a batch."""
    rounds: int = 15
    side: int = 112
    """Of the images, in pixels."""
    grids: tuple[int, ...] = (14, 28, 56)
    """Patches a side, of the second table."""
    device: str = "cpu"


def rounds(runs: dict[str, Callable[[], object]], config: BenchmarkConfig) -> Rounds:
    """Milliseconds an image of each, round by round, after one of each that does not count."""
    clock = time.process_time if config.device == "cpu" else time.perf_counter

    def milliseconds(run: Callable[[], object]) -> float:
        begun = clock()
        run()
        if config.device != "cpu":
            torch.cuda.synchronize()
        return 1000 * (clock() - begun) / config.images

    for run in runs.values():
        run()
    every = tqdm(range(config.rounds), desc="rounds", unit="round")
    return [{name: milliseconds(run) for name, run in runs.items()} for _ in every]


def table(found: Rounds, first: str) -> None:
    """Print milliseconds an image, and how many times the first of a round."""
    print(f"| | ms an image | as {first} | range |\n|---|---|---|---|")
    for name in found[0]:
        ratios = [of[name] / of[first] for of in found]
        middle = statistics.median(of[name] for of in found)
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"| {name} | {middle:.2f} | {statistics.median(ratios):.2f} | {span} |")


def answers(config: BenchmarkConfig) -> None:
    """Print the parts of a corrected answer."""
    torch.manual_seed(0)
    model = METHOD.model().to(config.device).eval()
    clip = CLIP(TEACHER.clip, config.device)
    images = torch.rand(config.images, 3, config.side, config.side, device=config.device)
    runs: dict[str, Callable[[], object]] = {
        "student alone": lambda: model.segment(images),
        "teacher, maskclip": lambda: clip.dense(images),
    }
    for name, views in VIEWS.items():
        runs[f"teacher, {name}"] = lambda v=views: clip.encode_views(
            cut_views(images, v, clip.image_size)
        )
    output, views = model.segment(images), ViewSet()
    seen = clip.encode_views(cut_views(images, views, clip.image_size))
    patch = config.side // output.grid[0]

    def corrected(kind: Kind) -> object:
        overlap = view_overlap(views, (config.side, config.side), patch).to(images.device)
        return Correction(kind=kind).corrected(output, overlap, seen)

    for kind in KINDS:
        runs[f"correction alone, {kind}"] = lambda k=kind: corrected(k)
    table(rounds(runs, config), "student alone")


def corrections(config: BenchmarkConfig) -> None:
    """Print the correction alone, on more and more patches."""
    print("| patches | kind | ms an image | range |\n|---|---|---|---|")
    for grid in config.grids:
        found = rounds(alone(grid, config), config)
        for kind in KINDS:
            times = [of[kind] for of in found]
            span = f"{min(times):.2f} to {max(times):.2f}"
            print(f"| {grid}x{grid} | {kind} | {statistics.median(times):.2f} | {span} |")


def alone(grid: int, config: BenchmarkConfig) -> dict[str, Callable[[], object]]:
    """Every correction of random patches."""
    shape, views = (config.images, grid**2, EMBED), ViewSet()
    patches = F.normalize(torch.randn(shape, device=config.device), dim=-1)
    seen = F.normalize(patches[:, : views.count] + 0.1, dim=-1)
    overlap = view_overlap(views, (grid, grid), 1).to(config.device)
    return {
        kind: lambda k=kind: Correction(kind=k).patches(patches, overlap, seen) for kind in KINDS
    }


def main(config: BenchmarkConfig) -> None:
    """Print both tables."""
    torch.set_grad_enabled(False)
    for title, part in {"An answer": answers, "The correction alone": corrections}.items():
        print(f"\n{title}\n")
        part(config)
    print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}, {config.device}")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
