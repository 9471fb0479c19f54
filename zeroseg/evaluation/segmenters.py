"""Who can be evaluated: the trained student, and teachers that were never trained to segment.

The untrained ones say how much the student has learnt; the strongest of them is the bar.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.views import ViewSet, Windows, cut_views, view_overlap
from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.dense import Dense
from zeroseg.models.readouts import Readout, owners
from zeroseg.models.segmenter import Segmenter
from zeroseg.models.zeroseg import ZeroSeg, check_readout

Method = Literal[Dense, "whole", "cells2", "cells3", "cells4", "views", "fused", "mean", "solve"]
"""How a CLIP segments without training: by dense features, by one label for the whole image or for every
cell of a grid, by the mean of overlapping views at each pixel, or by dense features that views correct."""
METHODS: tuple[Method, ...] = get_args(Method)

OVERLAPPING = ViewSet(grids=(), windows=(Windows(size=0.25, stride=0.125),))
"""49 windows, a quarter of each side every eighth."""
FUSED = Correction(kind="fused", views=ViewSet(grids=(1, 2, 3)))
"""The sum of four unit vectors: of the patch, the whole image, and the 2x2 and 3x3 cells around it."""


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
        return owners(self.model.read(images), size)

    @torch.no_grad()
    def segment_embeddings(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch segment embed"]:
        """Unit vector of each segment token."""
        return F.normalize(self.model.read(images).segments, dim=-1)


@dataclass(frozen=True)
class ViewAverage:
    """Every pixel takes the classes of the views it lies in, in their mean: cells of a grid, one label
    for the whole image, or windows that overlap (ours)."""

    clip: CLIP
    views: ViewSet = OVERLAPPING
    cells: int = 0
    """Places a side that are answered, each by its mean over pixels, with all between them linear, which
    scores higher for windows that overlap; 0 answers pixels, with the hard edges of the views."""

    @property
    def multiple(self) -> int:
        """Any size: views are resized."""
        return 1

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines of pixels or of `cells`; for the full image alone a single one a query. Views have to
        cover the image: where none lies the cosines are nan."""
        embeddings = self.clip.encode_views(cut_views(images, self.views, self.clip.image_size))
        cosines = (embeddings @ queries.embeddings.T).mT
        if self.views.count == 1:
            return cosines[..., None]
        total = cosines.new_zeros(*cosines.shape[:2], *images.shape[2:])
        count = total[:1, :1].clone()
        boxes = self.views.boxes(images.shape[2], images.shape[3])
        for box, cosine in zip(boxes, cosines.unbind(dim=2), strict=True):
            place = (..., slice(box.top, box.bottom), slice(box.left, box.right))
            total[place] += cosine[..., None, None]
            count[place] += 1
        total /= count
        return F.adaptive_avg_pool2d(total, self.cells) if self.cells else total


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
            crops = cut_views(images, ViewSet(grids=(self.grid,)), self.clip.image_size)
            features = self.clip.dense(crops.flatten(0, 1), self.method)
            features = rearrange(
                features, "(b i j) e h w -> b e (i h) (j w)", b=len(images), i=self.grid
            )
        else:
            features = self.clip.dense(images, self.method)
        return torch.einsum("behw,qe->bhwq", features, queries.embeddings).movedim(3, 1)


@dataclass(frozen=True)
class CorrectedCLIP:
    """A CLIP's own patch features, corrected by its own views as a student's patches are (ours).

    Dense features know where things are, views what they are. Nothing is trained: how much of a corrected
    student's score is the student's is what it has more than this.
    """

    clip: CLIP
    correction: Correction = FUSED
    method: Dense = "maskclip"

    @property
    def multiple(self) -> int:
        """The CLIP's patch size."""
        return self.clip.patch_size

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines of patches."""
        size, views = (images.shape[2], images.shape[3]), self.correction.views
        dense = self.clip.dense(images, self.method)
        overlap = view_overlap(views, size, self.multiple).to(images.device)
        seen = self.clip.encode_views(cut_views(images, views, self.clip.image_size))
        patches = self.correction.patches(dense.flatten(2).mT, overlap, seen)
        return (patches @ queries.embeddings.T).mT.unflatten(2, dense.shape[2:])


def clip_segmenter(clip: CLIP, method: Method) -> Segmenter:
    """The segmenter that a CLIP makes without training."""
    match method:
        case "whole":
            return ViewAverage(clip, ViewSet(grids=(1,)))
        case "cells2" | "cells3" | "cells4":
            return ViewAverage(clip, ViewSet(grids=(int(method[-1]),)))
        case "views":
            return ViewAverage(clip, cells=8)
        case "fused":
            return CorrectedCLIP(clip)
        case "mean" | "solve":
            return CorrectedCLIP(clip, Correction(kind=method))
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
