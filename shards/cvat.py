"""What CVAT exports: its XML "for images", and "Segmentation mask", coloured label maps.

Facts from CVAT's documentation (XML annotation format 1.1, Segmentation Mask): shapes are drawn by
`z_order`, a mask's runs count pixels outside and inside by turns, row after row of its own rectangle,
and a labelmap's line is `name:r,g,b:parts:actions`. Pictures are shown upright.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from shards.class_entries import Entry, labelmap_entries
from shards.class_list import (
    ClassList,
    listed,
    read_class_list,
    refuse_twice,
)
from shards.folder import SUFFIXES, distinct_keys
from shards.labelled import need, need_package, paired, read_file, read_pair
from shards.masks import Decoder, digest, identity
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
    turned_about,
)
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.own_benchmarks import called_background
from zeroseg.errors import InputError

NO_AREA = ("polyline", "points", "tag", "skeleton", "cuboid")
"""Elements that cover nothing; they are passed over."""


class Outlined(NamedTuple):
    """An image of the XML: its attributes, and the tag and attributes of each shape."""

    name: str
    subset: str
    size: tuple[str, str]
    shapes: tuple[tuple[str, Mapping[str, str]], ...]
    """The lowest first."""


@dataclass(frozen=True)
class CVAT:
    """A task that CVAT exported as "CVAT for images": polygons, boxes, ellipses and masks.

    Shapes are drawn by z_order, those of one z_order in the file's order. The rest is background where the
    first class is called that, else ignored.
    """

    annotations: Path
    """The export's `annotations.xml`."""
    images: Path
    """Folder of the photos, whose names are those of the XML."""
    classes: Path | None = None
    """Text of a name a line, CSV or JSON, where it is not the task's own labels."""
    ignore: tuple[str, ...] = ()
    """Labels that no score counts."""

    def source(self) -> Source:
        """Raises InputError when a part is missing, the file is not CVAT's, or the class list is none."""
        need_package("pycocotools", "CVAT")
        need(self.annotations, "CVAT", "the export there")
        need(self.images, "CVAT", "the photos there")
        units, own = _parsed(self.annotations)
        classes = read_class_list(self.classes) if self.classes else _without(own, self.ignore)
        distinct_keys(str(self.images), (unit.name for unit in units))
        names = Names.of(classes, self.ignore)
        return Source(
            units=units,
            read=partial(_read, self.annotations, self.images, names),
            classes=classes.names,
            built_from={
                "kind": "cvat",
                "source": str(self.annotations),
                "images": str(self.images),
                "classes": digest(classes, sorted(self.ignore)),
            },
        )


@dataclass(frozen=True)
class CVATMasks:
    """A task that CVAT exported as "Segmentation mask": `labelmap.txt` and `SegmentationClass`.

    Colours that the labelmap does not have leave an image out, named.
    """

    root: Path
    """It holds `labelmap.txt` and `SegmentationClass`."""
    images: Path | None = None
    """Folder of the photos; by default `JPEGImages` there."""
    classes: Path | None = None
    """Text of a name a line, CSV or JSON, where it is not the labelmap's own labels."""
    ignore: tuple[str, ...] = ()
    """Labels that no score counts."""

    def source(self) -> Source:
        """Raises InputError when a part is missing, the labelmap or the class list is none."""
        file = need(self.root / "labelmap.txt", "CVAT's masks", "the export there")
        maps = need(self.root / "SegmentationClass", "CVAT's masks", "the export there")
        images = need(self.images or self.root / "JPEGImages", "CVAT's masks", "the photos there")
        own = read_labelmap(file)
        classes = read_class_list(self.classes) if self.classes else _without(own, self.ignore)
        labels = Names.of(classes, self.ignore).labels
        colours = {
            c: labels[own.names[n]] for c, n in own.colours.items() if own.names[n] in labels
        }
        found = ClassList(classes.names, colours={c: n for c, n in colours.items() if n != IGNORE})
        ignored = frozenset(c for c, n in colours.items() if n == IGNORE)
        return Source(
            units=paired(images, "", maps, suffixes=(".jpg", *sorted(SUFFIXES - {".jpg"}))),
            read=partial(read_pair, identity(found), Decoder(found, ignored_colours=ignored)),
            classes=found.names,
            built_from={
                "kind": "cvat-masks",
                "source": str(self.root),
                "images": str(images),
                "classes": digest(found, sorted(ignored)),
            },
        )


