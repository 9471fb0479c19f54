"""Matching: which query answers for which true mask, so that the sum of costs is least.

DETR's bipartite matching (Carion et al., ECCV 2020, section 3.1) with MaskFormer's costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.training.mask_losses import dice_costs, focal_costs


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Weights of what a pair costs."""

    class_weight: float = 1.0
    """Of minus the probability of the class."""
    focal_weight: float = 20.0
    dice_weight: float = 1.0


class Targets(NamedTuple):
    """True masks of one image, one a class in it."""

    classes: Int[Tensor, " target"]
    masks: Float[Tensor, "target height width"]
    """0 or 1."""


class Pairs(NamedTuple):
    """Queries of one image, each with the index of its target."""

    queries: Int[Tensor, " pair"]
    targets: Int[Tensor, " pair"]


def targets_of(rows: Int[Tensor, "height width"]) -> Targets:
    """One mask for every class of a map of class rows; pixels of IGNORE are in none of them."""
    classes = rows.unique()
    classes = classes[classes != IGNORE]
    return Targets(classes, (rows == classes[:, None, None]).float())


def pair_costs(
    masks: Float[Tensor, "query rows columns"],
    logits: Float[Tensor, "query class_and_none"],
    targets: Targets,
    counted: Float[Tensor, "height width"],
    costs: Costs,
) -> Float[Tensor, "query target"]:
    """What it costs that a query answers for a target, at the resolution of the masks.

    Targets and which pixels are counted are brought to it by nearest neighbours, as in MaskFormer.
    """
    known = torch.cat([targets.masks, counted[None]])
    small = F.interpolate(known[None], masks.shape[1:], mode="nearest")[0].flatten(1)
    inside, pixels = small[:-1], small[-1]
    predicted = masks.flatten(1)
    return (
        -costs.class_weight * logits.softmax(dim=1)[:, targets.classes]
        + costs.focal_weight * focal_costs(predicted, inside, pixels)
        + costs.dice_weight * dice_costs(predicted, inside, pixels)
    )


def assign(costs: Sequence[Float[Tensor, "query _"]]) -> list[Pairs]:
    """The cheapest pairs for each matrix of costs: every target once, or every query where those are
    fewer. Costs that are not finite count as 0: the losses are not either, and the step is skipped.
    """
    if not costs:
        return []
    device = costs[0].device
    flat = torch.cat([c.detach().float().flatten() for c in costs]).cpu()  # one transfer for all
    flat = flat.where(flat.isfinite(), 0.0)
    parts = flat.split([c.numel() for c in costs])
    found = []
    for matrix, part in zip(costs, parts, strict=True):
        queries, targets = linear_sum_assignment(part.view(matrix.shape).numpy())
        found.append(
            Pairs(torch.from_numpy(queries).to(device), torch.from_numpy(targets).to(device))
        )
    return found
