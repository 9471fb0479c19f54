"""What LabelMe saves: a JSON file for each photo.

Facts from LabelMe's own reader (wkentaro/labelme, `_label_file.py` and `utils/shape.py`): a shape has a
label, points in pixels and a `shape_type`, a polygon where it has none; a circle is its centre and a
point on it; a mask lies from the first of its points on, as a PNG in base64. Pictures are shown upright.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from shards.class_list import read_class_list
from shards.folder import SUFFIXES, distinct_keys
from shards.labelled import naming, need, need_package
from shards.masks import digest
from shards.sample import BadSample, Sample, Source, key_of
from shards.shapes import (
    Drawing,
    Ellipse,
    Names,
    Outline,
    Patch,
    Place,
    Polygon,
    Shape,
    read_drawn,
    rectangle,
)
from zeroseg.data.picture_files import opened
from zeroseg.errors import InputError
from zeroseg.store.storage import list_files

NO_AREA = ("line", "linestrip", "point", "points")
"""Types of shapes that cover nothing; they are passed over."""


class Annotated(NamedTuple):
    """A LabelMe file and its photo, by their paths below the two folders."""

    name: str
    """Without suffix."""
    file: str
    """It may turn out to be missing."""
    photo: str
    """Empty where no photo has the file's name: then the file says which it is."""


@dataclass(frozen=True)
class LabelMe:
    """Photos with LabelMe's JSON files: polygons, rectangles, circles and masks, by the names of labels.

    Shapes are drawn in the file's order. The rest is background where the list's first class is called
    that, else ignored. A photo without a JSON file is left out and named.
    """

    annotations: Path
    """Folder of the JSON files, to any depth."""
    images: Path | None = None
    """Folder of the photos, each of the name and place of its JSON file, or where that says; by default
    beside them. Where there is none, the photo in the JSON file is taken."""
    classes: Path | None = None
    """Text of a name a line, CSV or JSON; commas or `|` separate synonyms."""
    ignore: tuple[str, ...] = ()
    """Labels that no score counts."""

    def source(self) -> Source:
        """Raises InputError when a folder is missing or holds no JSON file, or the class list is none."""
        need_package("pycocotools", "LabelMe")
        need(self.annotations, "LabelMe", "the JSON files there")
        images = need(self.images or self.annotations, "LabelMe", "the photos there")
        classes = read_class_list(self.classes)
        files = _by_name(self.annotations, frozenset({".json"}))
        if not files:
            raise InputError(f"no .json below {self.annotations}: check the folder")
        photos = _by_name(images, SUFFIXES)
        names = sorted(files.keys() | photos.keys())
        return Source(
            units=[
                Annotated(name, files.get(name, f"{name}.json"), photos.get(name, ""))
                for name in names
            ],
            read=partial(_read, self.annotations, images, Names.of(classes, self.ignore)),
            classes=classes.names,
            built_from={
                "kind": "labelme",
                "source": str(self.annotations),
                "images": str(images),
                "classes": digest(classes, sorted(self.ignore)),
            },
        )


def _by_name(folder: Path, suffixes: frozenset[str]) -> dict[str, str]:
    paths = [path for path, _ in list_files(str(folder), suffixes)]
    distinct_keys(str(folder), paths)
    return {str(Path(path).with_suffix("")): path for path in paths}


def _read(
    folder: Path, images: Path, names: Names, unit: Annotated
) -> Iterator[Sample | BadSample]:
    file, key = folder / unit.file, key_of(f"{unit.name}.jpg")
    try:
        with naming(file):
            content = json.loads(file.read_bytes())
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                raise BadSample("is not LabelMe's: it has no list of shapes")
            photo = unit.photo or _named_photo(images, Path(unit.name).parent, content)
            inside = None if photo else base64.b64decode(content["imageData"])
    except BadSample as error:
        yield error
    else:
        place = Place(images / photo if photo else file, photo or unit.file, str(file), key, inside)
        yield from read_drawn(place, partial(_drawing, content), names)


def _named_photo(images: Path, place: Path, content: Mapping[str, Any]) -> str:
    """The photo that a file names, from its own place or in its folder alone; nothing where it is in the
    file itself. Raises BadSample where it is nowhere."""
    told = content.get("imagePath")
    path = PureWindowsPath(str(told)).as_posix()
    for name in (str(place / path), str(place / Path(path).name)):
        if (images / name).is_file():
            return name
    if not isinstance(content.get("imageData"), str):
        raise BadSample(f"its photo {told!r} is missing")
    return ""


def _drawing(content: dict[str, Any]) -> Drawing:
    shapes = [shape for found in content["shapes"] if (shape := _shape(found)) is not None]
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return Drawing(shapes, (int(width), int(height)) if width and height else None)


def _shape(found: dict[str, Any]) -> Shape | None:
    kind = found.get("shape_type") or "polygon"
    if kind in NO_AREA:
        return None
    points = tuple((float(x), float(y)) for x, y in found["points"])
    return Shape(str(found["label"]), _outline(kind, points, found.get("mask")))


def _outline(kind: str, points: tuple[tuple[float, float], ...], mask: str | None) -> Outline:
    if kind == "circle" and len(points) == 2:
        (x, y), (a, b) = points
        radius = float(np.hypot(a - x, b - y))
        return Ellipse((x, y), (radius, radius))
    if kind == "rectangle" and len(points) == 2:
        return rectangle(*points[0], *points[1])
    if kind == "mask" and points and mask:
        left, top = (round(number) for number in points[0])
        return Patch(left, top, None, partial(_mask, mask))
    if kind in ("polygon", "rectangle", "oriented_rectangle", "rotation"):
        return Polygon(points)
    if not points:
        return Polygon(())
    raise BadSample(f"a shape of type {kind!r} with {len(points)} points is not known")


def _mask(text: str) -> Bool[ndarray, "height width"]:
    with opened(base64.b64decode(text)) as picture:
        return np.array(picture.convert("L")) > 0
