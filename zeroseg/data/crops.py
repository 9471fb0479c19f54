"""Crops: the part of an image that the student is shown, and that the teacher's views divide.

The paper shows the centre crop alone. Random crops (ours) are few and fixed for each image, a function of
its key, so that what the teacher says of every one of them can be computed once and kept.
"""

import random
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor

from zeroseg.data.images import centre_crop, resized
from zeroseg.errors import InputError


class Crop(NamedTuple):
    """A box of the upright image, in whole pixels."""

    top: int
    left: int
    height: int
    width: int
    flip: bool
    """Mirrored, left and right."""


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Which crops of each image there are."""

    count: int = 1
    """1 is the paper's centre crop, without any chance; more are so many random crops (ours)."""
    scale: tuple[float, float] = (0.4, 1.0)
    """Ours: least and greatest share of the image's area in a random crop."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Ours, as is usual: narrowest and widest random crop, width over height."""
    seed: int = 0
    """Of the random crops; the training run's own seed does not change them."""

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise InputError(
                f"crops are {self}: count must be at least 1, and scale two rising shares in (0, 1]"
            )
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise InputError(f"crops.ratio is {self.ratio}: it must be two rising positive numbers")

    def of(self, key: str, height: int, width: int) -> tuple[Crop | None, ...]:
        """Every crop of an image of this size; None is the centre crop."""
        if self.count == 1:
            return (None,)
        return tuple(
            random_crop(
                random.Random(f"{self.seed}/{key}/{i}"), height, width, self.scale, self.ratio
            )
            for i in range(self.count)
        )

    def turn(self, key: str, epoch: int) -> int:
        """Which crop an epoch shows: one after the other, beginning anywhere."""
        return (random.Random(f"{self.seed}/{key}").randrange(self.count) + epoch) % self.count


def random_crop(
    rng: random.Random,
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Crop:
    """A share of the area and a shape, drawn as in `RandomResizedCrop`, cut to fit the image."""
    area = height * width * rng.uniform(*scale)
    narrow, wide = ratio
    shape = narrow * (wide / narrow) ** rng.random()
    rows = min(height, max(1, round((area / shape) ** 0.5)))
    columns = min(width, max(1, round((area * shape) ** 0.5)))
    top, left = rng.randint(0, height - rows), rng.randint(0, width - columns)
    return Crop(top, left, rows, columns, rng.random() < 0.5)


def cut(
    image: UInt8[Tensor, "3 height width"], crop: Crop | None, side: int
) -> UInt8[Tensor, "3 side side"]:
    """Cut a crop out of an image and bring it to `side` pixels a side."""
    if crop is None:
        return centre_crop(image, side)
    rows = slice(crop.top, crop.top + crop.height)
    columns = slice(crop.left, crop.left + crop.width)
    pixels = resized(image[:, rows, columns], (side, side))
    return pixels.flip(2) if crop.flip else pixels
