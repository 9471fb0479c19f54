"""Scores of a tally: over the classes, of every image, and at every background threshold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.metrics import (
    accuracy,
    class_counts,
    class_ious,
    frequency_weighted_iou,
    harmonic_mean,
    iou,
    mean_accuracy,
    mean_iou,
    mean_over,
    pixel_accuracy,
)
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task

Interval = tuple[float, float]
"""Where the middle 95 % of bootstrap samples lie, low and high."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Shares in [0, 1]; nan where a class is in neither truth nor prediction."""

    benchmark: str
    """Its name."""
    miou: float
    mean_accuracy: float
    """Over classes that occur in the truth."""
    pixel_accuracy: float
    frequency_weighted_iou: float
    per_class: dict[str, float]
    """IoU by class name."""
    per_class_accuracy: dict[str, float]
    images: int
    """How many were scored."""
    seen_miou: float | None = None
    """None, like the two below, if the benchmark has no unseen classes."""
    unseen_miou: float | None = None
    hiou: float | None = None
    boundary_miou: float | None = None
    """None if it was not asked for."""
    miou_interval: Interval | None = None
    """None, like the three below, if no interval was computed."""
    seen_miou_interval: Interval | None = None
    unseen_miou_interval: Interval | None = None
    hiou_interval: Interval | None = None
    skipped: tuple[str, ...] = ()
    """Samples that could not be scored, and why."""


@dataclass(frozen=True)
class ImageScore:
    """Scores of one image; shares in [0, 1], nan where it has no labelled pixel."""

    key: str
    miou: float
    """Over the classes in its truth or prediction."""
    pixel_accuracy: float


@dataclass(frozen=True)
class CurvePoint:
    """The mean IoU at one background threshold."""

    threshold: float
    miou: float


@dataclass(frozen=True)
class ThresholdCurve:
    """Mean IoU over background thresholds.

    Raises InputError when there are not as many scores as thresholds.
    """

    thresholds: tuple[float, ...]
    """Rising."""
    miou: tuple[float, ...]
    """At each of them."""
    maximum: CurvePoint
    area: float
    """Mean over thresholds from 0 to 1 (trapezia; beyond the first and the last the curve is level):
    what a threshold that nobody tuned gives on average."""

    def __post_init__(self) -> None:
        if len(self.miou) != len(self.thresholds):
            raise InputError(f"miou has {len(self.miou)} values, thresholds {len(self.thresholds)}")


def splits_of(benchmark: Benchmark) -> dict[str, list[int]]:
    """Indices of all classes, and of the seen and the unseen ones where the benchmark knows them."""
    everything = list(range(len(benchmark.classes)))
    if not benchmark.unseen:
        return {"miou": everything}
    unseen = [i for i in everything if benchmark.classes[i] in benchmark.unseen]
    seen = [i for i in everything if i not in unseen]
    return {"miou": everything, "seen_miou": seen, "unseen_miou": unseen}


def scores_of(tally: Tally, task: Task) -> Scores:
    """All scores at the task's threshold. Raises InputError when no image could be scored."""
    benchmark, absent = task.benchmark, task.protocol.absent
    if not tally.keys:
        raise InputError(
            f"no labelled image was read for benchmark {benchmark.name!r}; "
            f"skipped: {list(tally.lost[:3])}"
        )
    confusion = torch.from_numpy(tally.confusion(task.threshold))
    means: dict[str, Any] = {
        name: mean_iou(confusion, torch.tensor(of), absent)
        for name, of in splits_of(benchmark).items()
    }
    if "unseen_miou" in means:
        split = torch.tensor([means["seen_miou"], means["unseen_miou"]], dtype=torch.float64)
        means["hiou"] = float(harmonic_mean(*split))
    boundary = None
    if len(tally.boundary):
        both, either = torch.from_numpy(tally.boundary).sum(dim=0).T
        boundary = float(mean_over(class_ious(both, both, either), absent))
    return Scores(
        benchmark=benchmark.name,
        **means,
        mean_accuracy=mean_accuracy(confusion),
        pixel_accuracy=pixel_accuracy(confusion),
        frequency_weighted_iou=frequency_weighted_iou(confusion),
        per_class=dict(zip(benchmark.classes, iou(confusion).tolist(), strict=True)),
        per_class_accuracy=dict(zip(benchmark.classes, accuracy(confusion).tolist(), strict=True)),
        images=len(tally.keys),
        boundary_miou=boundary,
        skipped=tally.lost,
    )


def image_scores(tally: Tally, threshold: float | None) -> tuple[ImageScore, ...]:
    """Scores of every image, in the tally's order."""
    hits, truth, predicted = map(torch.from_numpy, tally.by_image(threshold))
    mious, right = mean_over(class_ious(hits, truth, predicted)), hits.sum(dim=1) / truth.sum(dim=1)
    rows = zip(tally.keys, mious.tolist(), right.tolist(), strict=True)
    return tuple(ImageScore(*row) for row in rows)


def threshold_curve(tally: Tally, absent: float) -> ThresholdCurve | None:
    """The curve over all thresholds that were counted; None if they are fewer than two, or no pixel
    is labelled.

    `absent` is as in `metrics.mean_over`.
    """
    if len(tally.thresholds) < 2:
        return None
    counts = torch.from_numpy(tally.counts)
    ious = class_ious(*class_counts(counts, tally.classes, len(tally.thresholds)))
    mious = mean_over(ious, absent).tolist()
    if np.isnan(mious).all():
        return None
    best = int(np.nanargmax(mious))
    ends = ([0.0, *tally.thresholds, 1.0], [mious[0], *mious, mious[-1]])
    return ThresholdCurve(
        thresholds=tally.thresholds,
        miou=tuple(mious),
        maximum=CurvePoint(tally.thresholds[best], mious[best]),
        area=float(np.trapezoid(ends[1], ends[0])),
    )
