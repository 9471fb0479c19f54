"""Cross entropy of pixels, and the objective of a segmenter that is supervised by it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.training.objective import Step


def pixel_cross_entropy(
    logits: Float[Tensor, "batch class rows columns"],
    targets: Int[Tensor, "batch height width"],
) -> Float[Tensor, ""]:
    """Mean over the labelled pixels of an image, then over images; IGNORE is no label.

    Logits are brought to the pixels first, linearly. An image without a label counts as 0.
    """
    logits = F.interpolate(logits.float(), targets.shape[1:], mode="bilinear")
    each = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")
    labelled = (targets != IGNORE).sum(dim=(1, 2))
    return (each.sum(dim=(1, 2)) / labelled.clamp(min=1)).mean()


def cell_labels(
    labels: Int[Tensor, "batch height width"], size: tuple[int, int]
) -> Int[Tensor, "batch rows columns"]:
    """The label at the centre of every cell of a grid over the image."""
    # Integers of 64 bits are not resized, their places are.
    rows, columns = (
        F.interpolate(
            torch.arange(side, device=labels.device).float()[None, None],
            cells,
            mode="nearest-exact",
        )
        for side, cells in zip(labels.shape[1:], size, strict=True)
    )
    return labels[:, rows[0, 0].long()[:, None], columns[0, 0].long()]


@dataclass(frozen=True)
class PixelSupervision:
    """A model that gives logits of all classes learns those that it may know, from label maps."""

    classes: tuple[int, ...]
    """Which of the model's classes training may know; the others are in no softmax."""
    rows: Int[Tensor, " label"]
    """Of each label its place among them, or IGNORE."""

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Cross entropy, and the share of labelled pixels that are right."""
        assert batch.labels is not None
        logits: Tensor = model(batch.pixels)[:, list(self.classes)]
        targets = self.rows[batch.labels]
        loss = pixel_cross_entropy(logits, targets)
        return Step({"cross_entropy": loss}, {"pixels/right": share_right(logits, targets)})


@torch.no_grad()
def share_right(
    logits: Float[Tensor, "batch class rows columns"],
    targets: Int[Tensor, "batch height width"],
) -> Float[Tensor, ""]:
    """Share of the labelled cells of an image whose best class is theirs, mean over images."""
    cells = cell_labels(targets, (logits.shape[2], logits.shape[3]))
    labelled = cells != IGNORE
    right = (logits.argmax(dim=1) == cells) & labelled
    return (right.sum(dim=(1, 2)) / labelled.sum(dim=(1, 2)).clamp(min=1)).mean()
