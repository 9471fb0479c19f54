"""The exports by name."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from pipelines.exports import coco, cvat, label_studio, labelme
from pipelines.exports.pictures import LabelledPicture, Legend
from shards.labelled import need_package

Export = Literal["coco", "labelme", "cvat", "label-studio"]
FORMATS: dict[Export, Callable[[Path, Iterable[LabelledPicture], Legend], Path]] = {
    "coco": coco.write,
    "labelme": labelme.write,
    "cvat": cvat.write,
    "label-studio": label_studio.write,
}
"""Writes into a folder what its tool reads, and returns the path of that."""


def check_installed(exports: Sequence[Export]) -> None:
    """Raises InputError where a package is missing that one of them needs."""
    if "coco" in exports:
        need_package("pycocotools", "--export coco")
