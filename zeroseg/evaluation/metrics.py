"""Segmentation metrics, all from one confusion matrix over the whole dataset."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.benchmarks import IGNORE


def confusion_matrix(
    predicted: Int[Tensor, "*pixels"], labels: Int[Tensor, "*pixels"], classes: int
) -> Int[Tensor, "classes classes"]:
    """Count pixels by (label, prediction); pixels labelled 255 are left out.

    Raises ValueError for a label or prediction outside `range(classes)`.
    """
    keep = labels != IGNORE
    labels, predicted = labels[keep], predicted[keep]
    for name, values in (("label", labels), ("prediction", predicted)):
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < classes:
            worst = int(values.max() if values.max() >= classes else values.min())
            raise ValueError(f"{name} {worst} is outside the {classes} classes")
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def iou(confusion: Int[Tensor, "classes classes"]) -> Float[Tensor, " classes"]:
    """Intersection over union of each class; nan where it is in neither truth nor prediction."""
    hits = confusion.diagonal().double()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


def mean_iou(
    confusion: Int[Tensor, "classes classes"], of: Int[Tensor, " chosen"] | None = None
) -> float:
    """Mean IoU over the chosen classes that occur in truth or prediction; nan if none does."""
    values = iou(confusion)
    return float((values if of is None else values[of]).nanmean())


def harmonic_mean(seen: float, unseen: float) -> float:
    """hIoU: the harmonic mean of seen and unseen mIoU; zero when either is."""
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
