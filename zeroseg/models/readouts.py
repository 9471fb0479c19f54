"""Readouts: how what a student says of an image becomes an answer for each of its places."""

from typing import Literal, NamedTuple

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

Readout = Literal["segments", "patches", "combined"]


class StudentOutput(NamedTuple):
    """What the student says about a batch of images; `visible` patches only."""

    segments: Float[Tensor, "batch segment embed"]
    assignment: Float[Tensor, "batch segment visible"]
    """Sums to one over segments for every patch."""
    global_feature: Float[Tensor, "batch embed"]
    """The global feature z."""
    patches: Float[Tensor, "batch visible embed"] | None
    visible: Int[Tensor, "batch visible"]
    """Which patches entered."""
    reconstruction: Float[Tensor, "batch patch pixel"] | None
    grid: tuple[int, int]
    """Rows and columns of all patches, hidden ones too."""


def cosines(
    output: StudentOutput,
    class_embeddings: Float[Tensor, "class embed"],
    readout: Readout,
    *,
    size: tuple[int, int],
    patch_share: float,
) -> Float[Tensor, "batch class rows columns"]:
    """Cosines with classes: at every pixel of an image of `size` for `segments`, else at every patch.

    `segments`: every pixel belongs to the segment that owns it most and takes that segment's
    cosines. `patches`: every patch speaks for itself. `combined`: those of patches at `patch_share`, the rest
    what their segments say. All patches are visible.
    """
    segments = _cosine(output.segments, class_embeddings)
    if readout == "segments":
        owner = owners(output, size).flatten(1)
        rows_of_owner = owner[..., None].expand(-1, -1, segments.shape[-1])
        return rearrange(segments.gather(1, rows_of_owner), "b (h w) c -> b c h w", h=size[0])
    assert output.patches is not None
    found = _cosine(output.patches, class_embeddings)
    if readout == "combined":
        found = patch_share * found + (1 - patch_share) * (output.assignment.mT @ segments)
    return rearrange(found, "b (h w) c -> b c h w", h=output.grid[0])


def reassigned(
    assignment: Float[Tensor, "batch segment patch"],
    segments: Float[Tensor, "batch segment embed"],
    patches: Float[Tensor, "batch patch embed"],
    sharpness: float,
) -> tuple[Float[Tensor, "batch segment patch"], Float[Tensor, "batch segment embed"]]:
    """Patches assigned anew by what they are, and the segments that they make (ours).

    Of unit patches p and unit segments g: w = softmax over m of (log a_mi + sharpness g_m . p_i), and the
    unit mean of p over w. `sharpness` 0 leaves the assignment as it is.
    """
    logits = assignment.clamp(min=1e-6).log() + sharpness * (segments @ patches.mT)
    assignment = logits.softmax(dim=1)
    return assignment, F.normalize(assignment @ patches, dim=-1)


def owners(output: StudentOutput, size: tuple[int, int]) -> Int[Tensor, "batch height width"]:
    """The segment that owns each pixel most, of maps of `size`; bilinear between patches."""
    maps = output.assignment.unflatten(2, output.grid)
    return F.interpolate(maps, size, mode="bilinear").argmax(dim=1)


def _cosine(
    embeddings: Float[Tensor, "batch row embed"], classes: Float[Tensor, "class embed"]
) -> Float[Tensor, "batch row class"]:
    return F.normalize(embeddings, dim=-1) @ F.normalize(classes, dim=-1).mT
