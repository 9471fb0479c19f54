"""From a segmenter's scores to a label map: windows, softmax, sizes, background.

A segmenter scores a grid, coarser than the pixels. Bringing the grids of all windows to their pixels, averaging
where windows overlap and resizing to the annotation are linear, along rows and columns apart. So
they are one matrix an axis (ours), and no map of all classes at pixels is ever held.
"""

from collections.abc import Iterator
from functools import lru_cache, reduce
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroseg.datasets.queries import Queries
from zeroseg.models.segmenter import Segmenter

ThresholdRule = Literal["constant", "groupvit"]

TILE = {"cpu": (16, 2**18), "cuda": (64, 2**24)}
"""Rows of pixels, and how many scores at pixels are held: what fits a cache, or fills a GPU."""
CELLS = 128
"""Columns of the grids that a tile is made of, at most; of many, few add to any one pixel."""


class Axis(NamedTuple):
    """Windows along one side of an image, in pixels."""

    side: int
    window: int
    starts: tuple[int, ...]


class WindowScores(NamedTuple):
    """What a segmenter says about all windows of some images."""

    grids: Float[Tensor, "batch query rows columns"]
    """The grids of all windows, side by side."""
    down: Axis
    across: Axis


def window_starts(size: int, window: int, stride: int) -> tuple[int, ...]:
    """Left edges of windows that cover a side; the last one is shifted back to fit."""
    if size <= window:
        return (0,)
    count = -(-(size - window) // stride) + 1
    return tuple(min(i * stride, size - window) for i in range(count))


@torch.no_grad()
def window_scores(
    segmenter: Segmenter,
    images: Float[Tensor, "batch 3 height width"],
    queries: Queries,
    window: int,
    stride: int,
    *,
    logit_scale: float | None = None,
    batch_size: int = 32,
) -> WindowScores:
    """Score every window, so many of them at once; `window` 0 takes the whole image.

    With a `logit_scale` a score is the probability of a softmax over all queries, taken at the
    segmenter's own resolution.
    """
    down, across = (
        Axis(side, min(window or side, side), window_starts(side, window or side, stride))
        for side in images.shape[2:]
    )
    windows = torch.stack(
        [
            images[..., top : top + down.window, left : left + across.window]
            for top in down.starts
            for left in across.starts
        ],
        dim=1,
    )
    parts = windows.flatten(0, 1).split(batch_size)
    scores = torch.cat([segmenter.predict(part, queries) for part in parts])
    if scores.dtype != torch.float64:
        scores = scores.float()
    if logit_scale is not None:
        # A query beside the next, as segmenters make them: no copy, and no strided softmax.
        scores = scores.mul_(logit_scale).movedim(1, 3).softmax(dim=3).movedim(3, 1)
    grids = rearrange(
        scores,
        "(b i j) q h w -> b q (i h) (j w)",
        i=len(down.starts),
        j=len(across.starts),
    )
    return WindowScores(grids, down, across)


def best_class(
    scores: WindowScores,
    size: tuple[int, int],
    owners: Int[Tensor, " query"],
    *,
    logit_scale: float | None = None,
    allowed: Bool[Tensor, "batch class"] | None = None,
) -> tuple[Float[Tensor, "batch height width"], Int[Tensor, "batch height width"]]:
    """Highest score at each pixel of an annotation of `size`, and the class that owns its query.

    Equals, for scores of one window and a class a query, but for the memory that it takes:

        pixels = F.interpolate(scores.grids, size, mode="bilinear")  # windows: of each, then the mean
        best, index = (logit_scale * pixels).softmax(dim=1).max(dim=1)

    With a `logit_scale` the score is the probability of a softmax over all queries, taken here, at
    pixels. Classes that are not `allowed` in an image are never the best, though their queries stay
    in its softmax. Where scores are nan the index is beyond all classes, which no metric accepts.
    """
    if logit_scale is not None:
        scores = scores._replace(grids=logit_scale * scores.grids)
    best = scores.grids.new_empty(len(scores.grids), *size)
    # Two maxima and a comparison take a CPU less time than `Tensor.max`; of equals the first class wins.
    winner, beyond = torch.empty_like(best), owners.max() + 1
    rank = (beyond - owners).to(best)[:, None]
    for place, tile in _tiles(scores, size):
        candidates = tile
        if allowed is not None:
            candidates = tile.masked_fill(~allowed[place[0], owners][:, None], -torch.inf)
        highest = best[place] = candidates.amax(dim=1)
        if logit_scale is not None:
            best[place] = (tile - highest[:, None]).exp_().sum(dim=1).reciprocal()
        winner[place] = candidates.eq_(highest[:, None]).mul_(rank).amax(dim=1)
    return best, beyond - winner.to(owners)


def pixel_scores(
    scores: WindowScores, size: tuple[int, int], *, logit_scale: float | None = None
) -> Float[Tensor, "batch query height width"]:
    """Scores at the pixels of an annotation of `size`: all of them, so mind the memory.

    With a `logit_scale` probabilities, as in `best_class`.
    """
    pixels = scores.grids.new_empty(*scores.grids.shape[:2], *size)
    for (image, rows, columns), tile in _tiles(scores, size):
        if logit_scale is not None:
            tile = (logit_scale * tile).softmax(dim=1)
        pixels[image, :, rows, columns] = tile.transpose(0, 1)
    return pixels


def with_background(
    best: Float[Tensor, "*batch height width"],
    index: Int[Tensor, "*batch height width"],
    threshold: float | None,
    rule: ThresholdRule = "constant",
) -> Int[Tensor, "*batch height width"]:
    """Label maps: 0, background, where the best score is below the threshold (paper, section 4.1).

    "groupvit": an image whose highest score is lower has that as its threshold (GroupViT's code).
    """
    if threshold is None:
        return index
    if rule == "groupvit":
        return torch.where(best < best.amax((-2, -1), keepdim=True).clamp(max=threshold), 0, index)
    return torch.where(best < threshold, 0, index)


def thresholds_reached(
    best: Float[Tensor, "*batch height width"],
    thresholds: Float[Tensor, " threshold"],
    rule: ThresholdRule = "constant",
) -> Int[Tensor, "*batch height width"]:
    """How many of the rising thresholds are at most the best score: a pixel that reaches k is
    background at all but the first k of them."""
    reached = torch.bucketize(best, thresholds, right=True, out_int32=True)
    if rule == "groupvit":
        reached[best == best.amax(dim=(-2, -1), keepdim=True)] = len(thresholds)
    return reached


def axis_map(axis: Axis, cells: int, pixels: int) -> Float[Tensor, "cell pixel"]:
    """How much each of the `cells` of a side, those of all its windows, adds to each pixel of an annotation.

    Each step is PyTorch's own bilinear resizing, here of an identity matrix and in float64. A
    pixel's shares sum to one.
    """
    identity = torch.eye(cells // len(axis.starts), dtype=torch.float64)
    seen = F.interpolate(identity[None], axis.window, mode="linear")[0]
    placed = seen.new_zeros(len(axis.starts), len(seen), axis.side)
    for window, start in zip(placed, axis.starts, strict=True):
        window[:, start : start + axis.window] = seen
    averaged = placed / placed.sum(dim=(0, 1))
    return F.interpolate(averaged.flatten(0, 1)[None], pixels, mode="linear")[0]


def _tiles(
    scores: WindowScores, size: tuple[int, int]
) -> Iterator[tuple[tuple[int, slice, slice], Float[Tensor, "row query column"]]]:
    """The scores at an annotation's pixels, a tile of an image at a time, and where it lies."""
    grids = rearrange(scores.grids, "b q h w -> b h q w").contiguous()
    _, height, queries, width = grids.shape
    rows, held = TILE[grids.device.type]
    columns = min(held // (queries * rows), CELLS * size[1] // width)
    columns = max(1, columns // 32) * 32  # whole vectors of a processor
    across = _runs(scores.across, width, size[1], columns, grids.dtype, grids.device)
    down = _runs(scores.down, height, size[0], rows, grids.dtype, grids.device)
    for image, grid in enumerate(grids):
        for right, parts in across:
            strip = reduce(Tensor.add_, (grid[..., cells] @ shares for cells, shares in parts))
            for below, parts in down:
                sums = (shares.mT @ strip[cells].flatten(1) for cells, shares in parts)
                yield (image, below, right), reduce(Tensor.add_, sums).unflatten(1, strip.shape[1:])


@lru_cache(maxsize=64)
def _runs(
    axis: Axis, cells: int, pixels: int, length: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[slice, list[tuple[slice, Float[Tensor, "cell pixel"]]]]]:
    """`axis_map` in runs of so many pixels: of each window the few scores that add to a run."""
    shares = axis_map(axis, cells, pixels)
    windows = torch.arange(cells).chunk(len(axis.starts))
    runs = []
    for start in range(0, pixels, length):
        run, parts = slice(start, start + length), []
        for window in windows:
            used = window[shares[window, run].any(dim=1)]
            if len(used):
                near = slice(int(used[0]), int(used[-1]) + 1)
                parts.append((near, shares[near, run].to(device, dtype)))
        runs.append((run, parts))
    return runs
