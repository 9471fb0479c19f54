"""LabelMe's JSON, a file for each picture: a class of it is a shape of type `mask`, which LabelMe 5.3 brought.

A file names its photo by the path from itself, so that LabelMe opens the folder as it is; of a picture that
is no file of this machine it holds the photo.
"""

import base64
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from pipelines.exports.pictures import LabelledPicture, Legend, box_of
from shards.sample import encoded, error_text
from zeroseg.errors import InputError
from zeroseg.store.storage import write_atomically

VERSION = "5.3.0"
"""Of the format."""


def write(folder: Path, pictures: Iterable[LabelledPicture], legend: Legend) -> Path:
    """Write `labelme/<path of the picture>.json` for each picture; return the folder of them."""
    folder = folder / "labelme"
    for picture in pictures:
        file = folder / f"{picture.stem}.json"
        text = json.dumps(_content(file, picture, legend))
        write_atomically(str(file), text.encode())
    return folder


def _content(file: Path, picture: LabelledPicture, legend: Legend) -> dict[str, Any]:
    height, width = picture.labels.shape
    photo = os.path.relpath(picture.where, file.parent) if picture.is_local else picture.name
    inside = None if picture.is_local else base64.b64encode(_photo(picture)).decode("ascii")
    return {
        "version": VERSION,
        "flags": {},
        "shapes": [_shape(legend.classes[label], mask) for label, mask in picture.masks(legend)],
        "imagePath": Path(photo).as_posix(),
        "imageData": inside,
        "imageHeight": height,
        "imageWidth": width,
    }


def _photo(picture: LabelledPicture) -> bytes:
    """Its file. Raises InputError where that cannot be had any more."""
    try:
        return picture.read()
    except InputError:
        raise
    except Exception as error:  # whatever a storage makes of what is gone
        raise InputError(
            f"{picture.where} cannot be read again for --export labelme ({error_text(error)}): mend it, or leave "
            "labelme out"
        ) from error


def _shape(name: str, mask: Bool[ndarray, "height width"]) -> dict[str, Any]:
    """A mask in its box, whose last corner is the last pixel."""
    left, top, right, bottom = box_of(mask)
    part = encoded(mask[top:bottom, left:right].astype(np.uint8) * 255, "png")
    return {
        "label": name,
        "points": [[left, top], [right - 1, bottom - 1]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(part).decode("ascii"),
    }
