"""What the teacher says of every patch, as a target: its dense features, averaged over shifted views.

A frozen CLIP's feature of a place changes with where the place lies in the patch grid and in the image.
PH-Reg (Chen et al., NeurIPS 2025, arXiv 2505.21501) averages features of shifted images, SPAR (Kombol et
al., CVPR 2026, arXiv 2604.02252) those of windows whose stride is no multiple of the patch, so that their
grids interleave; both distil the mean into one pass. Here the shifted views are a `ViewSet`, and features
are brought to the student's patches by shared area (ours).
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.views import ViewSet, Windows, cut_views
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP

AROUND = ViewSet(grids=(1, 2, 3))
"""The views that the fused reading adds: the whole image, its quarters, its ninths."""


def shifted() -> ViewSet:
    """25 windows, whose stride is three eighths of them: no multiple of a patch of most teachers."""
    return ViewSet(grids=(), windows=(Windows(size=0.4, stride=0.15),))


@dataclass(frozen=True, kw_only=True)
class DenseTarget:
    """How the teacher's features of every patch are read (ours); computed in each step, and only where a
    loss asks for them."""

    reading: Literal["maskclip", "fused"] = "maskclip"
    """`maskclip`: the value path of the teacher's last block. `fused`: its sum with the embeddings of
    the whole image and of the 2x2 and 3x3 cells around the patch, all of unit length."""
    views: ViewSet = field(default_factory=shifted)
    """The shifted views whose features are averaged; together they must cover the crop."""
    side: int = 0
    """Pixels a side that each of them is resized to, a multiple of the teacher's patch. 0: the teacher's
    own input."""

    def __post_init__(self) -> None:
        if self.side < 0:
            raise InputError(f"teacher.dense.side is {self.side}: it must be at least 0")


class DenseTeacher:
    """Computes a dense target.

    Raises InputError when the fused reading lacks the views that it adds, or the teacher has no dense
    features.
    """

    def __init__(self, clip: CLIP, target: DenseTarget, views: ViewSet) -> None:
        self.clip, self.target = clip, target
        self.around: list[int] = []
        if target.reading == "fused":
            if absent := views.lacks(AROUND):
                raise InputError(
                    f"teacher.dense.reading is fused, but teacher.views lack {absent}: add it to "
                    "teacher.views.grids"
                )
            self.around = views.rows_of(AROUND)
        self.side = target.side or clip.image_size
        if self.side % clip.patch_size:
            raise InputError(
                f"teacher.dense.side is {self.side}: it must be a multiple of the teacher's patch "
                f"of {clip.patch_size} pixels"
            )

    def __call__(
        self,
        images: Float[Tensor, "batch 3 height width"],
        grid: tuple[int, int],
        embeddings: Float[Tensor, "batch view embed"],
        overlap: Float[Tensor, "view patch"],
    ) -> Float[Tensor, "batch patch embed"]:
        """Unit-norm targets of the patches of `grid`, rows and columns of patches over the images.

        `embeddings` are the teacher's of its views, `overlap` the share of each patch inside each.
        """
        found = self.maskclip(images, grid)
        if self.around:
            rows = self.around
            found = F.normalize(found + overlap[rows].T @ embeddings[:, rows], dim=-1)
        return found

    def maskclip(
        self, images: Float[Tensor, "batch 3 height width"], grid: tuple[int, int]
    ) -> Float[Tensor, "batch patch embed"]:
        """Unit-norm mean, over shifted views, of the features that share area with each patch."""
        height, width = images.shape[2:]
        views = self.target.views
        total = images.new_zeros(len(images), *grid, self.clip.embed_dim)
        covered = torch.zeros(grid)
        boxes = views.boxes(height, width)
        for view, box in zip(cut_views(images, views, self.side).unbind(1), boxes, strict=True):
            features = self.clip.dense(view)
            rows, columns = features.shape[2:]
            down = shared_length((box.top, box.bottom), rows, height, grid[0])
            across = shared_length((box.left, box.right), columns, width, grid[1])
            covered += down.sum(dim=1)[:, None] * across.sum(dim=1)
            down, across = down.to(features.device), across.to(features.device)
            total += torch.einsum("pi,beij,qj->bpqe", down, features, across)
        if not covered.all():
            raise InputError(
                f"teacher.dense.views, {views}, leave parts of the crop out: add 1 to its grids"
            )
        return F.normalize(total.flatten(1, 2), dim=-1)


def shared_length(
    span: tuple[int, int], cells: int, side: int, patches: int
) -> Float[Tensor, "patch cell"]:
    """Pixels that each of `patches` along a side shares with each of the `cells` that a span is divided
    into; edges may lie within a pixel."""
    patch = torch.arange(patches + 1) * (side / patches)
    cell = span[0] + torch.arange(cells + 1) * ((span[1] - span[0]) / cells)
    low = patch[:-1, None].maximum(cell[:-1])
    return (patch[1:, None].minimum(cell[1:]) - low).clamp(min=0)
