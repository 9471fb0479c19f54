"""PASCAL Context: VOC 2010's images with every pixel labelled, by its 59 frequent classes.

The release has one `trainval/<image>.mat` each, whose LabelMap holds ids from 1 to 459, named in
`labels.txt`. The 59 are found there by name: the release lists them in `59_labels.txt` too, but in
another order and with three other spellings. Labels count them in order of id, which is that of
their names and the order of mmsegmentation's converted label maps, which can be read instead:
`SegmentationClassContext/<image>.png` with 0 background and 1 to 59.
"""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from jaxtyping import UInt
from numpy import ndarray
from scipy.io import loadmat

from shards.labelled import Pair, locate, names_in, need, read_pair
from shards.sample import Source, key_of
from shards.voc import voc_folder
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import CONTEXT59, CONTEXT60, IGNORE
from zeroseg.errors import InputError

ARCHIVE = "VOCtrainval_03-May-2010.tar"
LABELS_ARCHIVE = "PASCAL Context's trainval.tar.gz"
CONVERTED = "SegmentationClassContext"


@dataclass(frozen=True)
class PascalContext:
    """PASCAL Context: VOC 2010's images, by their 59 frequent classes."""

    root: Path
    """`VOC2010`, `VOCdevkit`, or what holds that; annotations lie in it or in `VOC2010`."""
    split: str = "val"
    """train (4,998 images), val (5,105) or trainval."""
    classes: Literal[59, 60] = 60
    """60: 0 is background, all that is none of the 59; 59: that is ignored, and they count from 0."""

    def source(self) -> Source:
        """The release's annotations go before converted ones.

        The list is `ImageSets/SegmentationContext`, which the conversion writes, or else
        `ImageSets/Main`: those two splits are the dataset's own, unlike the few images of
        `ImageSets/Segmentation`. Raises InputError when a part is missing, or `labels.txt` lacks one
        of the 59.
        """
        if self.classes not in (59, 60):
            raise InputError(
                f"PASCAL Context has 59 classes or 60 with background, not {self.classes}"
            )
        folder = voc_folder(self.root, "VOC2010", ARCHIVE, "JPEGImages", "ImageSets")
        lists = [
            folder / f"ImageSets/{kind}/{self.split}.txt"
            for kind in ("SegmentationContext", "Main")
        ]
        names = names_in(need(lists[not lists[0].exists()], "PASCAL Context", ARCHIVE))
        released = any((place / "trainval").exists() for place in (self.root, folder))
        if (folder / CONVERTED).exists() and not released:
            labels, suffix, decode = folder / CONVERTED, "png", label_ids
            numbered = {i: i for i in range(60)} | {255: IGNORE}
        else:
            parts = dict.fromkeys(("trainval", "labels.txt"), LABELS_ARCHIVE)
            place = locate((self.root, folder), "PASCAL Context", parts)
            labels, suffix, decode = place / "trainval", "mat", label_map
            numbered = numbers(place / "labels.txt")
        first = 60 - self.classes
        label = {n: n - first if n >= first else IGNORE for n in range(60)} | {IGNORE: IGNORE}
        return Source(
            units=[
                Pair(key_of(f"{n}.jpg"), folder, f"JPEGImages/{n}.jpg", labels / f"{n}.{suffix}")
                for n in names
            ],
            read=partial(read_pair, {i: label[n] for i, n in numbered.items()}, decode),
            classes=(CONTEXT59 if self.classes == 59 else CONTEXT60).classes,
            built_from={"kind": "context", "source": str(self.root), "split": self.split}
            | {"classes": str(self.classes), "annotations": labels.name},
        )


def numbers(path: Path) -> dict[int, int]:
    """The place, from 1, of each id of a `labels.txt` (lines `id: name`) among the 59, else 0.

    Raises InputError when one of the 59 is not there.
    """
    ids: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        number, _, name = line.partition(":")
        if name and number.strip().isdigit():
            ids.setdefault(name.replace(" ", ""), int(number))
    if absent := set(CONTEXT59.classes) - ids.keys():
        raise InputError(f"{path} does not name {min(absent)!r}: unpack {LABELS_ARCHIVE}")
    rest = dict.fromkeys((0, *ids.values()), 0)
    return rest | {ids[name]: number for number, name in enumerate(CONTEXT59.classes, 1)}


def label_map(data: bytes) -> UInt[ndarray, "height width"]:
    """Ids of one of the release's `trainval/*.mat`."""
    return loadmat(io.BytesIO(data), variable_names=["LabelMap"])["LabelMap"]
