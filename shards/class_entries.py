"""Classes as text, CSV and JSON list them: names, with ids or colours or neither."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from zeroseg.datasets.benchmarks import IGNORE

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_NAMES = ("name", "class_name", "classname", "class", "category", "label")
_IDS = ("id", "label_id", "class_id", "index", "idx", "value", "pixel_value")
_COLOURS = ("color", "colour", "rgb", "hex")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
"""Headings of a CSV file's columns, the surest first."""
_LISTS = ("classes", "categories", "labels", "names", "id2label")
"""Under what other JSON files keep their class list."""
_NUMBERED = re.compile(r"\s*(\d+)(?:\s*:\s*|\s+)(\S.*)")
"""A line of text that begins with its id."""
_LABELMAP = re.compile(r"(.+?):(\d{1,3},\d{1,3},\d{1,3})(?::.*)?")
"""A line of CVAT's labelmap."""


class Entry(NamedTuple):
    """One class as a file lists it."""

    name: str
    id: int | None = None
    colour: Colour | None = None


def parse_colour(text: str) -> Colour | None:
    """The colour that `#rrggbb` or `r,g,b` says; None for other text."""
    if found := re.fullmatch(r"#([0-9a-fA-F]{6})", text.strip()):
        return (*bytes.fromhex(found[1]),)  # type: ignore[return-value]
    numbers = re.fullmatch(
        r"[(\[]?\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*[)\]]?", text.strip()
    )
    return _colour([int(n) for n in numbers.groups()]) if numbers else None


def _colour(values: Sequence[int]) -> Colour:
    red, green, blue = values
    if not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
        raise ValueError(f"{list(values)} is no colour: give three numbers from 0 to 255")
    return red, green, blue


def _id(value: object) -> int:
    try:
        found = int(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no id: give a whole number") from None
    if not 0 <= found <= IGNORE:
        raise ValueError(f"id {found} is not from 0 to {IGNORE}")
    return found


def labelmap_entries(text: str) -> Iterator[Entry]:
    """Names and colours of lines `name:r,g,b:parts:actions`, as CVAT writes them; `#` begins a comment.

    Raises ValueError naming a line that is none.
    """
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            found = _LABELMAP.fullmatch(line)
            if found is None:
                raise ValueError(f"line {line!r} is not `name:r,g,b::`")
            yield Entry(found[1], colour=parse_colour(found[2]))


def in_text(text: str) -> Iterator[Entry]:
    """Of text, a name a line; with an id before every name; or CVAT's labelmap."""
    lines = text.rstrip().splitlines()
    if lines and all(_LABELMAP.fullmatch(line) or line.startswith("#") for line in lines):
        yield from labelmap_entries(text)
        return
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    for number, (line, found) in enumerate(zip(lines, numbered, strict=True), 1):
        if not line.strip():
            raise ValueError(f"line {number} is empty, and every line is a class: remove it")
        yield Entry(found[2], _id(found[1])) if found and all(numbered) else Entry(line)


def in_csv(text: str) -> Iterator[Entry]:
    """Of CSV, whose first row may head the columns."""
    first = text.split("\n", 1)[0].lower()
    headings = (d for d in "\t,;" if any(c.strip(' "\r') in _NAMES for c in first.split(d)))
    delimiter = next(headings, next((d for d in "\t,;" if d in first), ","))
    rows = [r for r in csv.reader(io.StringIO(text), delimiter=delimiter) if any(map(str.strip, r))]
    if not rows:
        return
    heads = [cell.strip().lower() for cell in rows[0]]
    headed = any(head in _NAMES for head in heads)
    columns = _headed(heads) if headed else _guessed(rows[0])
    for row in rows[1:] if headed else rows:
        if len(row) < len(heads) or any(map(str.strip, row[len(heads) :])):
            raise ValueError(
                f"row {row} has not as many fields as the first: quote names with commas"
            )
        cell = {name: row[place].strip() for name, place in columns.items()}
        channels = [cell[c] for c in "rgb" if c in cell]
        colour = _colour([_id(c) for c in channels]) if len(channels) == 3 else None
        if cell.get("colour"):
            colour = parse_colour(cell["colour"])
            if colour is None:
                raise ValueError(f"{cell['colour']!r} is no colour: give #rrggbb or r,g,b")
        yield Entry(cell["name"], _id(cell["id"]) if "id" in cell else None, colour)


def _headed(heads: Sequence[str]) -> dict[str, int]:
    """Columns by what they hold, of a first row that says it."""
    wanted = {"name": _NAMES, "id": _IDS, "colour": _COLOURS}
    wanted |= dict(zip("rgb", _CHANNELS, strict=True))
    found = {n: next((h for h in words if h in heads), None) for n, words in wanted.items()}
    return {name: heads.index(head) for name, head in found.items() if head is not None}


def _guessed(row: Sequence[str]) -> dict[str, int]:
    """The same by a first row that is a class: a name, and no number, an id, three or four numbers."""
    numbers = [place for place, cell in enumerate(row) if cell.strip().isdigit()]
    colours = [p for p, cell in enumerate(row) if p not in numbers and parse_colour(cell)]
    names = [p for p in range(len(row)) if p not in numbers and p not in colours]
    kinds = {0: "", 1: ("id",), 3: "rgb", 4: ("id", *"rgb")}
    if len(names) != 1 or len(colours) > 1 or len(numbers) not in kinds:
        raise ValueError(f"row {list(row)} is no class: head the columns with name, id or r, g, b")
    found = dict(zip(kinds[len(numbers)], numbers, strict=True))
    return {"name": names[0]} | found | ({"colour": colours[0]} if colours else {})


def in_json(text: str) -> Iterator[Entry]:
    """Of JSON: names, objects, `{id: name}`, `{name: id}` or `{name: colour}`; or of a file that has one of
    these inside."""
    content = json.loads(text)
    if isinstance(content, dict):  # a benchmark file is a class list, too, and COCO's has one
        content = next((content[key] for key in _LISTS if _is_list(content.get(key))), content)
    if isinstance(content, list):
        yield from map(_of_list, content)
    elif isinstance(content, dict):
        yield from (_of_pair(key, value) for key, value in content.items())
    else:
        raise ValueError("a list of names, {id: name} or {name: colour} is needed")


def _is_list(value: Any) -> bool:
    """Whether this is a class list inside a JSON file, and no colour of a class."""
    items = value if isinstance(value, list) else []
    return isinstance(value, dict) or any(isinstance(item, str | dict) for item in items)


def _of_list(item: Any) -> Entry:
    if isinstance(item, dict):
        place = next((item[key] for key in _IDS if key in item), None)
        colour = next((item[key] for key in _COLOURS if key in item), None)
        name = next(item[key] for key in _NAMES if key in item)
        found = None if colour is None else _json_colour(colour)
        return Entry(_name(name), None if place is None else _id(place), found)
    return Entry(_name(item))


def _of_pair(key: str, value: Any) -> Entry:
    """`{id: name}`, `{name: id}` or `{name: colour}`."""
    if isinstance(value, list) or (isinstance(value, str) and parse_colour(value)):
        return Entry(key, colour=_json_colour(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Entry(key, _id(value))
    return Entry(_name(value), _id(key))


def _json_colour(value: Any) -> Colour:
    found = parse_colour(value) if isinstance(value, str) else _colour(value)
    if found is None:
        raise ValueError(f"{value!r} is no colour: give #rrggbb or three numbers")
    return found


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no name: give text in quotes")
    return value
