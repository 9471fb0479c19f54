"""COCO's instances files: the photos that one lists, with what is outlined in them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from shards.labelled import naming, read_file
from shards.outlines import covered, is_number, shown
from shards.sample import BadSample, Sample, image_size, key_of
from zeroseg.data.label_files import encode_labels
from zeroseg.errors import InputError

_Id = int | float | str | None


@dataclass(frozen=True)
class Outlined:
    """A photo of an instances file with what is outlined in it."""

    file: str
    width: float
    height: float
    objects: tuple[tuple[int, Any], ...]
    """(label, polygons or run lengths) of each."""


@dataclass(frozen=True)
class LeftOut:
    """A photo that an instances file is wrong about, or the file itself with what else is wrong."""

    file: str
    reason: str


def outlined(
    file: Path, labels: Mapping[int, int], names: Mapping[int, str]
) -> list[Outlined | LeftOut]:
    """Every photo that an instances file lists, in order of file name; then what is wrong in the file
    and belongs to no photo.

    `labels` and `names` are by category. A photo is left out, whatever the order of its objects, when
    it is listed twice, or an object of it has no outline or an unknown category. Raises InputError
    when this is no instances file, its categories have other names, or it lists no photo.
    """
    photos, annotations = _parts(file, labels, names)
    of_photo: dict[_Id, list[Any]] = {_id(photo, "id"): [] for photo in photos}
    strays = []
    for annotation in annotations:
        of_photo.get(_id(annotation, "image_id"), strays).append(annotation)
    strays += of_photo.pop(None, [])
    files = Counter(_file(photo) for photo in photos)
    ids = Counter(_id(photo, "id") for photo in photos)
    units: list[Outlined | LeftOut] = []
    for photo in photos:
        name, number = _file(photo), _id(photo, "id")
        if not name or number is None:
            units.append(
                LeftOut(name or str(file.absolute()), f"an image is listed as {shown(photo)}")
            )
        elif files[name] > 1 or ids[number] > 1:
            units.append(LeftOut(name, f"it or its id, {number}, is listed twice"))
        else:
            units.append(_unit(photo, of_photo[number], labels))
    units.sort(key=lambda unit: unit.file)
    if strays:
        reason = f"{len(strays)} annotations of images that it does not list, the first"
        units.append(LeftOut(str(file.absolute()), f"{reason} {shown(strays[0])}"))
    return units


def _unit(
    photo: dict[str, Any], annotations: list[Any], labels: Mapping[int, int]
) -> Outlined | LeftOut:
    """A photo with its objects."""
    file, width, height = photo["file_name"], photo.get("width"), photo.get("height")
    if not is_number(width) or not is_number(height):
        return LeftOut(file, f"its size is listed as {shown(width)} x {shown(height)}")
    objects = []
    for annotation in annotations:
        category, outline = annotation.get("category_id"), annotation.get("segmentation")
        if not is_number(category) or category not in labels:
            return LeftOut(file, f"an object has category {shown(category)}, which is unknown")
        if outline is None:
            return LeftOut(file, "an object has no segmentation")
        objects.append((labels[int(category)], outline))
    return Outlined(file, width, height, tuple(objects))


def _file(photo: Any) -> str:
    """File name of a listed image; empty where it has none."""
    name = photo.get("file_name") if isinstance(photo, dict) else None
    return name if isinstance(name, str) else ""


def _id(entry: Any, field: str) -> _Id:
    """An image's id; None where there is none."""
    value = entry.get(field) if isinstance(entry, dict) else None
    return value if is_number(value) or isinstance(value, str) else None


def _parts(
    file: Path, labels: Mapping[int, int], names: Mapping[int, str]
) -> tuple[list[Any], list[Any]]:
    """The images and annotations of a file of these categories."""
    try:
        content = json.loads(read_file(file))
        photos, annotations, categories = (
            content[part] for part in ("images", "annotations", "categories")
        )
        for category in categories:
            if category["id"] not in labels or names[category["id"]] != category["name"]:
                raise ValueError(f"category {category['id']} is {category['name']!r}")
        if not isinstance(photos, list) or not isinstance(annotations, list):
            raise TypeError("images and annotations must be lists")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} is not a file of COCO's 80 things ({problem})") from error
    if not photos:
        raise InputError(f"{file} lists no image: unpack it again")
    return photos, annotations


def read_outlined(images: Path, unit: Outlined | LeftOut) -> Iterator[Sample | BadSample]:
    """The one photo of a unit, in the folder `images`, and what is outlined in it."""
    path = images / unit.file
    try:
        with naming(path):
            if isinstance(unit, LeftOut):
                raise BadSample(unit.reason)
            data = path.read_bytes()
            width, height = image_size(data)
            if (width, height) != (unit.width, unit.height):
                expected = f"its annotations are for {unit.width}x{unit.height}"
                raise BadSample(f"{width}x{height} pixels, but {expected}")
            labels = drawn(unit, height, width)
    except BadSample as error:
        yield error
    else:
        yield Sample(key_of(unit.file), data, encode_labels(labels), unit.file)


def drawn(unit: Outlined, height: int, width: int) -> UInt8[ndarray, "height width"]:
    """The objects' labels, 0 where there is none; larger objects lie below smaller ones.

    Raises BadSample as `covered`.
    """
    layers = [(label, covered(outline, height, width)) for label, outline in unit.objects]
    labels = np.zeros((height, width), np.uint8)
    for label, inside in sorted(layers, key=lambda layer: -layer[1].sum()):
        labels[inside] = label
    return labels
