"""What the grey levels of a picture say: that it shows nothing, or little beside text."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

ALIKE = 8
"""Levels, of 255, by which a page's ground may differ from its most frequent one."""


class GreyLevels(NamedTuple):
    """Of one picture; nan of what is none."""

    flatness: float = np.nan
    """Standard deviation of the levels, of 255."""
    ground: float = np.nan
    """Share of the pixels that are of the most frequent level, or nearly."""
    strokes: float = np.nan
    """How often a row, and a column, passes between ground and ink on average, the lower of the two. Ink is
    more than half as far from the ground as the farthest level is."""


def levels_of(grey: Float[Tensor, "height width"]) -> GreyLevels:
    """The levels of an upright picture in grey."""
    levels = grey.round().byte().numpy()
    counts = np.bincount(levels.ravel(), minlength=256)
    nearly = np.convolve(counts, np.ones(2 * ALIKE + 1, np.int64), "same")
    ground = int(nearly.argmax())
    distances = np.abs(np.arange(256) - ground)
    farthest = distances[[levels.min(), levels.max()]].max()
    ink = (2 * distances > farthest)[levels]
    along_rows = (ink[:, 1:] != ink[:, :-1]).sum() / ink.shape[0]
    along_columns = (ink[1:] != ink[:-1]).sum() / ink.shape[1]
    return GreyLevels(
        flatness=float(grey.std(correction=0)),
        ground=float(nearly[ground] / levels.size),
        strokes=float(min(along_rows, along_columns)),
    )
