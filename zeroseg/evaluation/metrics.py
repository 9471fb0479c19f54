"""Segmentation metrics, all from integer counts of pixels over the whole dataset."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer, Real
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE


def confusion_matrix(
    predicted: Integer[Tensor, "*pixels"], labels: Integer[Tensor, "*pixels"], classes: int
) -> Int[Tensor, "classes classes"]:
    """Count pixels by (label, prediction); ignored pixels are left out.

    Raises ValueError for a label or prediction outside `range(classes)`.
    """
    rows = classes + 1
    counts = torch.bincount(_pairs(predicted, labels, classes), minlength=rows * classes)
    return counts.view(rows, classes)[1:]


def threshold_counts(
    predicted: Integer[Tensor, "*pixels"],
    labels: Integer[Tensor, "*pixels"],
    reached: Integer[Tensor, "*pixels"],
    classes: int,
) -> Int[Tensor, "entry 4"]:
    """Count pixels by (label, prediction, thresholds reached): a row for each that occurs, its count last.

    `class_counts` makes of the rows of all images what IoU at each threshold needs. Errors are those of
    `confusion_matrix`.
    """
    levels = int(reached.max()) + 1 if reached.numel() else 1
    whole = _integers((classes + 1) * classes * levels, torch.int32)
    joint = _pairs(predicted, labels, classes).to(whole) * levels + reached.flatten().to(whole)
    found, counts = map(torch.from_numpy, np.unique(joint.cpu().numpy(), return_counts=True))
    pair, level = found // levels, found % levels
    rows = torch.stack([pair // classes - 1, pair % classes, level, counts.to(whole)], dim=1)
    return rows[rows[:, 0] >= 0]


class PixelCounts(NamedTuple):
    """Pixels of each class at rising thresholds: right, in the truth, in the prediction."""

    hits: Int[Tensor, "threshold classes"]
    truth: Int[Tensor, "threshold classes"]
    predicted: Int[Tensor, "threshold classes"]


def class_counts(counts: Int[Tensor, "entry 4"], classes: int, thresholds: int) -> PixelCounts:
    """Pixels at so many thresholds: one that does not reach a threshold counts as predicted 0, background,
    there. No confusion matrix of each is made, which many classes leave no memory for."""
    label, predicted, reached, count = counts.long().unbind(dim=1)
    columns = ((label, count * (label == predicted)), (predicted, count), (label, count))
    right, found, true = (
        count.new_zeros(thresholds + 1, classes)
        .index_put_((reached, of), pixels, accumulate=True)
        .cumsum(dim=0)
        for of, pixels in columns
    )
    below, truth = true[:-1], true[-1:].expand(thresholds, -1)
    hits, guessed = right[-1] - right[:-1], found[-1] - found[:-1]
    hits[:, 0] += below[:, 0]
    guessed[:, 0] += below.sum(dim=1)
    return PixelCounts(hits, truth, guessed)


def class_ious(
    hits: Real[Tensor, "*batch classes"],
    truth: Real[Tensor, "*batch classes"],
    predicted: Real[Tensor, "*batch classes"],
) -> Float[Tensor, "*batch classes"]:
    """Intersection over union of each class; nan where it is in neither truth nor prediction."""
    return hits.double() / (truth + predicted - hits)


def mean_over(
    ious: Float[Tensor, "*batch classes"], absent: float = math.nan
) -> Float[Tensor, "*batch"]:
    """Mean over classes that occur, nan of none; with a number for the `absent` over all classes."""
    return ious.nan_to_num(absent).nanmean(dim=-1)


def iou(confusion: Int[Tensor, "*batch classes classes"]) -> Float[Tensor, "*batch classes"]:
    """`class_ious` of confusion matrices."""
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    return class_ious(hits, confusion.sum(-1), confusion.sum(-2))


def accuracy(confusion: Int[Tensor, "*batch classes classes"]) -> Float[Tensor, "*batch classes"]:
    """Share of each class's pixels that are found; nan where it is not in the truth."""
    return confusion.diagonal(dim1=-2, dim2=-1).double() / confusion.sum(-1)


def mean_iou(
    confusion: Int[Tensor, "classes classes"],
    of: Int[Tensor, " chosen"] | None = None,
    absent: float = math.nan,
) -> float:
    """Mean IoU over the chosen classes that occur in truth or prediction; nan if none does.

    With a number for the `absent` it is over all chosen classes, and that is what the others have.
    """
    values = iou(confusion)
    return float(mean_over(values if of is None else values[of], absent))


