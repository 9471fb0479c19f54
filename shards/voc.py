"""PASCAL VOC 2012 segmentation, and its training split augmented by SBD.

The label ids are the labels: 0 background, 1 to 20 objects, 255 the unlabelled outline of objects.
SBD (Semantic Boundaries Dataset, Hariharan et al., ICCV 2011) has the same ids without 255.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt16
from numpy import ndarray
from scipy.io import loadmat

from shards.labelled import Pair, locate, matrix_ids, names_in, read_pair
from shards.sample import BadSample, Sample, Source, key_of
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import IGNORE, VOC21
from zeroseg.errors import InputError

ARCHIVE = "VOCtrainval_11-May-2012.tar"
SBD_ARCHIVE = "SBD's benchmark.tgz"
IDS = {i: i for i in range(21)} | {255: IGNORE}


@dataclass(frozen=True)
class PascalVOC:
    """PASCAL VOC 2012: background and 20 objects."""

    root: Path
    """`VOC2012`, `VOCdevkit`, or what holds that."""
    split: str = "val"
    """train (1,464 images), val (1,449) or trainval; train_aug (10,582) needs --sbd."""
    sbd: Path | None = None
    """SBD's `benchmark_RELEASE`, its `dataset`, or what holds it: more images for train_aug."""

    def source(self) -> Source:
        """Augmented are all images of either's train and SBD's val that are not in VOC's val, with
        VOC's own label map where it has one.

        Raises InputError when a part of a release is missing.
        """
        if (self.split == "train_aug") != (self.sbd is not None):
            raise InputError(
                "the split train_aug, and no other, is made with SBD: give both the split and the "
                "folder of SBD, or neither"
            )
        splits = ("train", "val") if self.sbd else (self.split,)
        lists = [f"ImageSets/Segmentation/{name}.txt" for name in splits]
        folder = voc_folder(
            self.root, "VOC2012", ARCHIVE, "JPEGImages", "SegmentationClass", *lists
        )
        names, *others = [names_in(folder / path) for path in lists]
        pairs = [
            _pair(folder, name, "JPEGImages", f"SegmentationClass/{name}.png") for name in names
        ]
        if self.sbd:
            pairs = sorted(
                pairs + _augmentation(self.sbd, {*names, *others[0]}), key=lambda p: p.key
            )
        return Source(
            units=pairs,
            read=read,
            classes=VOC21.classes,
            built_from={"kind": "voc", "source": str(self.root), "split": self.split}
            | ({"sbd": str(self.sbd)} if self.sbd else {}),
        )


def read(pair: Pair) -> Iterator[Sample | BadSample]:
    """The one sample of a VOC (.png) or SBD (.mat) label map and its image."""
    decode = segmentation if pair.labels.suffix == ".mat" else label_ids
    return read_pair(IDS, decode, pair)


def segmentation(data: bytes) -> UInt16[ndarray, "height width"]:
    """Class ids of one of SBD's `cls/*.mat`: the field Segmentation of its 1x1 struct GTcls."""
    found = loadmat(io.BytesIO(data), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    return matrix_ids(found)


def voc_folder(root: Path, folder: str, archive: str, *parts: str) -> Path:
    """The folder of one year's release, which holds the parts: the root, or in the VOCdevkit that
    it is or holds. Raises InputError naming a part that is missing."""
    places = (root, root / folder, root / "VOCdevkit" / folder)
    dataset = folder.replace("VOC", "VOC ")
    return locate(places, dataset, dict.fromkeys(parts, archive))


def _augmentation(sbd: Path, known: set[str]) -> list[Pair]:
    """The images of SBD that VOC's lists do not name."""
    places = (sbd, sbd / "dataset", sbd / "benchmark_RELEASE/dataset")
    parts = ("img", "cls", "train.txt", "val.txt")
    folder = locate(places, "SBD", dict.fromkeys(parts, SBD_ARCHIVE))
    names = {name for part in parts[2:] for name in names_in(folder / part)}
    return [_pair(folder, name, "img", f"cls/{name}.mat") for name in names - known]


def _pair(folder: Path, name: str, images: str, labels: str) -> Pair:
    image = f"{images}/{name}.jpg"
    return Pair(key_of(f"{name}.jpg"), folder, image, folder / labels)
