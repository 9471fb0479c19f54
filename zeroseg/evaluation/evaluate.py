"""Zero-shot evaluation: a segmenter, labelled images and a task in, counts of every image out."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.evaluation.inference import (
    Axis,
    WindowScores,
    best_class,
    pixel_scores,
    thresholds_reached,
    window_scores,
    with_background,
)
from zeroseg.evaluation.metrics import boundary_counts, threshold_counts
from zeroseg.evaluation.refinement import pamr
from zeroseg.evaluation.scores import Scores, scores_of
from zeroseg.evaluation.tally import Tally, concatenate, empty
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter

Sizes = tuple[int, int]


@torch.no_grad()
def best_classes(
    segmenter: Segmenter,
    images: Float[Tensor, "batch 3 height width"],
    task: Task,
    size: Sizes,
    among: Bool[Tensor, " class"] | None = None,
) -> tuple[
    Float[Tensor, "batch label_height label_width"], Int[Tensor, "batch label_height label_width"]
]:
    """Highest score at each pixel of the annotation, and the benchmark's class that has it, of all
    classes or `among` some.

    Before any background threshold; where the protocol has an area threshold, after that.
    """
    return _best(*grid_scores(segmenter, images, task, size), task, size, among)


@torch.no_grad()
def answers(
    segmenter: Segmenter,
    images: Float[Tensor, "batch 3 height width"],
    task: Task,
    sizes: Sequence[Sizes],
) -> list[tuple[Float[Tensor, "_ _"], Int[Tensor, "_ _"]]]:
    """Of each image, at a size of its own, the highest score at each pixel and the label map.

    The segmenter is asked once for all of them. Scores are those of `best_classes`, label maps those
    of `label_maps`.
    """
    rule = task.protocol.threshold_rule
    if task.protocol.pamr:  # refines at each image's own pixels
        alone = zip(images, sizes, strict=True)
        parts = [grid_scores(segmenter, image[None], task, size) for image, size in alone]
    else:
        scores, scale = grid_scores(segmenter, images, task, sizes[0])
        parts = [(scores._replace(grids=grid[None]), scale) for grid in scores.grids]
    found = []
    for (scores, scale), size in zip(parts, sizes, strict=True):
        best, index = _best(scores, scale, task, size)
        found.append((best[0], with_background(best, index, task.threshold, rule)[0]))
    return found


def _best(
    scores: WindowScores,
    scale: float | None,
    task: Task,
    size: Sizes,
    among: Bool[Tensor, " class"] | None = None,
) -> tuple[
    Float[Tensor, "batch label_height label_width"], Int[Tensor, "batch label_height label_width"]
]:
    """As `best_classes`, of what `grid_scores` says."""
    protocol, queries, images = task.protocol, task.queries, scores.grids
    chosen = None if among is None else among.expand(len(images), -1)
    best, index = best_class(scores, size, queries.owners, logit_scale=scale, allowed=chosen)
    if not protocol.area_threshold:
        return best, index
    classes = len(task.benchmark.classes)
    pixels = index.flatten(1)
    area = best.new_zeros(len(pixels), classes, dtype=torch.float64)
    area.scatter_add_(1, pixels, torch.ones_like(pixels, dtype=torch.float64))
    if task.benchmark.background:
        area[:, 0] = 0
    allowed = area > protocol.area_threshold * area.sum(dim=1, keepdim=True)
    if task.benchmark.background:
        allowed[:, 0] = True
    if chosen is not None:
        allowed &= chosen
    return best_class(scores, size, queries.owners, logit_scale=scale, allowed=allowed)


@torch.no_grad()
def class_scores(
    segmenter: Segmenter, images: Float[Tensor, "batch 3 height width"], task: Task, size: Sizes
) -> Float[Tensor, "batch class label_height label_width"]:
    """The score of every class at each pixel, of several queries the best, 0 without one: all of
    them, so mind the memory. Probabilities, but under a protocol that takes no softmax."""
    scores, scale = grid_scores(segmenter, images, task, size)
    pixels = pixel_scores(scores, size, logit_scale=scale)
    owners = task.queries.owners[:, None, None].expand_as(pixels)
    best = pixels.new_zeros(len(pixels), len(task.benchmark.classes), *size)
    return best.scatter_reduce(1, owners, pixels, "amax", include_self=False)


@torch.no_grad()
def grid_scores(
    segmenter: Segmenter, images: Float[Tensor, "batch 3 height width"], task: Task, size: Sizes
) -> tuple[WindowScores, float | None]:
    """Scores of all windows, and the logit scale of a softmax that is still to be taken at pixels."""
    protocol = task.protocol
    scales = {protocol.softmax: protocol.logit_scale}
    scores = window_scores(
        segmenter,
        images,
        task.queries,
        protocol.window,
        protocol.stride,
        logit_scale=scales.get("model"),
    )
    if protocol.pamr:
        picture = F.interpolate(images, size, mode="bilinear")
        axes = (Axis(side, side, (0,)) for side in size)
        scores = WindowScores(pamr(picture, pixel_scores(scores, size), protocol.pamr), *axes)
    return scores, scales.get("pixels")


def label_maps(
    segmenter: Segmenter, images: Float[Tensor, "batch 3 height width"], task: Task, size: Sizes
) -> Int[Tensor, "batch label_height label_width"]:
    """The answer: a class of the benchmark at each pixel of the annotation."""
    best, index = best_classes(segmenter, images, task, size)
    return with_background(best, index, task.threshold, task.protocol.threshold_rule)


def tally_batches(
    segmenter: Segmenter,
    batches: Iterable[Batch],
    task: Task,
    device: torch.device,
    *,
    thresholds: Sequence[float] = (),
    boundary: bool = False,
) -> Tally:
    """Count every image of the batches, at the task's threshold and at all `thresholds`."""
    steps = tuple(sorted({*thresholds, *([] if task.threshold is None else [task.threshold])}))
    parts = (_batch_tally(segmenter, batch.to(device), task, steps, boundary) for batch in batches)
    return concatenate([empty(len(task.benchmark.classes), steps), *parts])


