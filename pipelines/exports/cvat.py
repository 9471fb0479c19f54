"""CVAT's XML "for images", version 1.1: a class of a picture is a mask.

Images have the names that they have below the folder of photos, as CVAT names those of a task. A mask's runs
are outside and inside by turns, row after row of its own rectangle, whose lowest corner counts too.
"""

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from pipelines.exports.pictures import LabelledPicture, Legend, box_of, runs_of, whole_file


def write(folder: Path, pictures: Iterable[LabelledPicture], legend: Legend) -> Path:
    """Write `cvat.xml` and return its path."""
    path = folder / "cvat.xml"
    with whole_file(path) as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        )
        file.write(f"{tostring(_meta(legend), 'unicode')}\n")
        for number, picture in enumerate(pictures):
            file.write(f"{tostring(_image(number, picture, legend), 'unicode')}\n")
        file.write("</annotations>\n")
    return path


def _meta(legend: Legend) -> Element:
    """The task's labels, background among them, since readers draw the rest as that."""
    meta = Element("meta")
    labels = SubElement(SubElement(meta, "task"), "labels")
    for index, name in enumerate(legend.classes):
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "color").text = legend.hexadecimal(index)
        SubElement(label, "attributes")
    return meta


def _image(number: int, picture: LabelledPicture, legend: Legend) -> Element:
    height, width = picture.labels.shape
    about = {"id": number, "name": picture.name, "width": width, "height": height}
    image = Element("image", {name: str(value) for name, value in about.items()})
    for label, mask in picture.masks(legend):
        left, top, right, bottom = box_of(mask)
        runs = runs_of(mask[top:bottom, left:right].ravel())
        place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        about = {"label": legend.classes[label], "source": "auto", "occluded": 0, "z_order": 0}
        fields = about | place | {"rle": ", ".join(map(str, runs))}
        SubElement(image, "mask", {name: str(value) for name, value in fields.items()})
    return image
