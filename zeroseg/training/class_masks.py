"""Masks of every seen class at once: a sigmoid a class, none at another's expense.

ZegCLIP's non-mutually-exclusive loss (Zhou et al., CVPR 2023): as no softmax ties classes to each
other, what a query says does not depend on which classes were trained.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError
from zeroseg.training.objective import Step

Unlabelled = Literal["ignored", "negative"]
"""What a pixel without a label of a trained class says: nothing, or that none of them is there."""

Masks = Float[Tensor, "batch class pixel"]
Counted = Bool[Tensor, "batch #class pixel"]


@dataclass(frozen=True, kw_only=True)
class ClassMaskLoss:
    """Weights of the losses, and their settings."""

    focal: float = 100.0
    """Weight of the focal loss; that and the next three as in ZegCLIP's code."""
    dice: float = 1.0
    """Weight of the dice loss."""
    alpha: float = 0.25
    """Weight of what is there in the focal loss; what is not there has the rest."""
    gamma: float = 2.0
    """How much the focal loss plays down what is already right."""
    stride: int = 1
    """Ours: of each side only every so many-th pixel is looked at; with many classes most of a step's time
    and memory is the loss at pixels."""
    deep_supervision: bool = False
    """Whether masks of every layer learn, in place of the last alone, as its code trains."""
    unlabelled: Unlabelled = "ignored"
    """Ours is `ignored`: such a pixel is never looked at. ZegCLIP's code takes it as `negative`: where it
    is of an unseen class, that tells the model that they are none of the seen ones."""

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise InputError(f"method.loss.stride is {self.stride}: it must be at least 1")


def focal_loss(
    logits: Masks, truth: Masks, counted: Counted, alpha: float, gamma: float
) -> Float[Tensor, "batch class"]:
    """Sigmoid focal loss (Lin et al., ICCV 2017, equation 5) of each class, the mean over counted pixels."""
    found = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    wrong = truth * (1 - found) + (1 - truth) * found
    weight = truth * alpha + (1 - truth) * (1 - alpha)
    each = weight * wrong**gamma * entropy * counted
    return each.sum(dim=2) / counted.sum(dim=2).clamp(min=1)


def dice_loss(logits: Masks, truth: Masks, counted: Counted) -> Float[Tensor, "batch class"]:
    """Dice loss (Milletari et al., 3DV 2016) of each class over counted pixels, both sides plus 1."""
    found, truth = logits.sigmoid() * counted, truth * counted
    shared = 2 * (found * truth).sum(dim=2)
    return 1 - (shared + 1) / (found.sum(dim=2) + truth.sum(dim=2) + 1)


def class_masks(labels: Int[Tensor, "batch pixel"], classes: int) -> Masks:
    """A mask of each class, 1 where it is labelled; those of absent classes are empty."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)[:, None]).float()


@dataclass(frozen=True)
class ClassMaskObjective:
    """Focal loss of every class, dice loss of those in the image; a mean over images.

    Of an image the focal losses of all classes are summed and divided by how many it has, the dice losses
    of those that it has are averaged. ZegCLIP's code divides both by the number of a whole batch: each image
    by its own is ours, so that a batch in parts trains as the whole does.
    """

    classes: Float[Tensor, "class embed"]
    """Unit text embeddings of the trained classes."""
    rows: Int[Tensor, " label"]
    """Of each label its row in `classes`, or IGNORE."""
    loss: ClassMaskLoss

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Losses of one batch, masks brought to the labels' size."""
        assert batch.labels is not None
        every = slice((self.loss.stride - 1) // 2, None, self.loss.stride)
        labels = self.rows[batch.labels[:, every, every]]
        layers = model(batch.pixels, self.classes)
        layers = layers if self.loss.deep_supervision else layers[-1:]
        truth = class_masks(labels.flatten(1), len(self.classes))
        counted = torch.ones_like(labels, dtype=torch.bool)
        if self.loss.unlabelled == "ignored":
            counted = labels != IGNORE
        counted = counted.flatten(1)[:, None]
        present = truth.amax(dim=2)
        share = present.sum(dim=1).clamp(min=1)
        focal, dice, right = [], [], torch.zeros(())
        for masks in layers:
            pixels = F.interpolate(masks.float(), labels.shape[1:], mode="bilinear")
            logits = pixels.flatten(2)
            all_classes = focal_loss(logits, truth, counted, self.loss.alpha, self.loss.gamma)
            focal.append((all_classes.sum(dim=1) / share).mean())
            there = dice_loss(logits, truth, counted) * present
            dice.append((there.sum(dim=1) / share).mean())
            right = _right(pixels.detach(), labels)
        losses = {
            "focal": self.loss.focal * torch.stack(focal).sum(),
            "dice": self.loss.dice * torch.stack(dice).sum(),
        }
        return Step(losses, {"masks/right": right})


def _right(
    masks: Float[Tensor, "batch class height width"], labels: Int[Tensor, "batch height width"]
) -> Float[Tensor, ""]:
    """Share of the labelled pixels whose highest mask is that of their class, a mean over images."""
    known = (labels != IGNORE).flatten(1)
    hits = (masks.argmax(dim=1) == labels).flatten(1).sum(dim=1)
    return (hits / known.sum(dim=1).clamp(min=1)).mean()
