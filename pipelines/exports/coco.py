"""COCO's JSON of instances: a class of a picture is an annotation, its mask in COCO's run lengths.

`coco.json` holds categories, images and annotations as pycocotools reads them. Category ids are labels where
label 0 is background, else labels plus one, since COCO counts from 1.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from pipelines.exports.pictures import LabelledPicture, Legend, box_of, listed, whole_file


def write(folder: Path, pictures: Iterable[LabelledPicture], legend: Legend) -> Path:
    """Write `coco.json` and return its path; annotations pass through, images and categories are held."""
    first = 0 if legend.background else 1
    categories = [
        {"id": label + first, "name": legend.classes[label], "supercategory": ""}
        for label in legend.outlined
    ]
    images: list[dict[str, Any]] = []
    path = folder / "coco.json"
    with whole_file(path) as file:
        file.write('{"annotations": ')
        listed(file, _annotations(pictures, legend, first, images))
        file.write(
            f',\n"categories": {json.dumps(categories)},\n"images": {json.dumps(images)}}}\n'
        )
    return path


def _annotations(
    pictures: Iterable[LabelledPicture], legend: Legend, first: int, images: list[dict[str, Any]]
) -> Iterator[str]:
    """The annotations of all pictures as JSON; each picture is added to `images`."""
    number = 0
    for picture in pictures:
        height, width = picture.labels.shape
        image = {"id": len(images) + 1, "file_name": picture.name, "width": width, "height": height}
        images.append(image)
        for label, mask in picture.masks(legend):
            number += 1
            left, top, right, bottom = box_of(mask)
            about = {
                "id": number,
                "image_id": image["id"],
                "category_id": label + first,
                "iscrowd": 0,
                "area": int(mask.sum()),
                "bbox": [left, top, right - left, bottom - top],
                "segmentation": _run_lengths(mask),
            }
            yield json.dumps(about)


def _run_lengths(mask: Bool[ndarray, "height width"]) -> dict[str, Any]:
    from pycocotools.mask import encode  # of the extra `build`

    counts = encode(np.asfortranarray(mask, np.uint8))["counts"]
    text = counts if isinstance(counts, str) else counts.decode("ascii")
    return {"size": list(mask.shape), "counts": text}
