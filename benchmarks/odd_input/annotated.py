"""Whole inputs of anybody's own classes: label maps with a list, and what annotation tools export."""

import json

import numpy as np

from benchmarks.odd_input.corpora import PHOTOS, Corpus, labelled, photos
from benchmarks.odd_input.pictures import blocks, file_of
from shards import cvat, label_studio, labelme, masks, panoptic

NAMES = b"sky\ncat\ndog\n"
BOX = (2, 3, 9, 8)


def own_masks() -> Corpus:
    """Label maps and a list of names."""

    def release(root):
        return masks.Masks(root / "images", root / "masks", root / "names.txt")

    same, extra = {i: i for i in range(3)}, {"names.txt": NAMES}
    return labelled(release, "images/p{}.jpg", "masks/p{}.png", (0, 1, 2, -1), same, extra=extra)


def _sizes() -> list[tuple[int, int]]:
    """(width, height) of each photo."""
    return [blocks(n, (0,)).shape[::-1] for n in range(PHOTOS)]


def own_labelme() -> Corpus:
    """A JSON file beside each photo."""
    files, (x0, y0, x1, y1) = photos("all/p{}.jpg", (0, 1)), BOX
    for n, (width, height) in enumerate(_sizes()):
        region = {"label": "cat", "points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
        about = {"version": "5.5.0", "flags": {}, "shapes": [region | {"shape_type": "polygon"}]}
        about |= {"imagePath": f"p{n}.jpg", "imageData": None}
        about |= {"imageHeight": height, "imageWidth": width}
        files[f"all/p{n}.json"] = json.dumps(about).encode()
    files["names.txt"] = NAMES
    return Corpus(files, lambda root: labelme.LabelMe(root / "all", classes=root / "names.txt"))


def own_cvat() -> Corpus:
    """One XML file."""
    files, (x0, y0, x1, y1) = photos("images/p{}.jpg", (0, 1)), BOX
    named = "".join(f"<label><name>{n}</name></label>" for n in ("cat", "sky"))
    text = f"<annotations><meta><task><labels>{named}</labels></task></meta>"
    for n, (width, height) in enumerate(_sizes()):
        box = f'<box label="cat" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"/>'
        text += f'<image id="{n}" name="p{n}.jpg" width="{width}" height="{height}">{box}</image>'
    files["annotations.xml"] = f"<?xml version='1.0'?>{text}</annotations>".encode()
    return Corpus(files, lambda root: cvat.CVAT(root / "annotations.xml", root / "images"))


def own_label_studio() -> Corpus:
    """One JSON file of tasks, in percent."""
    files, tasks = photos("images/p{}.jpg", (0, 1)), []
    for n, (width, height) in enumerate(_sizes()):
        box = {
            "x": 10,
            "y": 20,
            "width": 30,
            "height": 40,
            "rotation": 0,
            "rectanglelabels": ["cat"],
        }
        size = {"original_width": width, "original_height": height, "image_rotation": 0}
        found = {"type": "rectanglelabels", "from_name": "l", "to_name": "i", "value": box} | size
        about = {"id": n, "data": {"image": f"/data/local-files/?d=p{n}.jpg"}}
        tasks.append(about | {"annotations": [{"id": n, "result": [found]}]})
    files["tasks.json"] = json.dumps(tasks).encode()
    files["names.txt"] = NAMES

    def release(root):
        return label_studio.LabelStudio(
            root / "tasks.json", root / "images", classes=root / "names.txt"
        )

    return Corpus(files, release)


def own_panoptic() -> Corpus:
    """COCO's panoptic format."""
    files, images, segments = photos("images/p{}.jpg", (0, 1)), [], []
    for n, (width, height) in enumerate(_sizes()):
        numbers = np.where(blocks(n, (0, 1)) > 0, 300 + n, 3)
        channels = [numbers % 256, numbers // 256, numbers * 0]
        files[f"panoptic/p{n}.png"] = file_of(np.dstack(channels).astype(np.uint8), "png")
        images.append({"id": n, "file_name": f"p{n}.jpg", "width": width, "height": height})
        parts = [{"id": 3, "category_id": 1}, {"id": 300 + n, "category_id": 2}]
        segments.append({"image_id": n, "file_name": f"p{n}.png", "segments_info": parts})
    named = [{"id": 1, "name": "cat", "isthing": 1}, {"id": 2, "name": "sky", "isthing": 0}]
    content = {"images": images, "annotations": segments, "categories": named}
    files["panoptic.json"] = json.dumps(content).encode()
    return Corpus(files, lambda root: panoptic.Panoptic(root / "panoptic.json", root / "images"))


OWN = {
    "masks": own_masks,
    "labelme": own_labelme,
    "cvat": own_cvat,
    "label-studio": own_label_studio,
    "panoptic": own_panoptic,
}