def read_labelmap(file: Path) -> ClassList:
    """Names and colours of a labelmap, background first. Raises InputError where it is none."""
    try:
        entries = list(labelmap_entries(read_file(file).decode("utf-8-sig")))
    except ValueError as error:
        raise InputError(f"{file} is not CVAT's labelmap ({error}): export it again") from error
    return listed(_background_first(entries), str(file))


def _background_first(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: not called_background((entry.name,)))


def _without(classes: ClassList, ignored: tuple[str, ...]) -> ClassList:
    """The tool's own classes without those that no score counts."""
    kept = [name for name in classes.names if name not in ignored]
    return listed([Entry(name) for name in kept], "the export's labels without --ignore")


def _parsed(file: Path) -> tuple[list[Outlined], ClassList]:
    """Every image in order of name, and the task's labels, background first."""
    try:
        root = ElementTree.parse(file).getroot()
    except (ElementTree.ParseError, ValueError, OSError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"{file} is no XML ({problem}): unpack CVAT's export") from error
    images = list(root.iter("image"))
    if root.tag != "annotations" or not images:
        raise InputError(f'{file} lists no image: export it from CVAT as "CVAT for images 1.1"')
    units = sorted((_outlined(image) for image in images), key=lambda unit: unit.name)
    if not all(Path(unit.name).name for unit in units):
        raise InputError(f"{file} has an image without a name: export it again")
    refuse_twice((unit.name for unit in units), "images", file)
    names = [
        label.findtext("name", "") for meta in root.iter("meta") for label in meta.iter("label")
    ]
    if not names:
        names = sorted({about.get("label", "") for unit in units for _, about in unit.shapes})
    entries = _background_first([Entry(name) for name in dict.fromkeys(names)])
    return units, listed(entries, f"labels in {file}")


def _outlined(image: ElementTree.Element) -> Outlined:
    shapes = [(s.tag, dict(s.attrib)) for s in image if s.tag not in NO_AREA]
    name = image.get("name", "").lstrip("/")
    size = (image.get("width", ""), image.get("height", ""))
    return Outlined(name, image.get("subset", ""), size, tuple(sorted(shapes, key=_z_order)))


def _z_order(shape: tuple[str, Mapping[str, str]]) -> int:
    text = shape[1].get("z_order", "0")
    return int(text) if text.lstrip("-").isdecimal() else 0


def _read(file: Path, images: Path, names: Names, unit: Outlined) -> Iterator[Sample | BadSample]:
    source = unit.name
    if unit.subset and not (images / source).exists():  # as a project's export has it
        source = f"{unit.subset}/{unit.name}"
    place = Place(images / source, source, f"{file}: {unit.name}", key_of(unit.name))
    yield from read_drawn(place, partial(_drawing, unit), names)


def _drawing(unit: Outlined) -> Drawing:
    width, height = unit.size
    shapes = [Shape(about["label"], _outline(tag, about)) for tag, about in unit.shapes]
    return Drawing(shapes, (int(width), int(height)))


def _outline(tag: str, about: Mapping[str, str]) -> Outline:
    def numbers(*names: str) -> list[float]:
        return [float(about[name]) for name in names]

    angle = float(about.get("rotation", 0))
    match tag:
        case "polygon":
            pairs = (pair.split(",") for pair in about["points"].split(";") if pair.strip())
            return Polygon(tuple((float(x), float(y)) for x, y in pairs))
        case "box":
            left, top, right, bottom = numbers("xtl", "ytl", "xbr", "ybr")
            corners = rectangle(left, top, right, bottom).points
            centre = ((left + right) / 2, (top + bottom) / 2)
            return Polygon(turned_about(corners, centre, angle) if angle else corners)
        case "ellipse":
            x, y, across, down = numbers("cx", "cy", "rx", "ry")
            return Ellipse((x, y), (across, down), angle)
        case "mask":
            size = int(about["width"]), int(about["height"])
            runs = partial(mask_of_runs, about["rle"], size)
            return Patch(int(about["left"]), int(about["top"]), size, runs)
    raise BadSample(f"a shape {tag!r} is not known")


def mask_of_runs(text: str, size: tuple[int, int]) -> Bool[ndarray, "height width"]:
    """A mask of so many columns and rows, of runs outside and inside by turns, row after row.

    Raises BadSample when they are not as many pixels.
    """
    width, height = size
    runs = [int(run) for run in text.split(",") if run.strip()]
    if min([*runs, width, height]) < 0 or sum(runs) != width * height:
        raise BadSample(f"a mask's runs are {sum(runs)} pixels, its rectangle {width}x{height}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(height, width)
