"""Augmentation of labelled pictures: scale, crop, flip and colours, drawn from (seed, epoch, key) alone."""

import random
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

PADDING = 128
"""Colour of padded pixels, MaskFormer's."""


class Colours(NamedTuple):
    """A change of colours on levels of 0 to 255; hue and saturation are those of HSV."""

    brightness: float = 0.0
    """Levels that are added."""
    contrast: float = 1.0
    """Factor of all levels."""
    saturation: float = 1.0
    """Factor."""
    hue: int = 0
    """Levels that are added, of 256 around the circle."""
    contrast_first: bool = False
    """Contrast before saturation and hue."""

    def of(self, picture: Image.Image) -> Image.Image:
        """An RGB picture in these colours."""
        if self == Colours():
            return picture
        first = self.contrast if self.contrast_first else 1.0
        changed = picture.point(3 * [_level(first * _level(v + self.brightness)) for v in _LEVELS])
        if self.saturation != 1 or self.hue:
            hues = [(v + self.hue) % 256 for v in _LEVELS]
            saturations = [_level(self.saturation * v) for v in _LEVELS]
            turned = changed.convert("HSV").point(hues + saturations + [*_LEVELS])
            changed = turned.convert("RGB")
        if self.contrast_first or self.contrast == 1:
            return changed
        return changed.point(3 * [_level(self.contrast * v) for v in _LEVELS])


_LEVELS = range(256)


def _level(value: float) -> int:
    return min(255, max(0, round(value)))


class Place(NamedTuple):
    """Where a crop lies in a scaled picture, in pixels of that."""

    scaled: tuple[int, int]
    """(height, width) of the whole scaled picture."""
    top: int
    left: int
    flip: bool
    """The crop is mirrored, left and right."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A square crop of a scaled picture, flipped half the time, in changed colours.

    As MaskFormer and ZegFormer train (detectron2's `ResizeShortestEdge`, `RandomCrop`, flip and
    `ColorAugSSDTransform`; the jitter is SSD's, Liu et al., ECCV 2016), with three departures: a factor is
    drawn from the whole range instead of from sixteen, the scaled picture's long side has no limit, and a
    crop is taken as it falls, though one class may fill it. Raises InputError for a size, a range or
    a strength that cannot be.
    """

    size: int = 512
    """Side of the crop in pixels."""
    scale: tuple[float, float] = (0.5, 2.0)
    """The short side of the picture is `size` times a factor that is drawn uniformly between these two;
    what is then smaller than the crop is padded at the bottom and the right, grey and ignored."""
    jitter: float = 1.0
    """Strength of the colour jitter: at 1 SSD's, brightness by 32 levels of 255, contrast and
    saturation by half, hue by 36 degrees, each in half of all cases; 0 for none."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(
                f"{self}: size must be at least 1, and scale two rising positive numbers"
            )
        if not 0 <= self.jitter <= 2:
            raise InputError(f"augmentation.jitter is {self.jitter}: it must be from 0 to 2")

    def draw(self, key: str, epoch: int, height: int, width: int) -> tuple[Place, Colours]:
        """What an epoch does to a picture of this size."""
        rng = random.Random(f"{self.seed}/{epoch}/{key}")
        ratio = self.size * rng.uniform(*self.scale) / min(height, width)
        rows, columns = (max(1, round(side * ratio)) for side in (height, width))
        top, left = (rng.randint(0, max(0, side - self.size)) for side in (rows, columns))
        place = Place((rows, columns), top, left, rng.random() < 0.5)
        return place, self._colours(rng)

    def _colours(self, rng: random.Random) -> Colours:
        reach = (self.jitter * most for most in (32, 0.5, 0.5, 256 / 10))
        brightness, contrast, saturation, hue = [
            rng.uniform(-most, most) * (rng.random() < 0.5) for most in reach
        ]
        return Colours(brightness, 1 + contrast, 1 + saturation, round(hue), rng.random() < 0.5)

    def picture(
        self, image: UInt8[Tensor, "3 height width"], place: Place, colours: Colours
    ) -> UInt8[Tensor, "3 size size"]:
        """The crop of an image: antialiased bicubic, as if the whole were scaled and then cut."""
        rows, columns = self._extent(place)
        down, across = image.shape[1] / place.scaled[0], image.shape[2] / place.scaled[1]
        box = (place.left * across, place.top * down) + (
            (place.left + columns) * across,
            (place.top + rows) * down,
        )
        whole = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        part = whole.resize((columns, rows), Image.Resampling.BICUBIC, box)
        pixels = torch.frombuffer(bytearray(colours.of(part).tobytes()), dtype=torch.uint8)
        return self._framed(pixels.view(rows, columns, 3).permute(2, 0, 1), place, PADDING)

    def labels(self, labels: Int[Tensor, "height width"], place: Place) -> Int[Tensor, "size size"]:
        """The same crop of a label map: of each pixel the label at its centre."""
        kept = labels
        for axis, (extent, start) in enumerate(
            zip(self._extent(place), (place.top, place.left), strict=True)
        ):
            centres = 2 * (start + torch.arange(extent)) + 1  # in half pixels: no rounding
            kept = kept.index_select(axis, centres * labels.shape[axis] // (2 * place.scaled[axis]))
        return self._framed(kept, place, IGNORE)

    def _extent(self, place: Place) -> tuple[int, int]:
        """Rows and columns that the picture has in the crop."""
        rows, columns = (min(self.size, side) for side in place.scaled)
        return rows, columns

    def _framed(self, part: Tensor, place: Place, value: int) -> Tensor:
        flipped = part.flip(-1) if place.flip else part
        below, right = self.size - part.shape[-2], self.size - part.shape[-1]
        return F.pad(flipped, (0, right, 0, below), value=value).contiguous()
