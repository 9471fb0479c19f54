"""Who can be evaluated: the trained student, and teachers that were never trained to segment.

The untrained ones say how much the student has learnt; the strongest of them is the bar.
"""

import itertools
from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.views import cell_views, grid_edges
from zeroseg.models.clip import CLIP
from zeroseg.models.zeroseg import Readout, ZeroSeg

LOGIT_SCALE = 100.0
"""CLIP's own ceiling; multiplies cosines before the softmax."""


@dataclass(frozen=True)
class Student:
    """A ZeroSeg student, read in one of its ways."""

    model: ZeroSeg
    readout: Readout
    logit_scale: float = LOGIT_SCALE

    def predict(
        self,
        images: Float[Tensor, "batch 3 height width"],
        class_embeddings: Float[Tensor, "class embed"],
    ) -> Float[Tensor, "batch class height width"]:
        """See `ZeroSeg.predict`."""
        return self.model.predict(images, class_embeddings, self.readout, self.logit_scale)


@dataclass(frozen=True)
class GridCells:
    """Every cell of a grid takes the classes of its view; grid 1 is one label for the whole image."""

    clip: CLIP
    grid: int
    logit_scale: float = LOGIT_SCALE

    def predict(
        self,
        images: Float[Tensor, "batch 3 height width"],
        class_embeddings: Float[Tensor, "class embed"],
    ) -> Float[Tensor, "batch class height width"]:
        """Constant within each cell, whose edges are those of training's views."""
        views = cell_views(images, (self.grid,), self.clip.image_size)
        embeddings = self.clip.encode_image(views.flatten(0, 1))
        probabilities = (self.logit_scale * embeddings @ class_embeddings.T).softmax(dim=-1)
        cells = rearrange(probabilities, "(b h w) c -> b c h w", b=len(images), h=self.grid)
        for axis, side in ((2, images.shape[2]), (3, images.shape[3])):
            edges = grid_edges(side, self.grid)
            widths = [b - a for a, b in itertools.pairwise(edges)]
            cells = cells.repeat_interleave(cells.new_tensor(widths).long(), dim=axis)
        return cells


@dataclass(frozen=True)
class DenseCLIP:
    """The teacher's own patch features against the class embeddings, MaskCLIP style.

    `grid` cuts the image into that many crops a side, each at the teacher's full input size.
    """

    clip: CLIP
    grid: int = 1
    logit_scale: float = LOGIT_SCALE

    def predict(
        self,
        images: Float[Tensor, "batch 3 height width"],
        class_embeddings: Float[Tensor, "class embed"],
    ) -> Float[Tensor, "batch class height width"]:
        """Patch scores of all crops side by side, bilinear to the image."""
        views = cell_views(images, (self.grid,), self.clip.image_size)
        features = self.clip.dense(views.flatten(0, 1))
        whole = rearrange(features, "(b i j) e h w -> b e (i h) (j w)", b=len(images), i=self.grid)
        scores = self.logit_scale * (class_embeddings @ whole.flatten(2)).unflatten(
            2, whole.shape[2:]
        )
        return F.interpolate(scores, images.shape[2:], mode="bilinear").softmax(dim=1)
