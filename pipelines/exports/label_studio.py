"""Label Studio's JSON of tasks: a class of a picture is a region of `BrushLabels`, in the run lengths of brushes.

These are no COCO run lengths: `shards/label_studio_runs.py` says what they are. Photos are named as local files
below the folder that Label Studio serves (`LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`), or by their URL. The answer is
an annotation, so that it is corrected as if a person had drawn it. `label-studio.xml` is the labelling interface.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from pipelines.exports.pictures import (
    LabelledPicture,
    Legend,
    listed,
    runs_of,
    whole_file,
)
from zeroseg.store.storage import write_atomically

BRUSH, IMAGE = "tag", "image"
"""Names of the interface's tags."""
_LENGTHS = (3, 4, 8, 16)
"""Bits of a run's length that a block chooses between."""


def write(folder: Path, pictures: Iterable[LabelledPicture], legend: Legend) -> Path:
    """Write `label-studio.json` and `label-studio.xml`; return the path of the first."""
    path = folder / "label-studio.json"
    write_atomically(str(path.with_suffix(".xml")), _interface(legend).encode())
    with whole_file(path) as file:
        listed(file, _tasks(pictures, legend))
    return path


def _interface(legend: Legend) -> str:
    view = Element("View")
    SubElement(view, "Image", {"name": IMAGE, "value": "$image", "zoom": "true"})
    brush = SubElement(view, "BrushLabels", {"name": BRUSH, "toName": IMAGE})
    for label in legend.outlined:
        about = {"value": legend.classes[label], "background": legend.hexadecimal(label)}
        SubElement(brush, "Label", about)
    return f"{tostring(view, 'unicode')}\n"


def _tasks(pictures: Iterable[LabelledPicture], legend: Legend) -> Iterator[str]:
    for number, picture in enumerate(pictures, 1):
        is_url = "://" in picture.where and not picture.is_local
        place = quote(picture.name, errors="surrogateescape")  # a name may be no UTF-8
        photo = picture.where if is_url else f"/data/local-files/?d={place}"
        regions = [_region(legend.classes[label], mask) for label, mask in picture.masks(legend)]
        yield json.dumps(
            {"id": number, "data": {"image": photo}, "annotations": [{"result": regions}]}
        )


def _region(name: str, mask: Bool[ndarray, "height width"]) -> dict[str, Any]:
    return {
        "type": "brushlabels",
        "from_name": BRUSH,
        "to_name": IMAGE,
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": list(packed(mask)), "brushlabels": [name]},
    }


def packed(mask: Bool[ndarray, "height width"]) -> bytes:
    """A mask as brushes keep it: four values a pixel of 8 bits each, 255 where it is set, else 0."""
    longest = 1 << _LENGTHS[-1]
    bits = [f"{4 * mask.size:032b}", f"{8 - 1:05b}", *(f"{width - 1:04b}" for width in _LENGTHS)]
    for turn, run in enumerate(runs_of(mask.ravel())):
        value = f"{255 * (turn % 2):08b}"
        for start in range(0, 4 * run, longest):
            length = min(4 * run - start, longest) - 1
            choice = next(i for i, width in enumerate(_LENGTHS) if length < 1 << width)
            bits.append(f"1{choice:02b}{length:0{_LENGTHS[choice]}b}{value}")
    stream = np.frombuffer("".join(bits).encode(), np.uint8) - ord("0")
    return np.packbits(stream).tobytes()
