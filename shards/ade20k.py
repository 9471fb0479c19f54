"""ADE20K's 150 classes, as the scene parsing challenge of 2016 released them.

Label maps hold 1 to 150, which become 0 to 149, and 0 for everything else, which becomes 255.
"""

from functools import partial
from pathlib import Path

from shards.labelled import locate, paired, png_ids, read_pair
from shards.sample import Source
from zeroseg.datasets.benchmarks import ADE150, IGNORE

ARCHIVE = "ADEChallengeData2016.zip"
IDS = {0: IGNORE} | {i: i - 1 for i in range(1, 151)}


def ade20k(root: Path, split: str = "validation") -> Source:
    """A split, training (20,210 images) or validation (2,000).

    The root is `ADEChallengeData2016` or what holds it. Raises InputError when a folder is missing.
    """
    parts = dict.fromkeys((f"images/{split}", f"annotations/{split}"), ARCHIVE)
    folder = locate((root, root / "ADEChallengeData2016"), "ADE20K", parts)
    return Source(
        units=paired(folder, f"images/{split}", folder / f"annotations/{split}"),
        read=partial(read_pair, IDS, png_ids),
        classes=ADE150.classes,
        built_from={"kind": "ade20k", "source": str(root), "split": split},
    )
