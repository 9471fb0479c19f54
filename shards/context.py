"""PASCAL Context: VOC 2010's images with every pixel labelled, by 59 frequent classes or all 459.

The release has one `trainval/<image>.mat` each, whose LabelMap holds ids from 1 to 459, named in
`labels.txt`, and 0 where nothing is labelled. Classes are found there by name: the release lists the 59
in `59_labels.txt` too, but in another order and with three other spellings. Labels count them in order
of id, which is that of their names and, of the 59, the order of mmsegmentation's converted label
maps, which can be read instead: `SegmentationClassContext/<image>.png` with 0 background and 1 to 59.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from jaxtyping import UInt16
from numpy import ndarray
from scipy.io import loadmat

from shards.labelled import Pair, locate, matrix_ids, names_in, need, read_file, read_pair
from shards.sample import Source, key_of
from shards.voc import voc_folder
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import CONTEXT59, CONTEXT60, CONTEXT459, IGNORE, Benchmark
from zeroseg.errors import InputError

ARCHIVE = "VOCtrainval_03-May-2010.tar"
LABELS_ARCHIVE = "PASCAL Context's trainval.tar.gz"
CONVERTED = "SegmentationClassContext"
BY_CLASSES = {59: CONTEXT59, 60: CONTEXT60, 459: CONTEXT459}


@dataclass(frozen=True)
class PascalContext:
    """PASCAL Context: VOC 2010's images, by their 59 frequent classes or all 459."""

    root: Path
    """`VOC2010`, `VOCdevkit`, or what holds that; annotations lie in it or in `VOC2010`."""
    split: str = "val"
    """train (4,998 images), val (5,105) or trainval."""
    classes: Literal[59, 60, 459] = 60
    """60: 0 is background, all that is none of the 59; 59: that is ignored, and they count from 0; 459:
    all that the release names count from 0, and what nobody labelled is ignored."""

    def source(self) -> Source:
        """The release's annotations go before converted ones, which have the 59 alone.

        The list is `ImageSets/SegmentationContext`, which the conversion writes, or else
        `ImageSets/Main`: those two splits are the dataset's own, unlike the few images of
        `ImageSets/Segmentation`. Raises InputError when a part is missing, or `labels.txt` lacks one
        of the classes.
        """
        benchmark = BY_CLASSES.get(self.classes)
        if benchmark is None:
            raise InputError(
                f"PASCAL Context has 59 classes, 60 with background or 459 in all, not {self.classes}"
            )
        folder = voc_folder(self.root, "VOC2010", ARCHIVE, "JPEGImages", "ImageSets")
        lists = [
            folder / f"ImageSets/{kind}/{self.split}.txt"
            for kind in ("SegmentationContext", "Main")
        ]
        names = names_in(need(lists[not lists[0].exists()], "PASCAL Context", ARCHIVE))
        released = any((place / "trainval").exists() for place in (self.root, folder))
        if (folder / CONVERTED).exists() and not released and self.classes != 459:
            labels, suffix, decode = folder / CONVERTED, "png", label_ids
            table = table_of(dict(enumerate(CONTEXT60.classes)), benchmark) | {255: IGNORE}
        else:
            parts = dict.fromkeys(("trainval", "labels.txt"), LABELS_ARCHIVE)
            place = locate((self.root, folder), "PASCAL Context", parts)
            labels, suffix, decode = place / "trainval", "mat", label_map
            table = table_of(names_by_id(place / "labels.txt", benchmark.names), benchmark)
        return Source(
            units=[
                Pair(key_of(f"{n}.jpg"), folder, f"JPEGImages/{n}.jpg", labels / f"{n}.{suffix}")
                for n in names
            ],
            read=partial(read_pair, table, decode),
            classes=benchmark.classes,
            built_from={"kind": "context", "source": str(self.root), "split": self.split}
            | {"classes": str(self.classes), "annotations": labels.name},
        )


def names_by_id(path: Path, classes: Sequence[str]) -> dict[int, str]:
    """Names of ids in a `labels.txt` (lines `id: name`), without their spaces.

    Raises InputError when one of the classes is not there.
    """
    text = read_file(path).decode("utf-8-sig", "replace")
    lines = re.findall(r"^\s*(\d{1,9})\s*:(.+)$", text, re.MULTILINE)
    named = {int(i): joined(name) for i, name in lines}
    there = {*named.values()}
    if absent := [name for name in classes if joined(name) not in there]:
        raise InputError(f"{path} does not name {absent[0]!r}: unpack {LABELS_ARCHIVE}")
    return named


def table_of(named: Mapping[int, str], benchmark: Benchmark) -> dict[int, int]:
    """The benchmark's label of each id; of 0 and of other names background, or IGNORE without one."""
    labels = {joined(name): label for label, name in enumerate(benchmark.classes)}
    rest = 0 if benchmark.background else IGNORE
    return {0: rest} | {i: labels.get(name, rest) for i, name in named.items()}


def joined(name: str) -> str:
    """A name as lists without spaces have it."""
    return name.replace(" ", "").strip()


def label_map(data: bytes) -> UInt16[ndarray, "height width"]:
    """Ids of one of the release's `trainval/*.mat`."""
    return matrix_ids(loadmat(io.BytesIO(data), variable_names=["LabelMap"])["LabelMap"])
