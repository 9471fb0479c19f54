"""What every export is made of: pictures with label maps, and what the labels mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from jaxtyping import Bool, UInt, UInt8
from numpy import ndarray

from zeroseg.evaluation.pictures import word_colours
from zeroseg.store.local_files import in_room, move


@dataclass(frozen=True)
class Legend:
    """The classes of label maps, and their colours."""

    classes: tuple[str, ...]
    """In label order; commas separate synonyms."""
    background: bool
    """Whether label 0 is all that none of the others is: it has no outline in any export."""

    @cached_property
    def colours(self) -> UInt8[ndarray, "class 3"]:
        """Of each class, by its name."""
        return word_colours(self.classes, background=self.background)

    @property
    def outlined(self) -> range:
        """Labels that are outlined."""
        return range(int(self.background), len(self.classes))

    def hexadecimal(self, label: int) -> str:
        """A class's colour as `#rrggbb`."""
        return f"#{self.colours[label].tobytes().hex()}"


class LabelledPicture(NamedTuple):
    """A picture and the label map over its upright pixels."""

    name: str
    """Its path below the folder that it is of, with its suffix."""
    where: str
    """Its whole path or URL; of a sample its shard and key."""
    is_local: bool
    """Whether that is a file's path."""
    stem: str
    """The path of its answers below their folder, without suffix."""
    labels: UInt[ndarray, "height width"]
    read: Callable[[], bytes]
    """The picture's file. May raise anything."""

    def masks(self, legend: Legend) -> Iterator[tuple[int, Bool[ndarray, "height width"]]]:
        """Each outlined class that is in the picture, and where."""
        for label in np.unique(self.labels).tolist():
            if label in legend.outlined:
                yield label, self.labels == label


def box_of(mask: Bool[ndarray, "height width"]) -> tuple[int, int, int, int]:
    """The first column and row that a mask has, and the first ones behind it."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def runs_of(values: Bool[ndarray, " value"]) -> list[int]:
    """Lengths of runs of what is not set and what is by turns; the first may be 0."""
    edges = np.flatnonzero(np.diff(values)) + 1
    lengths = np.diff([0, *edges, len(values)]).tolist()
    return [0, *lengths] if values[0] else lengths


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Text file that has its name once all of it is written, and its folder as soon as it is begun."""
    with in_room(path.parent, "free some, or choose another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.new")
        try:
            with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
                yield file
            move(part, path)
        finally:
            part.unlink(missing_ok=True)


def listed(file: TextIO, items: Iterator[str]) -> None:
    """Write items as the elements of a JSON list, a line each, as they come."""
    file.write("[")
    for number, item in enumerate(items):
        file.write((",\n" if number else "\n") + item)
    file.write("\n]")
