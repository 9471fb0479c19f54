"""Photos with what an annotation tool outlined in them: polygons, ellipses and masks, drawn as a label map.

Pixel (column, row) lies from (column, row) to (column + 1, row + 1). Outlines are drawn in the order
given, later ones over earlier ones. Tools show pictures upright, so that what was drawn on an upright
picture is turned back over the pixels as the file stores them.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, UInt16
from numpy import ndarray

from shards.class_list import ClassList, plain
from shards.labelled import naming
from shards.outlines import covered
from shards.sample import BadSample, Sample, image_size
from zeroseg.data.images import stored_orientation
from zeroseg.data.label_files import encode_labels
from zeroseg.data.picture_files import turned_back
from zeroseg.datasets.benchmarks import IGNORE

Size = tuple[int, int]
"""Width and height."""
Point = tuple[float, float]
"""Pixels to the right and down."""


class Outline(Protocol):
    """What covers some pixels of a picture."""

    def covered(self, size: Size) -> Bool[ndarray, "height width"]:
        """Those pixels. Raises BadSample for coordinates that are none."""
        ...


@dataclass(frozen=True)
class Polygon:
    """All that lies inside a line through these points, the last joined to the first.

    Fewer than three points enclose nothing.
    """

    points: tuple[Point, ...]

    def covered(self, size: Size) -> Bool[ndarray, "height width"]:
        """As pycocotools draws a polygon, exact where corners are whole numbers."""
        width, height = size
        return covered([[number for point in self.points for number in point]], height, width)


@dataclass(frozen=True)
class Ellipse:
    """Pixels whose centres lie in an ellipse; `angle` turns it clockwise, in degrees."""

    centre: Point
    radii: Point
    angle: float = 0.0

    def covered(self, size: Size) -> Bool[ndarray, "height width"]:
        """None where a radius is 0."""
        width, height = size
        checked((self.centre, self.radii), size)
        if not math.isfinite(self.angle):
            raise BadSample(f"an ellipse turned by {self.angle}")
        if min(self.radii) <= 0:
            return np.zeros((height, width), bool)
        down, right = np.mgrid[0.5:height, 0.5:width]
        right, down = right - self.centre[0], down - self.centre[1]
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        along, across = right * cos + down * sin, down * cos - right * sin
        return (along / self.radii[0]) ** 2 + (across / self.radii[1]) ** 2 <= 1


@dataclass(frozen=True)
class Patch:
    """A mask of a part of the picture; what reaches beyond the picture is cut off."""

    left: int
    top: int
    size: Size | None
    """Which no picture may have less of; None where the mask tells it itself."""
    mask: Callable[[], Bool[ndarray, "patch_height patch_width"]]
    """Decodes it. May raise anything where it is damaged."""

    def covered(self, size: Size) -> Bool[ndarray, "height width"]:
        """The mask in its place."""
        width, height = size
        checked(((self.left, self.top),), size)
        if self.size is not None and (self.size[0] > width or self.size[1] > height):
            raise BadSample(f"a mask of {self.size[0]}x{self.size[1]} pixels is too large")
        mask, pixels = self.mask(), np.zeros((height, width), bool)
        mask = mask[max(0, -self.top) :, max(0, -self.left) :]
        place = pixels[max(0, self.top) :, max(0, self.left) :]
        rows, columns = (min(a, b) for a, b in zip(place.shape, mask.shape, strict=True))
        place[:rows, :columns] = mask[:rows, :columns]
        return pixels


class Shape(NamedTuple):
    """An outline and the name of its class."""

    label: str
    outline: Outline


class Drawing(NamedTuple):
    """The shapes of one photo, the lowest first."""

    shapes: Sequence[Shape]
    size: Size | None = None
    """Of the picture that they were drawn on; None where the tool does not say."""


@dataclass(frozen=True)
class Names:
    """Labels by name, and what is under all shapes."""

    labels: Mapping[str, int]
    unlabelled: int

    @classmethod
    def of(cls, classes: ClassList, ignored: Iterable[str] = ()) -> "Names":
        """Of a class list's names and synonyms; `ignored` are names that no score counts."""
        words = dict.fromkeys(map(plain, ignored), IGNORE)
        return cls(words | classes.by_name, classes.unlabelled)


def rectangle(left: float, top: float, right: float, bottom: float) -> Polygon:
    """All between two corners, in any order."""
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))


def turned_about(points: Iterable[Point], centre: Point, angle: float) -> tuple[Point, ...]:
    """Points turned clockwise about another, in degrees."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    shifted = ((x - centre[0], y - centre[1]) for x, y in points)
    return tuple((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in shifted)


def checked(points: Sequence[Point], size: Size) -> None:
    """Raises BadSample for a coordinate that is no finite number, or is farther outside the picture than
    that is wide or high, where no tool draws."""
    for point in points:
        for number, most in zip(point, size, strict=True):
            if not -most <= number <= 2 * most:
                raise BadSample(f"coordinate {number} of an outline is no number near the picture")


def drawn(shapes: Sequence[Shape], size: Size, names: Names) -> UInt16[ndarray, "height width"]:
    """Labels of shapes, later ones over earlier ones. Raises BadSample for a label that is no name."""
    labels = np.full((size[1], size[0]), names.unlabelled, np.uint16)
    for label, outline in shapes:
        if (word := plain(label)) not in names.labels:
            raise BadSample(f"label {label!r} is not in the class list: add it, or --ignore it")
        labels[outline.covered(size)] = names.labels[word]
    return labels


class Place(NamedTuple):
    """Where a photo and what was drawn on it are."""

    photo: Path
    source: str
    """The photo's path below its folder."""
    about: str
    """What names the drawing in a loss."""
    key: str
    data: bytes | None = None
    """The photo's file, where what was drawn on it holds that."""


def read_drawn(
    place: Place, draw: Callable[[], Drawing], names: Names
) -> Iterator[Sample | BadSample]:
    """The one sample of a photo and of what was drawn on it.

    The drawing's size must be that of the upright picture, or that of the stored pixels: then it lies
    over them.
    """
    try:
        with naming(place.photo):
            data = place.photo.read_bytes() if place.data is None else place.data
            stored = image_size(data)
            orientation = stored_orientation(data)
        with naming(place.about):
            drawing = draw()
            upright = stored[::-1] if orientation > 4 else stored
            size = drawing.size or upright
            if size == upright:
                labels = turned_back(drawn(drawing.shapes, upright, names), orientation)
            elif size == stored:
                labels = drawn(drawing.shapes, stored, names)
            else:
                found, expected = (f"{w}x{h}" for w, h in (upright, size))
                raise BadSample(f"its photo {place.photo} has {found} pixels, it is for {expected}")
    except BadSample as error:
        yield error
    else:
        yield Sample(place.key, data, encode_labels(labels), place.source)
