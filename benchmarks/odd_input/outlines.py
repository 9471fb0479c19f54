"""What outlines of a broken instances file may become: nothing that a sound object does not explain."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.odd_input.corpora import boxes, number_of
from benchmarks.odd_input.verdict import expect
from shards.coco import THINGS

FILE = "annotations/instances_val2017.json"


def right_outlines(
    files: Mapping[str, Any], right: Mapping[str, Any], built: Mapping[str, Any]
) -> None:
    """Pixels are as before, as without an object that is broken, or that object's; those of photos
    about which the file says the same are as before."""
    content = files.get(FILE)
    try:
        found = json.loads(content)
    except (ValueError, TypeError, RecursionError):
        return
    for key, sample in built.items():
        number = number_of(key)
        if number is None or key not in right or not _is_listed(found, number):
            continue
        expected = right[key].labels
        expect(sample.labels.shape == expected.shape, f"{key}: a map of another size")
        broken, classes = _broken_objects(found, number)
        labels = sample.labels
        explained = labels == expected
        for left in broken:
            explained |= labels == drawn(number, expected.shape, {left})
        explained |= (labels == drawn(number, expected.shape, broken)) | np.isin(
            labels, sorted(classes)
        )
        expect(explained.all(), f"{key}: pixels that no object explains")


def drawn(number: int, shape: tuple[int, ...], without: set[int]) -> np.ndarray:
    """The label map of a photo's boxes, some left out; the larger lie below."""
    labels = np.zeros(shape, np.int64)
    for name, category, x0, y0, x1, y1 in boxes(number):
        if name not in without:
            labels[y0:y1, x0:x1] = THINGS[category]
    return labels


def _is_listed(found: Any, number: int) -> bool:
    """Whether the photo has its own id in the file; under another it has other objects, or none."""
    try:
        return any(
            photo["id"] == number and photo["file_name"] == f"p{number}.jpg"
            for photo in found["images"]
        )
    except (LookupError, TypeError):
        return True


def _broken_objects(found: Any, number: int) -> tuple[set[int], set[int]]:
    """Ids of the photo's objects that are no longer as they were, and classes that the file gives them."""
    broken, classes, sound = {2 * number, 2 * number + 1}, set(), set()
    try:
        for about in found["annotations"]:
            if about["image_id"] != number:
                continue
            for name, category, x0, y0, x1, y1 in boxes(number):
                box = [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]
                same = about["segmentation"] == [box] and about["category_id"] == category
                if same and about["id"] == name and about["iscrowd"] == 0:
                    sound.add(name)
                    break
            else:
                classes.add(THINGS.get(about["category_id"], -2))
    except (LookupError, TypeError):
        return broken, set(range(81))
    return broken - sound, classes
