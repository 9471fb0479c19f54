"""Figures that are watched while a student trains: how it divides an image, and at which scale."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.training.objective import Figures


def grouping_figures(
    assignment: Float[Tensor, "batch segment visible"], used_share: float = 0.01
) -> Figures:
    """How the segments divide an image, mean over the batch; a collapse shows here first.

    `segments_used` counts segments that own (by argmax) more than `used_share` of the patches,
    `largest_share` is the share of the biggest, `entropy` of the assignment in nats is per patch.
    """
    # Not `one_hot`, which looks at the values and so waits for the device.
    segments = torch.arange(assignment.shape[1], device=assignment.device)
    share = (assignment.argmax(dim=1)[..., None] == segments).float().mean(dim=1)
    entropy = -(assignment.clamp(min=1e-9).log() * assignment).sum(dim=1)
    return {
        "grouping/segments_used": (share > used_share).sum(dim=1).float().mean(),
        "grouping/largest_share": share.max(dim=1).values.mean(),
        "grouping/entropy": entropy.mean(),
    }


def nearest_view_figures(
    segments: Float[Tensor, "batch segment embed"],
    local_views: Float[Tensor, "batch view embed"],
    grids: Sequence[int],
) -> Figures:
    """Share of segments whose nearest local view (by cosine) is a cell of each grid, `nearest/2x2`
    and so on; they sum to one. Empty where the full image is the only view."""
    grids = [grid for grid in grids if grid > 1]
    if not grids:
        return {}
    local = F.normalize(local_views, dim=-1)
    nearest = (F.normalize(segments, dim=-1) @ local.mT).argmax(dim=-1)
    figures, first = {}, 0
    for grid in grids:
        last = first + grid**2
        chosen = (first <= nearest) & (nearest < last)
        figures[f"nearest/{grid}x{grid}"] = chosen.float().mean()
        first = last
    return figures
