"""Views: boxes over an image that the teacher is shown, and what patches lie in them.

ZeroSeg's teacher sees the cells of 1x1, 2x2, 3x3 and 4x4 grids (paper, section 3.2): 30 views. Windows
that overlap, of any size and stride, are ours. A set of views is a value: a config says it, a cache of
embeddings records it. Edges are rounded to whole pixels, so that a view is an ordinary crop (ours; the
paper does not say).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.errors import InputError


class Box(NamedTuple):
    """Edges of a view in whole pixels; bottom and right lie outside it."""

    top: int
    left: int
    bottom: int
    right: int


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Windows that overlap (ours), as shares of each side: size 0.25 and stride 0.125 of 112 pixels are 28
    pixels every 14.

    The last window of a row or column is shifted back to touch the far edge. A stride that is no
    multiple of the patch tells patches apart that a multiple would not.
    """

    size: float
    stride: float

    def __post_init__(self) -> None:
        if not (0 < self.size <= 1 and self.stride > 0):
            raise InputError(
                f"views.windows has {self}: size must lie in (0, 1] and stride be above 0"
            )

    @classmethod
    def parse(cls, text: str) -> "Windows":
        """The windows that `SIZE:STRIDE` names. Raises InputError for any other form."""
        size, _, stride = text.partition(":")
        try:
            return cls(size=float(size), stride=float(stride))
        except ValueError as error:
            raise InputError(f"{text!r} names no windows: write SIZE:STRIDE, 0.25:0.125") from error

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return f"{self.size}:{self.stride}"

    @property
    def per_side(self) -> int:
        """Windows in a row or column; the same for every size of image."""
        return math.ceil((1 - self.size) / self.stride - 1e-6) + 1

    def spans(self, side: int) -> list[tuple[int, int]]:
        """First pixel and the pixel after the last of each window along a side.

        Raises InputError where the side is too short to tell the windows apart.
        """
        size = round(self.size * side)
        starts = [min(round(i * self.stride * side), side - size) for i in range(self.per_side - 1)]
        starts.append(side - size)
        _check_rising([0, size], f"views.windows has {self}", side)
        _check_rising(starts, f"views.windows has {self}", side)
        return [(start, start + size) for start in starts]


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """Which views of an image: those of grids first, by grid as given, then those of windows; row by row."""

    grids: tuple[int, ...] = (1, 2, 3, 4)
    """Cells a side of each grid (paper, section 4.1); 1, the full image, comes first."""
    windows: tuple[Windows, ...] = ()
    """Ours: overlapping windows, as SIZE:STRIDE in shares of each side."""

    def __post_init__(self) -> None:
        grids, windows = self.grids, self.windows
        if min(grids, default=1) < 1 or len(set(grids)) < len(grids) or 1 in grids[1:]:
            raise InputError(
                f"views.grids is {grids}: name each grid once, and 1, the full image, first or not at all"
            )
        if len(set(windows)) < len(windows):
            raise InputError(f"views.windows is {' '.join(map(str, windows))}: name each once")
        if not grids and not windows:
            raise InputError("views.grids and views.windows are empty: name at least one view")

    def __str__(self) -> str:
        """The names of its parts."""
        return ", ".join(name for name, _ in self.parts)

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Name and number of views of each grid, `2x2`, and of each set of windows, `windows 0.25:0.125`."""
        grids = [(f"{grid}x{grid}", grid**2) for grid in self.grids]
        return grids + [(f"windows {w}", w.per_side**2) for w in self.windows]

    @property
    def count(self) -> int:
        """Views of one image."""
        return sum(count for _, count in self.parts)

    @property
    def begins_with_image(self) -> bool:
        """Whether the first view is the full image."""
        return self.grids[:1] == (1,)

    def spans(self, side: int) -> list[list[tuple[int, int]]]:
        """Of each part, the first pixel and the pixel after the last of each column of views, or row.

        Raises InputError naming what the side is too short for.
        """
        edges = [grid_edges(side, grid) for grid in self.grids]
        spans = [list(itertools.pairwise(of)) for of in edges]
        return spans + [windows.spans(side) for windows in self.windows]

    def boxes(self, height: int, width: int) -> list[Box]:
        """Every view's box. Raises InputError for an image too small for them."""
        parts = zip(self.spans(height), self.spans(width), strict=True)
        return [
            Box(top, left, bottom, right)
            for rows, columns in parts
            for top, bottom in rows
            for left, right in columns
        ]

    def lacks(self, some: "ViewSet") -> str:
        """Name of the first part of another set that is not among this one's; empty if all are."""
        return next((part[0] for part in some.parts if part not in self.parts), "")

    def rows_of(self, some: "ViewSet") -> list[int]:
        """Where the views of another set, whose parts are among this one's, are in this one's order."""
        ends = list(itertools.accumulate((count for _, count in self.parts), initial=0))
        rows = {
            name: range(first, last)
            for (name, _), (first, last) in zip(self.parts, itertools.pairwise(ends), strict=True)
        }
        return [row for name, _ in some.parts for row in rows[name]]


def grid_edges(side: int, grid: int) -> list[int]:
    """Pixel edges of `grid` cells over a side of pixels: `grid + 1` rising integers.

    Raises InputError where there are more cells than pixels.
    """
    edges = [round(i * side / grid) for i in range(grid + 1)]
    _check_rising(edges, f"views.grids has {grid}", side)
    return edges


def _check_rising(places: Sequence[int], what: str, side: int) -> None:
    if any(a >= b for a, b in itertools.pairwise(places)):
        raise InputError(
            f"{what}, which {side} pixels are too few for: fewer views, or a larger image"
        )


def cut_views(
    images: Float[Tensor, "batch 3 height width"], views: ViewSet, size: int
) -> Float[Tensor, "batch view 3 size size"]:
    """Crop every view and resize it to `size` pixels a side.

    Antialiased bicubic, rounded to 8 bits: what an image library would hand to CLIP. Raises
    InputError for images too small for the views.
    """
    cut = [
        F.interpolate(
            images[..., box.top : box.bottom, box.left : box.right],
            (size, size),
            mode="bicubic",
            antialias=True,
        )
        for box in views.boxes(images.shape[2], images.shape[3])
    ]
    return (torch.stack(cut, dim=1) * 255).round().clamp(0, 255) / 255


def view_overlap(
    views: ViewSet, size: tuple[int, int], patch_size: int
) -> Float[Tensor, "view patch"]:
    """Share of each patch's area that lies inside each view, for an image of `size`, height and width.

    Rows of one grid sum to one over its cells, which tile the image; windows overlap.
    """
    overlaps = []
    for spans in zip(*(views.spans(side) for side in size), strict=True):
        rows, columns = (
            _overlap_1d(of, side, patch_size) for of, side in zip(spans, size, strict=True)
        )
        overlaps.append(torch.einsum("ip,jq->ijpq", rows, columns).flatten(2).flatten(0, 1))
    return torch.cat(overlaps)


def _overlap_1d(
    spans: Sequence[tuple[int, int]], side: int, patch_size: int
) -> Float[Tensor, "span patch"]:
    start = torch.arange(0, side, patch_size)
    low, high = torch.tensor(spans).T[..., None]
    return (high.minimum(start + patch_size) - low.maximum(start)).clamp(min=0) / patch_size
