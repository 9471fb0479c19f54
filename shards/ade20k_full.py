"""ADE20K's full release of 2021, `ADE20K_2021_17_01`, by 847 classes.

Beside every `<image>.jpg` lies `<image>_seg.png`, whose red and green tell which object a pixel is of:
red / 10 * 256 + green, the `name_ndx` of the release's JSON files, from 1 to 3,688; 0 is none.
Blue counts the objects of an image. The 847 are those of MaskFormer's label maps, whose table is
`zeroseg/datasets/ade847.txt`; every other object is ignored. MaskFormer makes pictures smaller, to a
short side of 512 pixels; here they stay as they are. No index file of the release is read.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from numpy import ndarray

from shards.labelled import locate, paired, read_pair, refuse_deep_colours
from shards.sample import BadSample, Source
from zeroseg.data.picture_files import opened
from zeroseg.datasets.benchmarks import ADE847, IGNORE
from zeroseg.datasets.class_names import ADE847_SYNONYMS

RELEASE = "ADE20K_2021_17_01"
OBJECTS = 3688
"""Numbers that the release uses, from 1."""
IDS = dict.fromkeys(range(OBJECTS + 1), IGNORE)
IDS |= {number: label for label, number in enumerate(ADE847_SYNONYMS)}


@dataclass(frozen=True)
class ADE20KFull:
    """ADE20K's full release of 2021, by 847 classes."""

    root: Path
    """`ADE20K_2021_17_01` or what holds it."""
    split: str = "validation"
    """training (25,574 images) or validation (2,000)."""

    def source(self) -> Source:
        """Raises InputError when the split's folder is missing."""
        images = f"images/ADE/{self.split}"
        places = (self.root, self.root / RELEASE)
        folder = locate(places, "ADE20K's full release", {images: f"{RELEASE}.zip"})
        return Source(
            units=paired(folder, images, folder / images, labels_end="_seg"),
            read=partial(read_pair, IDS, object_ids),
            classes=ADE847.classes,
            built_from={"kind": "ade20k-full", "source": str(self.root), "split": self.split},
        )


def object_ids(data: bytes) -> UInt16[ndarray, "height width"]:
    """Numbers of objects, of a `_seg.png`. Raises BadSample on any other picture, and what decoders do."""
    with opened(data) as picture:
        if picture.format != "PNG" or picture.mode != "RGB":
            found = f"{picture.format}, mode {picture.mode}"
            raise BadSample(f"a PNG of red, green and blue is needed, this is {found}")
        refuse_deep_colours(picture)
        red, green, _ = np.moveaxis(np.array(picture, np.uint16), 2, 0)
    if strange := np.unique(red[red % 10 > 0]).tolist():
        raise BadSample(f"has a red of {strange[0]}, where the release has tens only")
    return red // 10 * 256 + green
