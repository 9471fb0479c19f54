"""COCO's photos with label maps: the 80 things as outlines, or things and stuff as pixels.

COCO numbers its categories from 1 to 182, 80 things and 91 stuff; 11 numbers are of things that
were dropped before the release.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from shards.folder import SUFFIXES, distinct_keys
from shards.instances import Outlined, outlined, read_outlined
from shards.labelled import need, need_package, paired, read_pair
from shards.sample import Source
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import COCO_OBJECT, COCO_STUFF171, COCO_STUFF182, IGNORE
from zeroseg.datasets.class_names import COCO_ABSENT
from zeroseg.errors import InputError

THINGS = {
    category: label
    for label, category in enumerate((i for i in range(1, 92) if i not in COCO_ABSENT), 1)
}
"""COCO-Object's label, 1 to 80, of each thing."""
USED = [i for i in range(1, 183) if i not in COCO_ABSENT]
"""Categories in the order of COCO-Stuff's labels."""
NAMES = dict(enumerate(COCO_STUFF182.classes, 1))
"""Of each category, 1 to 182."""
MASK_IDS = dict.fromkeys(range(255), 0) | THINGS | {255: IGNORE}
"""COCO-Object's labels of category ids."""
CLASSES = {
    182: COCO_STUFF182.classes,
    171: COCO_STUFF171.classes,
    81: COCO_OBJECT.classes,
}
"""By number of classes: names in order of label."""
PIXEL_IDS: dict[int, dict[int, int]] = {
    182: {i: i for i in range(182)} | {255: IGNORE},
    171: dict.fromkeys((*range(182), 255), IGNORE) | {i - 1: n for n, i in enumerate(USED)},
    81: dict.fromkeys((*range(182), 255), 0) | {i - 1: n for i, n in THINGS.items()},
}
"""By number of classes: labels of the pixel values of the stuff-and-things maps."""


@dataclass(frozen=True)
class COCOObject:
    """COCO-Object: background and 80 things, drawn from outlines."""

    root: Path
    """It holds `<split>` and `annotations/instances_<split>.json`."""
    split: str = "val2017"
    """train2017 or val2017."""
    images: Path | None = None
    """Folder of the photos, where it is not `<split>`."""
    annotations: Path | None = None
    """JSON file, where it is not `annotations/instances_<split>.json`."""

    def source(self) -> Source:
        """Larger objects are drawn first, by the pixels they cover, so that none hides a smaller
        one; crowds are drawn like any object, and photos without any object are all background.
        An outline of fewer than three points covers nothing; a photo with a malformed one is left out.

        Raises InputError when a part is missing, the file is not COCO's, two photos would have one
        key, or pycocotools is not installed.
        """
        need_package("pycocotools", "COCO-Object")
        photos = need(self.images or self.root / self.split, "COCO-Object", f"{self.split}.zip")
        usual = self.root / f"annotations/instances_{self.split}.json"
        file = need(self.annotations or usual, "COCO-Object", "annotations_trainval2017.zip")
        units = outlined(file, THINGS, NAMES)
        distinct_keys(str(photos), (unit.file for unit in units if isinstance(unit, Outlined)))
        return Source(
            units=units,
            read=partial(read_outlined, photos),
            classes=COCO_OBJECT.classes,
            built_from={"kind": "coco-object", "source": str(self.root), "split": self.split}
            | {"images": str(photos), "annotations": str(file)},
        )


@dataclass(frozen=True)
class COCOStuff:
    """COCO-Stuff 164k: things and stuff, from its pixel maps."""

    root: Path
    """It holds `<split>` with the photos, and the maps in `stuffthingmaps/<split>` or there too."""
    split: str = "val2017"
    """train2017 or val2017."""
    ids: Literal[171, 182, 81] = 171
    """171: the used categories count from 0, the absent are ignored; 182: pixels stay as they are; 81:
    COCO-Object as GroupViT's conversion has it, 80 things from 1 and all else background 0."""

    def source(self) -> Source:
        """A pixel of a map is a category id less one, or 255 where nothing is labelled.

        Published scores of COCO-Object rest on 81. Raises InputError when a part is missing.
        """
        if self.ids not in PIXEL_IDS:
            raise InputError(
                f"COCO-Stuff has 171 classes, 182 ids or 81 for COCO-Object, not {self.ids}"
            )
        need(self.root / self.split, "COCO-Stuff", f"{self.split}.zip")
        maps = self.root / "stuffthingmaps" / self.split
        if not maps.exists() and any((self.root / self.split).glob("*.png")):
            maps = self.root / self.split
        need(maps, "COCO-Stuff", "stuffthingmaps_trainval2017.zip")
        return Source(
            units=paired(self.root, self.split, maps),
            read=partial(read_pair, PIXEL_IDS[self.ids], label_ids),
            classes=CLASSES[self.ids],
            built_from={
                "kind": "coco-stuff",
                "source": str(self.root),
                "split": self.split,
                "ids": str(self.ids),
            },
        )


@dataclass(frozen=True)
class COCOMasks:
    """COCO-Object from 8-bit PNG masks of category ids.

    1 to 90 are things, 0 unlabelled, above 90 stuff, 255 ignored; all but things and 255 become
    background.
    """

    images: Path
    """Folder of the photos."""
    masks: Path
    """Folder of the masks, each of the same name and place as its photo."""

    def source(self) -> Source:
        """Raises InputError when a folder is missing or holds no photo."""
        need(self.images, "COCO-Object", "the photos there")
        need(self.masks, "COCO-Object", "the masks there")
        others = sorted(SUFFIXES - {".jpg"})
        return Source(
            units=paired(self.images, "", self.masks, suffixes=(".jpg", *others)),
            read=partial(read_pair, MASK_IDS, label_ids),
            classes=COCO_OBJECT.classes,
            built_from={"kind": "coco-masks", "source": str(self.images), "masks": str(self.masks)},
        )
