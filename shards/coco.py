"""COCO photos with semantic masks, as COCO-Object shards: 80 things and background.

Masks are 8-bit PNGs of COCO's own category ids, as in its panoptic and stuff releases: 1 to 90 are
things (with gaps), 0 is unlabelled, above 90 is stuff. Here things become 1 to 80 in order and
everything else becomes background, 0.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from shards.folder import checked_bytes, key_of, photos
from shards.writer import Sample, encoded, write_shards
from zeroseg.data.benchmarks import COCO_OBJECT
from zeroseg.errors import InputError

ABSENT_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""Ids between 1 and 90 that COCO's 80 things leave out."""


def object_table() -> np.ndarray:
    """What each of 256 category ids becomes."""
    table = np.zeros(256, np.uint8)
    things = [i for i in range(1, 91) if i not in ABSENT_IDS]
    assert len(things) == len(COCO_OBJECT.names)
    table[things] = np.arange(1, len(things) + 1)
    table[255] = 255
    return table


def write(
    images: Path, masks: Path, destination: Path, name: str = "val", per_shard: int = 500
) -> None:
    """Write images that have a mask of the same name as `destination/<name>-NNNNNN.tar`."""
    table = object_table()

    def samples() -> Iterator[Sample]:
        for path in files:
            mask = masks / path.relative_to(images).with_suffix(".png")
            if not mask.is_file():
                raise InputError(f"image {path} has no mask {mask}: add it or remove the image")
            with Image.open(mask) as picture:
                ids = np.array(picture)
            if ids.ndim != 2 or ids.dtype != np.uint8:
                raise InputError(f"mask {mask} is not one 8-bit channel of category ids")
            yield Sample(key_of(path, images), checked_bytes(path), encoded(table[ids], "png"))

    files = photos(images)
    write_shards(samples(), destination, name, per_shard=per_shard, total=len(files))
