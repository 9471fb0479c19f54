"""Losses between predicted and true masks: pure functions, a value a mask."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al., ICCV 2017)."""

Weights = Float[Tensor, "mask pixel"] | Bool[Tensor, "mask pixel"]


def focal_loss(
    logits: Float[Tensor, "mask pixel"], targets: Float[Tensor, "mask pixel"], counted: Weights
) -> Float[Tensor, " mask"]:
    """Mean sigmoid focal loss over the counted pixels (Lin et al., ICCV 2017, Equation 5).

    -alpha_t (1 - p_t)^gamma log p_t, where p_t is the probability of the truth and alpha_t is 0.25
    inside and 0.75 outside.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    chance = logits.sigmoid()
    wrong = chance + targets - 2 * chance * targets
    alpha = (1 - ALPHA) + (2 * ALPHA - 1) * targets
    return _mean(alpha * wrong**GAMMA * entropy, counted)


def dice_loss(
    logits: Float[Tensor, "mask pixel"], targets: Float[Tensor, "mask pixel"], counted: Weights
) -> Float[Tensor, " mask"]:
    """One minus the Dice coefficient over the counted pixels, one added to both of its parts
    (V-Net, Milletari et al., 3DV 2016, with MaskFormer's denominator of plain sums)."""
    chance, inside = logits.sigmoid() * counted, targets * counted
    both = 2 * (chance * inside).sum(dim=1)
    return 1 - (both + 1) / (chance.sum(dim=1) + inside.sum(dim=1) + 1)


def mask_iou(
    logits: Float[Tensor, "mask pixel"], targets: Float[Tensor, "mask pixel"], counted: Weights
) -> Float[Tensor, " mask"]:
    """Intersection over union of masks cut at probability one half; 1 where both are empty."""
    found, inside = (logits > 0) & (counted > 0), (targets > 0.5) & (counted > 0)
    union = (found | inside).sum(dim=1)
    return torch.where(union > 0, (found & inside).sum(dim=1) / union.clamp(min=1), 1.0)


def focal_costs(
    logits: Float[Tensor, "query pixel"],
    targets: Float[Tensor, "target pixel"],
    counted: Float[Tensor, " pixel"],
) -> Float[Tensor, "query target"]:
    """`focal_loss` of every query and every target."""
    chance = logits.sigmoid()
    inside = ALPHA * (1 - chance) ** GAMMA * F.softplus(-logits)
    outside = (1 - ALPHA) * chance**GAMMA * F.softplus(logits)
    hit = (targets * counted).T
    costs = inside @ hit + (outside @ counted)[:, None] - outside @ hit
    return costs / counted.sum().clamp(min=1)


def dice_costs(
    logits: Float[Tensor, "query pixel"],
    targets: Float[Tensor, "target pixel"],
    counted: Float[Tensor, " pixel"],
) -> Float[Tensor, "query target"]:
    """`dice_loss` of every query and every target."""
    chance, inside = logits.sigmoid() * counted, targets * counted
    sums = chance.sum(dim=1)[:, None] + inside.sum(dim=1)
    return 1 - (2 * chance @ inside.T + 1) / (sums + 1)


def _mean(values: Float[Tensor, "mask pixel"], counted: Weights) -> Float[Tensor, " mask"]:
    return (values * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
