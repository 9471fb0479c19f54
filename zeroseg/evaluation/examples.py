"""Rows of pictures that show what a segmenter makes of an image."""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.evaluation.evaluate import label_maps
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.pictures import (
    Picture,
    coloured,
    overlay,
    pixels,
    side_by_side,
    with_legend,
)
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import Task

STRENGTH = 0.7
"""Of colours over the image."""


def examples(
    segmenter: Segmenter, batches: Iterable[Batch], task: Task
) -> Iterator[tuple[str, Picture]]:
    """Of every image its key and a row: image, truth, prediction over it, and the segments of a
    student over it."""
    for batch in batches:
        batch = batch.to(task.class_embeddings.device)
        for i, key in enumerate(batch.keys):
            image, labels = batch.pixels[i : i + 1], batch.labels
            assert labels is not None
            truth = task.benchmark.mapped(labels[i], key)
            shape = (truth.shape[0], truth.shape[1])
            prediction = label_maps(segmenter, image, task, shape)[0]
            photo = pixels(F.interpolate(image, shape, mode="bilinear")[0])
            shown = [photo, coloured(truth), overlay(photo, prediction, STRENGTH)]
            if isinstance(segmenter, Student):
                shown.append(overlay(photo, segments(segmenter, image, shape), STRENGTH))
            present = sorted({*truth.unique().tolist(), *prediction.unique().tolist()} - {IGNORE})
            legend = {c: task.benchmark.classes[c] for c in present}
            yield key, with_legend(side_by_side(shown), legend)


@torch.no_grad()
def segments(
    student: Student, image: Float[Tensor, "1 3 height width"], size: tuple[int, int]
) -> Int[Tensor, "label_height label_width"]:
    """The segment that owns each pixel most."""
    assignment = student.model.segment(image).assignment
    rows = image.shape[2] // student.model.config.patch_size
    maps = assignment.unflatten(2, (rows, -1))
    return F.interpolate(maps, size, mode="bilinear").argmax(dim=1)[0]
