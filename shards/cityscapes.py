"""Cityscapes with fine annotations, by the 19 classes that its benchmark scores.

Label maps (`*_gtFine_labelIds.png`) hold ids from 0 to 33; which of them are scored, and their
order, is the column `trainId` of cityscapesScripts' table of labels. The rest becomes 255.
"""

from functools import partial
from pathlib import Path

from shards.labelled import locate, paired, png_ids, read_pair
from shards.sample import Source
from zeroseg.data.benchmarks import IGNORE

CITYSCAPES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Ids of the scored classes, in the order of their labels."""
IDS = dict.fromkeys(range(34), IGNORE) | {i: label for label, i in enumerate(CITYSCAPES)}


def cityscapes(root: Path, split: str = "val") -> Source:
    """A split, train (2,975 images) or val (500); the root holds `leftImg8bit` and `gtFine`.

    Keys are `<city>/<image>`. Raises InputError when a folder is missing.
    """
    images, labels = f"leftImg8bit/{split}", f"gtFine/{split}"
    parts = {images: "leftImg8bit_trainvaltest.zip", labels: "gtFine_trainvaltest.zip"}
    folder = locate((root,), "Cityscapes", parts)
    return Source(
        units=paired(
            folder,
            images,
            folder / labels,
            suffixes=(".png",),
            image_end="_leftImg8bit",
            labels_end="_gtFine_labelIds",
        ),
        read=partial(read_pair, IDS, png_ids),
        classes=tuple(CITYSCAPES.values()),
        built_from={"kind": "cityscapes", "source": str(root), "split": split},
    )