def mean_accuracy(confusion: Int[Tensor, "classes classes"]) -> float:
    """Mean accuracy over the classes that occur in the truth; nan if none does."""
    return float(accuracy(confusion).nanmean())


def pixel_accuracy(confusion: Int[Tensor, "classes classes"]) -> float:
    """Share of all pixels that are right; nan if there are none."""
    return float(confusion.diagonal().sum().double() / confusion.sum())


def frequency_weighted_iou(confusion: Int[Tensor, "classes classes"]) -> float:
    """Mean IoU weighted by how many pixels of the truth a class has; nan if there are none."""
    share = confusion.sum(-1).double() / confusion.sum()
    return float((share * iou(confusion).nan_to_num(0)).sum())


def harmonic_mean(
    seen: Float[Tensor, "*batch"], unseen: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """hIoU: the harmonic mean of seen and unseen mIoU; zero when either is."""
    return 2 / (1 / seen + 1 / unseen)


def boundary_counts(
    predicted: Integer[Tensor, "height width"],
    labels: Integer[Tensor, "height width"],
    classes: int,
    reach: float = 0.02,
) -> Int[Tensor, "classes 2"]:
    """Intersection and union, in pixels, of each class's boundary in prediction and truth of an image.

    A boundary is what of a class lies within `reach` of the image's diagonal of another class or
    of the image's end, counted in whole pixels along rows, columns and diagonals alike (Boundary IoU,
    Cheng et al., CVPR 2021, equation 2 and the authors' code). The ratio of sums over images is the
    class's boundary IoU (ours: the paper averages over objects). Ignored pixels are another class in both.
    """
    distance = max(1, round(reach * math.hypot(*labels.shape)))
    ignored, other = labels == IGNORE, classes
    found, true = (
        torch.where(_near_another(regions, distance, other), regions, other).flatten()
        for regions in (predicted.masked_fill(ignored, other), labels.masked_fill(ignored, other))
    )
    hits, found, true = (
        torch.bincount(regions, minlength=classes + 1)[:classes]
        for regions in (torch.where(found == true, found, other), found, true)
    )
    return torch.stack([hits, found + true - hits], dim=1)


def _near_another(
    regions: Integer[Tensor, "height width"], distance: int, outside: int
) -> Bool[Tensor, "height width"]:
    """Where a square of `distance` pixels to each side is not all of one region; `outside` is
    the region beyond the image."""
    padded = F.pad(regions, [distance] * 4, value=outside)
    first = padded[:-1, :-1]
    others = (padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:])
    changes = torch.stack([other != first for other in others]).any(dim=0)
    sums = F.pad(changes.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32), [1, 0, 1, 0])
    side = 2 * distance
    rows = sums[side:] - sums[:-side]
    return rows[:, side:] != rows[:, :-side]


def _pairs(
    predicted: Integer[Tensor, "*pixels"], labels: Integer[Tensor, "*pixels"], classes: int
) -> Int[Tensor, " pixel"]:
    """(label + 1) * classes + prediction of every pixel, 0 instead of the first for an ignored label."""
    fits = _integers((classes + 1) * classes, torch.int16, torch.int32)
    rows = labels.to(torch.int16) + 1  # cut to 16 bits an ignored label is -1, for half the time
    if fits != torch.int16:
        rows = rows.to(fits).bitwise_and_(IGNORE)
    for name, values in (("label", labels), ("prediction", predicted)):
        low, high = map(int, values.aminmax()) if values.numel() else (0, 0)
        if name == "label" and high == IGNORE:
            least, most = map(int, rows.aminmax())
            high = (most if least >= 0 else least % (IGNORE + 1)) - 1
        if low < 0 or high >= classes:
            worst = high if high >= classes else low
            raise ValueError(f"{name} {worst} is outside the {classes} classes")
    return torch.add(predicted.to(fits), rows, alpha=classes).flatten()


def _integers(count: int, *shortest: torch.dtype) -> torch.dtype:
    """The first of some integers, or else int64, that tell so many cases apart."""
    return next((d for d in shortest if count - 1 <= torch.iinfo(d).max), torch.int64)
