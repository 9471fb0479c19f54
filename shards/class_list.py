"""Class lists as people keep them: names in a text, CSV or JSON file, with ids or colours or neither."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.own_benchmarks import called_background, spelled, synonyms
from zeroseg.errors import InputError

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_NAMES = ("name", "class_name", "classname", "class", "category", "label")
_IDS = ("id", "label_id", "class_id", "index", "idx", "value", "pixel_value")
_COLOURS = ("color", "colour", "rgb", "hex")
_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
"""Headings of a CSV file's columns, the surest first."""


@dataclass(frozen=True)
class ClassList:
    """Names in label order, and what stands for each of them in a label map."""

    names: tuple[str, ...]
    """Commas separate synonyms."""
    ids: Mapping[int, int] = field(default_factory=dict)
    """Label of each id; empty where colours alone are known."""
    colours: Mapping[Colour, int] = field(default_factory=dict)
    """Label of each colour; empty where there are none."""

    @property
    def unlabelled(self) -> int:
        """The label of pixels that nothing was drawn on: background's where that is the first class."""
        return 0 if called_background(self.names) else IGNORE

    @cached_property
    def by_name(self) -> dict[str, int]:
        """Labels by whole name, and by each synonym that is of one class alone."""
        words = [(word, label) for label, name in enumerate(self.names) for word in synonyms(name)]
        owners: dict[str, set[int]] = {}
        for word, label in words:
            owners.setdefault(word, set()).add(label)
        alone = {word: label for word, label in words if len(owners[word]) == 1}
        return alone | {name: label for label, name in enumerate(self.names)}


class Entry(NamedTuple):
    """One class as a file lists it."""

    name: str
    id: int | None = None
    colour: Colour | None = None


def read_class_list(path: Path | None) -> ClassList:
    """The class list in a file: its suffix tells JSON and CSV (.tsv too) from text of a name a line.

    Raises InputError naming file, entry and remedy for what is no list, for names, ids or colours
    that come twice, and where there is no file.
    """
    if path is None:
        raise InputError("which classes? Give --classes FILE: text of a name a line, CSV or JSON")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"class list {path} cannot be read ({error}): check it") from error
    kinds = {".json": _in_json, ".csv": _in_csv, ".tsv": _in_csv}
    try:
        entries = list(kinds.get(path.suffix.lower(), _in_text)(text))
    except (ValueError, TypeError, LookupError, RecursionError, csv.Error) as error:
        raise InputError(f"class list {path}: {error}") from error
    return listed(entries, f"class list {path}")


def listed(entries: Sequence[Entry], where: str) -> ClassList:
    """A class list of entries: in order of id where they have ids, else as they come, and then the place
    is the id where they have no colours either. Raises InputError as `read_class_list`."""
    if not entries:
        raise InputError(f"{where} is empty: name the classes")
    for kind, values in (
        ("ids", [e.id for e in entries if e.id is not None]),
        ("colours", [e.colour for e in entries if e.colour is not None]),
    ):
        if len(values) not in (0, len(entries)):
            raise InputError(f"{where}: some classes have {kind} and some not: give all or none")
        refuse_twice(values, kind, where)
    if any(e.id is not None for e in entries):
        entries = sorted(entries, key=lambda entry: entry.id or 0)
    try:
        names = tuple(spelled(entry.name) for entry in entries)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    refuse_twice(names, "names", where)
    colours = {e.colour: n for n, e in enumerate(entries) if e.colour is not None}
    ids = {e.id: n for n, e in enumerate(entries) if e.id is not None}
    return ClassList(names, ids if ids or colours else {n: n for n in range(len(names))}, colours)


def plain(name: str) -> str:
    """A name as `ClassList.by_name` has it, however its synonyms are separated."""
    return ", ".join(synonyms(name.replace("|", ",")))


def parse_colour(text: str) -> Colour | None:
    """The colour that `#rrggbb` or `r,g,b` says; None for other text."""
    if found := re.fullmatch(r"#([0-9a-fA-F]{6})", text.strip()):
        return (*bytes.fromhex(found[1]),)  # type: ignore[return-value]
    numbers = re.fullmatch(
        r"[(\[]?\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*[)\]]?", text.strip()
    )
    return _colour([int(n) for n in numbers.groups()]) if numbers else None


def refuse_twice(values: Iterable[object], kind: str, where: object) -> None:
    """Raises InputError naming the first value that comes twice, if one does."""
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise InputError(f"{where} has {kind} that come twice, the first {twice[0]!r}: remove one")


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


def _in_text(text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.rstrip().splitlines(), 1):
        if not line.strip():
            raise ValueError(f"line {number} is empty, and every line is a class: remove it")
        yield Entry(line)


def _in_csv(text: str) -> Iterator[Entry]:
    first = text.split("\n", 1)[0]
    delimiter = next((d for d in "\t,;" if d in first), ",")
    rows = [r for r in csv.reader(io.StringIO(text), delimiter=delimiter) if any(map(str.strip, r))]
    if not rows:
        return
    heads = [cell.strip().lower() for cell in rows[0]]
    headed = any(head in _NAMES for head in heads)
    columns = _headed(heads) if headed else _guessed(rows[0])
    for row in rows[1:] if headed else rows:
        if len(row) < len(heads):
            raise ValueError(f"row {row} has fewer fields than the first row")
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


def _in_json(text: str) -> Iterator[Entry]:
    content = json.loads(text)
    if isinstance(content, dict) and isinstance(content.get("classes"), list):
        content = content["classes"]  # a benchmark file is a class list, too
    if isinstance(content, list):
        yield from map(_of_list, content)
    elif isinstance(content, dict):
        yield from (_of_pair(key, value) for key, value in content.items())
    else:
        raise ValueError("a list of names, {id: name} or {name: colour} is needed")


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
