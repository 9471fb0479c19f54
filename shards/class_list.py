"""Class lists as people keep them: names in a text, CSV or JSON file, with ids or colours or neither."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from shards.class_entries import Colour, Entry, in_csv, in_json, in_text
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.own_benchmarks import called_background, spelled, synonyms
from zeroseg.errors import InputError


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
    kinds = {".json": in_json, ".csv": in_csv, ".tsv": in_csv}
    try:
        entries = list(kinds.get(path.suffix.lower(), in_text)(text))
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


def refuse_twice(values: Iterable[object], kind: str, where: object) -> None:
    """Raises InputError naming the first value that comes twice, if one does."""
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise InputError(f"{where} has {kind} that come twice, the first {twice[0]!r}: remove one")
