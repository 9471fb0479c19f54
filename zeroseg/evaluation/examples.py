"""Rows of pictures that show what a segmenter makes of an image."""

from collections.abc import Iterable, Iterator

import torch.nn.functional as F

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.evaluation.evaluate import label_maps
from zeroseg.evaluation.pictures import (
    Picture,
    coloured,
    overlay,
    pixels,
    side_by_side,
    with_legend,
)
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter, ShowsSegments

STRENGTH = 0.7
"""Of colours over the image."""


def examples(
    segmenter: Segmenter, batches: Iterable[Batch], task: Task
) -> Iterator[tuple[str, Picture]]:
    """Of every image its key and a row: image, truth, prediction over it, and the segments over it
    of a segmenter that shows them."""
    for batch in batches:
        batch = batch.to(task.queries.embeddings.device)
        for i, key in enumerate(batch.keys):
            image, labels = batch.pixels[i : i + 1], batch.labels
            assert labels is not None
            truth = task.benchmark.mapped(labels[i], key)
            shape = (truth.shape[0], truth.shape[1])
            prediction = label_maps(segmenter, image, task, shape)[0]
            photo = pixels(F.interpolate(image, shape, mode="bilinear")[0])
            shown = [photo, coloured(truth), overlay(photo, prediction, STRENGTH)]
            if isinstance(segmenter, ShowsSegments):
                shown.append(overlay(photo, segmenter.segments(image, shape)[0], STRENGTH))
            present = sorted({*truth.unique().tolist(), *prediction.unique().tolist()} - {IGNORE})
            legend = {c: task.benchmark.classes[c] for c in present}
            yield key, with_legend(side_by_side(shown), legend)
