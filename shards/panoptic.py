"""COCO's panoptic format: a PNG whose colours number segments, and a JSON file of their categories.

Facts from COCO's description of its formats (panoptic segmentation): a pixel's segment is red + 256 green
+ 65536 blue, 0 is no segment, and an image's `segments_info` has the category of each.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt16
from numpy import ndarray

from shards.class_entries import Entry
from shards.class_list import ClassList, listed, plain, read_class_list, refuse_twice
from shards.labelled import MALFORMED, Pair, need, read_file, read_pair
from shards.masks import colour_codes, digest, identity, looked_up
from shards.sample import BadSample, Sample, Source, error_text, key_of
from shards.shapes import Names
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.own_benchmarks import called_background
from zeroseg.errors import InputError


class Segmented(NamedTuple):
    """An image of the file, its PNG, and the categories of its segments."""

    photo: str
    png: str
    segments: tuple[tuple[int, int], ...]
    """Number and category id of each."""
    problem: str = ""
    """What is wrong with the file's words on it, if anything."""


@dataclass(frozen=True)
class Panoptic:
    """Photos in COCO's panoptic format, segments by the names of their categories.

    Pixels of no segment are ignored; crowds are labelled as their category.
    """

    annotations: Path
    """The JSON file, as `panoptic_val2017.json`."""
    images: Path
    """Folder of the photos."""
    masks: Path | None = None
    """Folder of the PNGs; by default that of the JSON file's name without suffix, beside it."""
    classes: Path | None = None
    """Text of a name a line, CSV or JSON, where it is not the file's own categories."""
    ignore: tuple[str, ...] = ()
    """Categories that no score counts."""

    def source(self) -> Source:
        """Raises InputError when a part is missing, the file is not of the format, or the class list is
        none."""
        need(self.annotations, "a panoptic set", "the JSON file there")
        need(self.images, "a panoptic set", "the photos there")
        masks = need(self.masks or self.annotations.with_suffix(""), "a panoptic set", "the PNGs")
        units, categories = _parsed(self.annotations)
        own = _own(categories, self.ignore, str(self.annotations))
        classes = read_class_list(self.classes) if self.classes else own
        labels = Names.of(classes, self.ignore).labels
        known = {i: labels[plain(n)] for i, n in categories.items() if plain(n) in labels}
        return Source(
            units=units,
            read=partial(_read, self.images, masks, categories, known, identity(classes)),
            classes=classes.names,
            built_from={
                "kind": "panoptic",
                "source": str(self.annotations),
                "images": str(self.images),
                "masks": str(masks),
                "classes": digest(classes, sorted(self.ignore)),
            },
        )


def _own(categories: Mapping[int, str], ignored: tuple[str, ...], where: str) -> ClassList:
    """The file's categories in order of id, background first, without those that no score counts."""
    names = [name for _, name in sorted(categories.items()) if name not in ignored]
    names.sort(key=lambda name: not called_background((name,)))
    return listed([Entry(name) for name in names], f"categories of {where}")


def _parsed(file: Path) -> tuple[list[Segmented], dict[int, str]]:
    """Every image in order of file name, and the names of categories by id."""
    try:
        content = json.loads(read_file(file))
        categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        found: dict[Any, Any] = {}
        for annotation in content["annotations"]:
            with suppress(*MALFORMED):  # then its image has none
                found[annotation["image_id"]] = annotation
        images = enumerate(content["images"], 1)
        units = [_segmented(place, image, found) for place, image in images]
    except MALFORMED as error:
        problem = error_text(error)
        raise InputError(f"{file} is not in COCO's panoptic format ({problem})") from error
    if not units:
        raise InputError(f"{file} lists no image: check the file")
    units.sort()
    refuse_twice((unit.photo for unit in units), "images", file)
    return units, categories


def _segmented(place: int, image: Any, found: Mapping[Any, Any]) -> Segmented:
    photo = f"image {place}"
    try:
        if not Path(image["file_name"]).name:
            raise ValueError("a file name is empty")
        photo = image["file_name"]
        if image["id"] not in found:
            return Segmented(photo, "", (), "has no annotation")
        annotation = found[image["id"]]
        segments = ((int(s["id"]), int(s["category_id"])) for s in annotation["segments_info"])
        return Segmented(photo, str(annotation["file_name"]), tuple(segments))
    except MALFORMED as error:
        return Segmented(photo, "", (), f"not readable ({error_text(error)})")


def _read(
    images: Path,
    masks: Path,
    categories: Mapping[int, str],
    labels: Mapping[int, int],
    table: Mapping[int, int],
    unit: Segmented,
) -> Iterator[Sample | BadSample]:
    if unit.problem:
        yield BadSample(f"{images / unit.photo}: {unit.problem}")
        return
    pair = Pair(key_of(unit.photo), images, unit.photo, masks / unit.png)
    yield from read_pair(table, partial(_labels, unit.segments, categories, labels), pair)


def _labels(
    segments: tuple[tuple[int, int], ...],
    categories: Mapping[int, str],
    labels: Mapping[int, int],
    data: bytes,
) -> UInt16[ndarray, "height width"]:
    codes = colour_codes(data)
    numbers = codes >> 16 | codes & 0xFF00 | (codes & 0xFF) << 16  # red is the lowest part
    if strange := [category for _, category in segments if category not in labels]:
        name = categories.get(strange[0], strange[0])
        raise BadSample(f"category {name!r} is not in the class list: add it, or --ignore it")
    known = {0: IGNORE} | {number: labels[category] for number, category in segments}
    return looked_up(np.asarray(numbers), known, "segment {}")
