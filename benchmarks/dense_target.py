"""What dense targets read on validation scenes, untrained, by the views whose features they average.

    uv run python -m benchmarks.dense_target

A student's `dense` term asks it to say what the teacher says of each patch (docs/method.md, section 3).
How well a target names patches of 8 pixels, scored as a segmenter, is the least that it should teach.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
import tyro
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from configs.quickstart import config as DEFAULT
from configs.quickstart import teacher as TEACHER
from pipelines.run.job import accelerator_for
from pipelines.scoring.scenes import BATCH_SIZE, scenes_images
from shards import scenes
from shards.build import Limits, build
from zeroseg.data.views import ViewSet, Windows, view_overlap
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.models.clip import CLIP
from zeroseg.training.dense_target import AROUND, DenseTarget, DenseTeacher
from zeroseg.training.teacher import ViewEncoder

Reading = Literal["maskclip", "fused"]


def windows(size: float, stride: float) -> ViewSet:
    """Windows alone."""
    return ViewSet(grids=(), windows=(Windows(size=size, stride=stride),))


TARGETS = {
    "the whole scene, at its own 112 pixels": DenseTarget(views=ViewSet(grids=(1,)), side=112),
    "2x2": DenseTarget(views=ViewSet(grids=(2,))),
    "windows 0.5:0.25": DenseTarget(views=windows(0.5, 0.25)),
    "windows 0.5:0.15": DenseTarget(views=windows(0.5, 0.15)),
    "windows 0.4:0.2": DenseTarget(views=windows(0.4, 0.2)),
    "windows 0.4:0.15 (the default)": DenseTarget(),
    "windows 0.3:0.15": DenseTarget(views=windows(0.3, 0.15)),
}


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How many scenes, and where they are kept."""

    images: int = 300
    output: Path = Path("runs/dense_target")


@dataclass(frozen=True)
class TargetSegmenter:
    """Every patch of 8 pixels takes the classes of its target."""

    dense: DenseTeacher
    encode: ViewEncoder
    multiple: int = 8

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines of patches."""
        size = (images.shape[2], images.shape[3])
        grid = (size[0] // self.multiple, size[1] // self.multiple)
        overlap = view_overlap(AROUND, size, self.multiple)
        targets = self.dense(images, grid, self.encode(images), overlap)
        return torch.einsum("bpe,qe->bqp", targets, queries.embeddings).unflatten(2, grid)


def main(config: BenchmarkConfig) -> None:
    """Print the table."""
    split = scenes.Scenes("val", config.images)
    build(split.source(), str(config.output / "val"), Limits(images_per_shard=500))
    accelerator = accelerator_for(DEFAULT)
    clip = CLIP(TEACHER.clip, accelerator.device)
    images = scenes_images(config.output, "val", DEFAULT.data.cache)
    batches, task = list(images.batches(8, batch_size=BATCH_SIZE)), images.task(clip)
    print("| views | how many | maskclip | fused |\n|---|---|---|---|")
    for name, target in tqdm(TARGETS.items(), desc="targets", unit="target"):
        cells = []
        for reading in get_args(Reading):
            dense = DenseTeacher(clip, dataclasses.replace(target, reading=reading), AROUND)
            segmenter = TargetSegmenter(dense, ViewEncoder(clip, AROUND))
            scores = evaluate(segmenter, batches, task, accelerator)
            cells.append(f"{100 * scores.miou:.1f} ({100 * scores.hiou:.1f})")
        print(f"| {name} | {target.views.count} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
