"""Cityscapes with fine annotations, by the 19 classes that its benchmark scores.

Label maps (`*_gtFine_labelIds.png`) hold ids from 0 to 33; which of them are scored, and their
order, is the column `trainId` of cityscapesScripts' table of labels. The rest is ignored.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shards.labelled import locate, paired, read_pair
from shards.sample import Source
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import CITYSCAPES19, IGNORE

SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Ids of the scored classes, in the order of their labels."""
IDS = dict.fromkeys(range(34), IGNORE) | {i: label for label, i in enumerate(SCORED)}


@dataclass(frozen=True)
class Cityscapes:
    """Cityscapes' fine annotations, by the 19 classes that it scores."""

    root: Path
    """It holds `leftImg8bit` and `gtFine`."""
    split: str = "val"
    """train (2,975 images) or val (500)."""

    def source(self) -> Source:
        """Keys are `<city>/<image>`. Raises InputError when a folder is missing."""
        images, labels = f"leftImg8bit/{self.split}", f"gtFine/{self.split}"
        parts = {images: "leftImg8bit_trainvaltest.zip", labels: "gtFine_trainvaltest.zip"}
        folder = locate((self.root,), "Cityscapes", parts)
        return Source(
            units=paired(
                folder,
                images,
                folder / labels,
                suffixes=(".png",),
                image_end="_leftImg8bit",
                labels_end="_gtFine_labelIds",
            ),
            read=partial(read_pair, IDS, label_ids),
            classes=CITYSCAPES19.classes,
            built_from={"kind": "cityscapes", "source": str(self.root), "split": self.split},
        )
