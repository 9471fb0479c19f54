"""From a segmenter's probabilities to a label map: windows, sizes, background."""

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Segmenter(Protocol):
    """Whatever can be evaluated: probabilities of classes at pixels, from their embeddings."""

    def predict(
        self,
        images: Float[Tensor, "batch 3 height width"],
        class_embeddings: Float[Tensor, "class embed"],
    ) -> Float[Tensor, "batch class height width"]:
        """Probability of every class at every pixel; images are in [0, 1]."""
        ...


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """Left edges of windows that cover a side; the last one is shifted back to fit."""
    if size <= window:
        return [0]
    count = -(-(size - window) // stride) + 1
    return [min(i * stride, size - window) for i in range(count)]


def slide(
    segmenter: Segmenter,
    images: Float[Tensor, "batch 3 height width"],
    class_embeddings: Float[Tensor, "class embed"],
    window: int,
    stride: int,
) -> Float[Tensor, "batch class height width"]:
    """Predict window by window and average where windows overlap; `window` 0 takes the whole image."""
    height, width = images.shape[2:]
    if not window or (height <= window and width <= window):
        return segmenter.predict(images, class_embeddings)
    total = images.new_zeros(len(images), len(class_embeddings), height, width)
    count = images.new_zeros(1, 1, height, width)
    for top in window_starts(height, window, stride):
        for left in window_starts(width, window, stride):
            part = (..., slice(top, top + window), slice(left, left + window))
            total[part] += segmenter.predict(images[part], class_embeddings)
            count[part] += 1
    return total / count


def best_class(
    probabilities: Float[Tensor, "batch class height width"], size: tuple[int, int]
) -> tuple[
    Float[Tensor, "batch label_height label_width"], Int[Tensor, "batch label_height label_width"]
]:
    """Highest probability at each pixel and the class that has it, at the annotation's size."""
    if tuple(probabilities.shape[2:]) != size:
        probabilities = F.interpolate(probabilities, size, mode="bilinear")
    best, index = probabilities.max(dim=1)
    return best, index


def with_background(
    best: Float[Tensor, "*pixels"], index: Int[Tensor, "*pixels"], threshold: float | None
) -> Int[Tensor, "*pixels"]:
    """Label maps from best classes. With a threshold, classes count from 1 and pixels whose best
    probability is below it are 0, background (paper, section 4.1, "following GroupViT")."""
    return index if threshold is None else torch.where(best < threshold, 0, index + 1)


def label_map(
    probabilities: Float[Tensor, "batch class height width"],
    size: tuple[int, int],
    background_threshold: float | None,
) -> Int[Tensor, "batch label_height label_width"]:
    """Resize to the annotation's size, take the best class, apply the background threshold."""
    return with_background(*best_class(probabilities, size), background_threshold)