def gather_tally(tally: Tally, accelerator: Accelerator) -> Tally:
    """The images of all processes, in the order of their ranks; every process gets the same."""
    return concatenate(gather_object([tally]))


def evaluate(
    segmenter: Segmenter, batches: Iterable[Batch], task: Task, accelerator: Accelerator
) -> Scores:
    """Score a segmenter; the same for any number of processes, each with its own batches.

    Raises InputError when no process has a labelled image, or a label is none of the benchmark's.
    """
    tally = gather_tally(tally_batches(segmenter, batches, task, accelerator.device), accelerator)
    return scores_of(tally, task)


def _batch_tally(
    segmenter: Segmenter, batch: Batch, task: Task, steps: tuple[float, ...], boundary: bool
) -> Tally:
    classes = len(task.benchmark.classes)
    tally = empty(classes, steps, tuple(str(loss) for loss in batch.lost))
    if batch.labels is None or not batch.keys:
        return tally
    labels = task.benchmark.mapped(batch.labels, batch.keys)
    best, index = best_classes(segmenter, batch.pixels, task, (labels.shape[1], labels.shape[2]))
    reached = thresholds_reached(best, best.new_tensor(steps), task.protocol.threshold_rule)
    counts = [
        threshold_counts(*maps, classes).cpu().numpy()
        for maps in zip(index, labels, reached, strict=True)
    ]
    boundaries = tally.boundary
    if boundary:
        answers = with_background(best, index, task.threshold, task.protocol.threshold_rule)
        pairs = zip(answers, labels, strict=True)
        boundaries = np.stack([boundary_counts(*maps, classes).cpu().numpy() for maps in pairs])
    return dataclasses.replace(
        tally,
        keys=batch.keys,
        image=np.repeat(np.arange(len(counts)), [len(entries) for entries in counts]),
        counts=np.concatenate(counts),
        boundary=boundaries,
    )
