"""ADE20K's 150 classes, of the scene parsing challenge of 2016.

Label maps hold 1 to 150, which become 0 to 149, and 0 for everything else, which is ignored.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shards.labelled import locate, paired, read_pair
from shards.sample import Source
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import ADE150, IGNORE

ARCHIVE = "ADEChallengeData2016.zip"
IDS = {0: IGNORE} | {i: i - 1 for i in range(1, 151)}


@dataclass(frozen=True)
class ADE20K:
    """ADE20K's 150 classes, of the scene parsing challenge of 2016."""

    root: Path
    """`ADEChallengeData2016` or what holds it."""
    split: str = "validation"
    """training (20,210 images) or validation (2,000)."""

    def source(self) -> Source:
        """Raises InputError when a folder is missing."""
        parts = dict.fromkeys((f"images/{self.split}", f"annotations/{self.split}"), ARCHIVE)
        folder = locate((self.root, self.root / "ADEChallengeData2016"), "ADE20K", parts)
        return Source(
            units=paired(folder, f"images/{self.split}", folder / f"annotations/{self.split}"),
            read=partial(read_pair, IDS, label_ids),
            classes=ADE150.classes,
            built_from={"kind": "ade20k", "source": str(self.root), "split": self.split},
        )
