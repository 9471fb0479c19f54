"""What Label Studio exports as JSON: tasks with brush strokes, polygons and rectangles.

Facts from Label Studio's documentation (tags BrushLabels, PolygonLabels, RectangleLabels; export format
"JSON"): coordinates are percent of `original_width` and `original_height`, a rectangle is turned clockwise
about its upper left corner. Pictures are shown upright.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from shards.class_list import read_class_list, refuse_twice
from shards.folder import SUFFIXES, distinct_keys
from shards.label_studio_runs import brushed
from shards.labelled import MALFORMED, need, need_package
from shards.masks import digest
from shards.sample import BadSample, Sample, Source, error_text, key_of
from shards.shapes import (
    Drawing,
    Names,
    Outline,
    Patch,
    Place,
    Polygon,
    Shape,
    Size,
    read_drawn,
    rectangle,
    turned_about,
)
from zeroseg.errors import InputError

AREAS = ("brushlabels", "polygonlabels", "rectanglelabels", "labels")
"""Types of regions that are drawn."""
OTHER_AREAS = ("ellipselabels", "bitmasklabels", "vectorlabels", "magicwand")
"""Types of regions that cover something and are not read."""


class Task(NamedTuple):
    """A photo that was annotated."""

    photo: str
    """Its path below the folder of photos."""
    number: str
    annotations: Any
    """As the export has them."""
    problem: str = ""
    """Why it is no task, where it is none."""


@dataclass(frozen=True)
class LabelStudio:
    """A project that Label Studio exported as JSON: brush strokes, polygons and rectangles.

    Of several annotations of a task the ground truth counts, else the last that was not cancelled. Regions
    are drawn in the file's order. The rest is background where the list's first class is called that,
    else ignored.
    """

    annotations: Path
    """The export's JSON file (not JSON-MIN)."""
    images: Path
    """Folder of the photos: by the path that a task names, the end of it, or its name without what an
    upload puts before it."""
    classes: Path | None = None
    """Text of a name a line, CSV or JSON; commas or `|` separate synonyms."""
    ignore: tuple[str, ...] = ()
    """Labels that no score counts."""

    def source(self) -> Source:
        """Raises InputError when a part is missing, the file is not Label Studio's, or the class list is
        none."""
        need_package("pycocotools", "Label Studio")
        need(self.annotations, "Label Studio", "the export there")
        need(self.images, "Label Studio", "the photos there")
        classes = read_class_list(self.classes)
        units = _tasks(self.annotations, self.images)
        distinct_keys(str(self.images), (unit.photo for unit in units if unit.photo))
        names = Names.of(classes, self.ignore)
        return Source(
            units=units,
            read=partial(_read, self.annotations, self.images, names),
            classes=classes.names,
            built_from={
                "kind": "label-studio",
                "source": str(self.annotations),
                "images": str(self.images),
                "classes": digest(classes, sorted(self.ignore)),
            },
        )


def _tasks(file: Path, images: Path) -> list[Task]:
    """Every task of the file, in order of its photo."""
    try:
        content = json.loads(file.read_bytes())
        found = [_task(place, task, images) for place, task in enumerate(content, 1)]
    except (*MALFORMED, OSError) as error:
        raise InputError(f"{file} is no JSON ({error_text(error)}): export it again") from error
    if all(task.problem for task in found):
        problem = found[0].problem if found else "no task"
        raise InputError(
            f"{file} is no JSON export of Label Studio ({problem}): export as JSON, not JSON-MIN"
        )
    found.sort(key=lambda task: (task.photo, task.number))
    refuse_twice((task.photo for task in found if task.photo), "tasks of photos", file)
    return found


def _task(place: int, task: Any, images: Path) -> Task:
    try:
        number = str(task.get("id", place))
        return Task(_photo(task["data"], images), number, _annotations(task))
    except (*MALFORMED, OSError) as error:  # a path may be too long to look for
        return Task("", f"at place {place}", None, error_text(error))


def _annotations(task: Mapping[str, Any]) -> Any:
    """Those of a task; earlier versions called them completions."""
    return task["annotations"] if "annotations" in task else task["completions"]


def _photo(data: Mapping[str, Any], images: Path) -> str:
    """The photo of a task, by its path below the folder; where none is there, by its name alone."""
    texts = [value for value in data.values() if isinstance(value, str)]
    first = data.get("image")
    told = first if isinstance(first, str) else next(filter(_is_picture, texts), "")
    parts = [part for part in PurePosixPath(_path(told)).parts if part not in ("/", "..")]
    if not parts:
        raise ValueError(f"data {sorted(data)} name no photo")
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    ends.append(re.sub(r"^[0-9a-f]{8}-", "", parts[-1]))  # of an upload
    there = (end for end in ends if "\0" not in end and (images / end).is_file())
    return next(there, parts[-1])


def _is_picture(text: str) -> bool:
    return PurePosixPath(_path(text)).suffix.lower() in SUFFIXES


def _path(text: str) -> str:
    """The path in an address; of local files it is the query's `d`."""
    address = urlsplit(text)
    return parse_qs(address.query).get("d", [unquote(address.path)])[0]


def _read(file: Path, images: Path, names: Names, unit: Task) -> Iterator[Sample | BadSample]:
    about = f"{file}: task {unit.number}"
    if unit.problem:
        yield BadSample(f"{about}: not readable ({unit.problem})")
        return
    place = Place(images / unit.photo, unit.photo, about, key_of(unit.photo))
    yield from read_drawn(place, partial(_drawing, unit.annotations), names)


def _drawing(annotations: Sequence[Mapping[str, Any]]) -> Drawing:
    usable = [a for a in annotations if not a.get("was_cancelled")]
    if not usable:
        raise BadSample("has no annotation")
    chosen = next((a for a in usable if a.get("ground_truth")), usable[-1])
    regions = [region for region in chosen["result"] if _covers(region)]
    sizes = {(int(r["original_width"]), int(r["original_height"])) for r in regions}
    if len(sizes) > 1:
        raise BadSample(f"has regions of pictures of {len(sizes)} sizes")
    return Drawing([_shape(region) for region in regions], next(iter(sizes), None))


def _covers(region: Mapping[str, Any]) -> bool:
    kind, value = region.get("type"), region.get("value")
    if kind in OTHER_AREAS:
        raise BadSample(f"a region of type {kind!r} is not read")
    return kind in AREAS and isinstance(value, dict) and bool({"rle", "points", "width"} & {*value})


def _shape(region: Mapping[str, Any]) -> Shape:
    value, kind = region["value"], region["type"]
    if region.get("image_rotation"):
        raise BadSample("its picture was turned in the tool, which is not read")
    labels = value.get(kind) or []
    if len(labels) != 1:
        raise BadSample(f"a region has {len(labels)} labels, one is needed")
    size = int(region["original_width"]), int(region["original_height"])
    return Shape(str(labels[0]), _outline(value, size))


def _outline(value: Mapping[str, Any], size: Size) -> Outline:
    across, down = size[0] / 100, size[1] / 100
    if "rle" in value:
        return Patch(0, 0, size, partial(brushed, bytes(value["rle"]), size))
    if "points" in value:
        return Polygon(tuple((float(x) * across, float(y) * down) for x, y in value["points"]))
    left, top = float(value["x"]) * across, float(value["y"]) * down
    right, bottom = left + float(value["width"]) * across, top + float(value["height"]) * down
    corners, angle = rectangle(left, top, right, bottom).points, float(value.get("rotation") or 0)
    return Polygon(turned_about(corners, (left, top), angle) if angle else corners)
