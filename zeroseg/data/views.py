"""Views: the cells of non-overlapping grids over an image, and what patches lie in them.

ZeroSeg's teacher sees 1x1, 2x2, 3x3 and 4x4 grids (paper, section 3.2): 30 views, ordered by grid as
given and row by row within a grid. Where a side does not divide by the grid, edges are rounded to
whole pixels, so that a view is an ordinary crop (ours; the paper does not say).
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.errors import InputError


def check_grids(grids: Sequence[int], field: str) -> None:
    """Raises InputError naming the field unless the grids differ, and 1, the full image, is the first
    if it is one of them."""
    if not grids or min(grids) < 1 or len(set(grids)) < len(grids) or 1 in grids[1:]:
        raise InputError(
            f"{field} is {tuple(grids)}: name each grid once, and 1, the full image, first or not at all"
        )


def grid_edges(size: int, grid: int) -> list[int]:
    """Pixel edges of `grid` cells over a side of `size` pixels: `grid + 1` rising integers."""
    return [round(i * size / grid) for i in range(grid + 1)]


def cell_views(
    images: Float[Tensor, "batch 3 height width"], grids: Sequence[int], size: int
) -> Float[Tensor, "batch view 3 size size"]:
    """Crop every cell of every grid and resize it to `size` pixels a side.

    Antialiased bicubic, rounded to 8 bits: what an image library would hand to CLIP.
    """
    height, width = images.shape[-2:]
    views = []
    for grid in grids:
        rows, columns = grid_edges(height, grid), grid_edges(width, grid)
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                cell = images[..., top:bottom, left:right]
                views.append(F.interpolate(cell, (size, size), mode="bicubic", antialias=True))
    return (torch.stack(views, dim=1) * 255).round().clamp(0, 255) / 255


def cell_overlap(
    grids: Sequence[int], size: tuple[int, int], patch_size: int
) -> Float[Tensor, "view patch"]:
    """Share of each patch's area that lies inside each view's cell, for an image of `size`.

    Rows of one grid sum to one over its cells: the cells of a grid tile the image.
    """
    overlaps = []
    for grid in grids:
        rows, columns = (_overlap_1d(grid_edges(side, grid), patch_size) for side in size)
        overlaps.append(torch.einsum("ip,jq->ijpq", rows, columns).flatten(2).flatten(0, 1))
    return torch.cat(overlaps)


def _overlap_1d(edges: list[int], patch_size: int) -> Float[Tensor, "cell patch"]:
    start = torch.arange(0, edges[-1], patch_size)
    low = torch.tensor(edges[:-1])[:, None].maximum(start)
    high = torch.tensor(edges[1:])[:, None].minimum(start + patch_size)
    return (high - low).clamp(min=0) / patch_size
