"""Losses, and figures that are only watched: pure functions of tensors."""

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.views import ViewSet
from zeroseg.training.objective import Figures

Distance = Literal["l1", "cosine"]


def distance(
    a: Float[Tensor, "*#shape embed"],
    b: Float[Tensor, "*#shape embed"],
    kind: Distance,
    normalise: bool = True,
) -> Float[Tensor, "*shape"]:
    """Distance along the last axis: the sum of absolute differences, or one minus the cosine.

    `normalise` brings both to unit length before L1 (ours; the paper does not say).
    """
    if kind == "cosine":
        return 1 - F.cosine_similarity(a, b, dim=-1)
    if normalise:
        a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
    return (a - b).abs().sum(dim=-1)


def patchify(
    images: Float[Tensor, "batch 3 height width"], patch_size: int
) -> Float[Tensor, "batch patch pixel"]:
    """Pixels of each patch, every patch brought to zero mean and unit variance (MAE's target)."""
    patches = rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=patch_size, q=patch_size)
    mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def reconstruction_loss(
    predicted: Float[Tensor, "batch patch pixel"],
    target: Float[Tensor, "batch patch pixel"],
    visible: Int[Tensor, "batch visible"],
) -> Float[Tensor, ""]:
    """Mean squared error over the hidden patches (paper, section 3.1; MAE). Zero if none is hidden."""
    error = (predicted - target).square().mean(dim=-1)
    hidden = torch.ones_like(error).scatter(1, visible, 0.0)
    return (error * hidden).sum() / hidden.sum().clamp(min=1)


def multi_scale_loss(
    global_feature: Float[Tensor, "batch embed"],
    views: Float[Tensor, "batch view embed"],
    kind: Distance = "l1",
    normalise: bool = True,
) -> Float[Tensor, ""]:
    """Mean distance of the global feature z to every view (paper, section 3.2)."""
    return distance(global_feature[:, None], views, kind, normalise).mean()


def matching_loss(
    segments: Float[Tensor, "batch segment embed"],
    local_views: Float[Tensor, "batch view embed"],
    kind: Distance = "l1",
    normalise: bool = True,
) -> Float[Tensor, ""]:
    """Sum over segments of the distance to the nearest local view (paper, Equation 1).

    The view of the full image must not be among `local_views`. Mean over the batch.
    """
    distances = distance(segments[:, :, None], local_views[:, None], kind, normalise)
    return distances.min(dim=2).values.sum(dim=1).mean()


def visible_shares(
    overlap: Float[Tensor, "view patch"], visible: Int[Tensor, "batch visible"]
) -> Float[Tensor, "batch view visible"]:
    """What each visible patch contributes to each view's cell; a row sums to one, or is all zero
    where no visible patch touches the cell."""
    shares = overlap.T[visible].mT
    return shares / shares.sum(dim=-1, keepdim=True).clamp(min=1e-6)


def composed_patches(
    assignment: Float[Tensor, "batch segment visible"],
    segments: Float[Tensor, "batch segment embed"],
) -> Float[Tensor, "batch visible embed"]:
    """Embedding of each patch as its segments tell it: the mixture of those that own it."""
    return assignment.mT @ F.normalize(segments, dim=-1)


def pooled_loss(
    patches: Float[Tensor, "batch visible embed"],
    shares: Float[Tensor, "batch view visible"],
    views: Float[Tensor, "batch view embed"],
    kind: Distance = "l1",
) -> Float[Tensor, ""]:
    """Mean distance between what the patches of a cell say together and the view of that cell.

    Cells without a visible patch do not count. The mean is over the cells of each image, then over
    the batch, so that a batch is worth the mean of its parts.
    """
    distances = distance(shares @ patches, views, kind)
    seen = (shares.sum(dim=-1) > 0).to(distances.dtype)
    return ((distances * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)).mean()


def dense_loss(
    patches: Float[Tensor, "batch visible embed"],
    targets: Float[Tensor, "batch patch embed"],
    visible: Int[Tensor, "batch visible"],
) -> Float[Tensor, ""]:
    """Mean, over visible patches, of one minus the cosine to what the teacher says of each."""
    told = targets.take_along_dim(visible[..., None], dim=1)
    return distance(patches, told, "cosine").mean()


def relations_loss(
    patches: Float[Tensor, "batch visible embed"],
    shares: Float[Tensor, "batch view visible"],
    views: Float[Tensor, "batch view embed"],
) -> Float[Tensor, ""]:
    """Mean squared difference, over pairs of views, of how alike (by cosine) the teacher finds them and
    the patches inside them are together (ours).

    Views without a visible patch do not count. The mean is over the pairs of each image, then over
    the batch.
    """
    pooled, views = F.normalize(shares @ patches, dim=-1), F.normalize(views, dim=-1)
    error = (pooled @ pooled.mT - views @ views.mT).square()
    seen = (shares.sum(dim=-1) > 0).to(error.dtype)
    pairs = seen[:, :, None] * seen[:, None]
    return ((error * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)).mean()


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
    views: ViewSet,
) -> Figures:
    """Share of segments whose nearest local view (by cosine) is a cell of each grid, `nearest/2x2`
    and so on, or one of each set of windows, `nearest/windows 0.25:0.125`; they sum to one. Empty
    where the full image is the only view."""
    parts = views.parts[1 if views.begins_with_image else 0 :]
    if not parts:
        return {}
    local = F.normalize(local_views, dim=-1)
    nearest = (F.normalize(segments, dim=-1) @ local.mT).argmax(dim=-1)
    figures, first = {}, 0
    for name, count in parts:
        last = first + count
        chosen = (first <= nearest) & (nearest < last)
        figures[f"nearest/{name}"] = chosen.float().mean()
        first = last
    return figures
