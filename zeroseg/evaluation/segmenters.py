"""Who can be evaluated: the trained student, and teachers that were never trained to segment.

The untrained ones say how much the student has learnt; the strongest of them is the bar.
"""

import itertools
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.views import ViewSet, cut_views, grid_edges
from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.dense import Dense
from zeroseg.models.segmenter import Segmenter
from zeroseg.models.zeroseg import Readout, ZeroSeg, check_readout

Method = Literal[Dense, "whole", "cells2", "cells3", "cells4"]
"""How a CLIP segments without training: by dense features, by one label for the whole image, or by
one label for every cell of a grid."""
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Student:
    """A ZeroSeg student, read in one of its ways; see `ZeroSeg.predict`.

    Raises InputError when it has no patch embeddings and the readout needs them.
    """

    model: ZeroSeg
    readout: Readout

    def __post_init__(self) -> None:
        check_readout(self.model.config, self.readout)

    @property
    def multiple(self) -> int:
        """The student's patch size."""
        return self.model.trunk.patch_size

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines of patches, or of pixels for the readout `segments`, whose edges are hard."""
        return self.model.predict(images, queries.embeddings, self.readout)

    @torch.no_grad()
    def segments(
        self, images: Float[Tensor, "batch 3 height width"], size: tuple[int, int]
    ) -> Int[Tensor, "batch label_height label_width"]:
        """The segment that owns each pixel most, of maps of `size`."""
        output = self.model.segment(images)
        maps = output.assignment.unflatten(2, output.grid)
        return F.interpolate(maps, size, mode="bilinear").argmax(dim=1)


@dataclass(frozen=True)
class GridCells:
    """Every cell of a grid takes the classes of its view; grid 1 is one label for the whole image."""

    clip: CLIP
    grid: int

    @property
    def multiple(self) -> int:
        """Any size: views are resized."""
        return 1

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines of pixels, constant within each cell, whose edges are those of training's views;
        for grid 1 a single one a query."""
        views = cut_views(images, ViewSet(grids=(self.grid,)), self.clip.image_size)
        cosines = self.clip.encode_image(views.flatten(0, 1)) @ queries.embeddings.T
        cells = rearrange(cosines, "(b h w) c -> b c h w", b=len(images), h=self.grid)
        if self.grid == 1:
            return cells
        for axis, side in ((2, images.shape[2]), (3, images.shape[3])):
            edges = grid_edges(side, self.grid)
            widths = [b - a for a, b in itertools.pairwise(edges)]
            cells = cells.repeat_interleave(cells.new_tensor(widths).long(), dim=axis)
        return cells


@dataclass(frozen=True)
class DenseCLIP:
    """A CLIP's own patch features against the queries' embeddings.

    `grid` 0 takes images as they come, at the patch grid of their size. Otherwise the image is cut
    into that many crops a side and each is resized to the CLIP's own input (ours): for an input
    much smaller or larger than a protocol's images.
    """

    clip: CLIP
    method: Dense
    grid: int = 0

    @property
    def multiple(self) -> int:
        """The CLIP's patch size, or any size where crops are resized."""
        return 1 if self.grid else self.clip.patch_size

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines of patches; those of crops lie side by side."""
        if self.grid:
            views = cut_views(images, ViewSet(grids=(self.grid,)), self.clip.image_size)
            features = self.clip.dense(views.flatten(0, 1), self.method)
            features = rearrange(
                features, "(b i j) e h w -> b e (i h) (j w)", b=len(images), i=self.grid
            )
        else:
            features = self.clip.dense(images, self.method)
        return torch.einsum("behw,qe->bhwq", features, queries.embeddings).movedim(3, 1)


def clip_segmenter(clip: CLIP, method: Method) -> Segmenter:
    """The segmenter that a CLIP makes without training."""
    match method:
        case "whole":
            return GridCells(clip, 1)
        case "cells2" | "cells3" | "cells4":
            return GridCells(clip, int(method[-1]))
        case _:
            return DenseCLIP(clip, method)


def clip_spec(text: str) -> tuple[CLIPConfig, Method]:
    """The CLIP and the method that `clip:ARCH:WEIGHTS:METHOD` names.

    The method, one of `METHODS`, follows the last colon; what lies between is for
    `CLIPConfig.parse`. Raises InputError for any other form.
    """
    kind, _, rest = text.partition(":")
    clip, colon, method = rest.rpartition(":")
    if kind != "clip" or not colon:
        raise InputError(
            f"{text!r} names no CLIP to evaluate: write clip:ARCH:WEIGHTS:METHOD, without WEIGHTS "
            "for a folder, the hub or zeroseg-scenes"
        )
    if method not in METHODS:
        raise InputError(f"{text!r}: method {method!r} is none of {', '.join(METHODS)}")
    return CLIPConfig.parse(clip), method
