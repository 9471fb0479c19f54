"""Whole inputs of every kind that shards are built from: four photos each, `p0` to `p3`."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.odd_input import documents, tars
from benchmarks.odd_input.documents import mat
from benchmarks.odd_input.pictures import IGNORED, Ids, blocks, file_of, photo, png
from shards import (
    ade20k,
    cityscapes,
    coco,
    context,
    folder,
    imagenet,
    img2dataset,
    pairs,
    table,
    voc,
)
from zeroseg.datasets.benchmarks import CONTEXT59

PHOTOS = 4
Table = Mapping[int, int]
"""Labels of ids; those that it lacks are none of the release's."""


@dataclass(frozen=True)
class Corpus:
    """An input, how it is built, and what its ids mean."""

    files: dict[str, bytes]
    release: Callable[[Path], Any]
    """Of its folder: what has a `source()`."""
    labels: Table | None = None
    """None where there are no label maps, or they are outlines."""
    ids: Mapping[str, Ids] = None  # type: ignore[assignment]
    """Of each file with a label map."""
    variable: str = ""
    """In MATLAB files."""


def number_of(path: str) -> int | None:
    """Which photo a file belongs to; None where to several."""
    found = re.search(r"p([0-3])(?!\d)", path)
    return int(found[1]) if found else None


def photos(pattern: str, values: tuple[int, ...], kind: str = "jpeg") -> dict[str, bytes]:
    """Picture files by path."""
    pictures = (photo(n, blocks(n, values)) for n in range(PHOTOS))
    return {pattern.format(n): file_of(pixels, kind) for n, pixels in enumerate(pictures)}


def _maps(pattern: str, values: tuple[int, ...]) -> dict[str, Ids]:
    return {pattern.format(n): blocks(n, values) for n in range(PHOTOS)}


def labelled(
    release: Callable[[Path], Any],
    pictures: str,
    maps: str,
    values: tuple[int, ...],
    labels: Table,
    *,
    kind: str = "jpeg",
    extra: Mapping[str, bytes] | None = None,
) -> Corpus:
    """Photos and label maps of these values, and what else there is."""
    ids = _maps(maps, values)
    files = photos(pictures, values, kind) | {path: png(of) for path, of in ids.items()}
    return Corpus(files | dict(extra or {}), release, {IGNORED: IGNORED} | dict(labels), ids)


def _voc() -> Corpus:
    extra = {"ImageSets/Segmentation/val.txt": _names("p0", "p1", "p2", "p3")}
    maps, same = "SegmentationClass/p{}.png", {i: i for i in range(21)}
    return labelled(voc.PascalVOC, "JPEGImages/p{}.jpg", maps, (0, 7, 20, -1), same, extra=extra)


def _names(*names: str) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _voc_aug() -> Corpus:
    plain, sbd = _voc(), "dataset/cls/p{}.mat"
    ids = {sbd.format(n): blocks(n, (0, 4, 20)) for n in (2, 3)}
    files = {k: v for k, v in plain.files.items() if "p2" not in k and "p3" not in k}
    lists = {"ImageSets/Segmentation/train.txt": _names("p0")}
    lists |= {"ImageSets/Segmentation/val.txt": _names("p1", "gone")}
    lists |= {"dataset/train.txt": _names("p2", "p0"), "dataset/val.txt": _names("p3")}
    pictures = {f"dataset/img/p{n}.jpg": plain.files[f"JPEGImages/p{n}.jpg"] for n in (2, 3)}
    mats = {path: mat("GTcls", documents.segmentation(of)) for path, of in ids.items()}
    release = lambda root: voc.PascalVOC(root, "train_aug", sbd=root)  # noqa: E731
    return Corpus(files | lists | pictures | mats, release, plain.labels, plain.ids | ids, "GTcls")


def _context() -> Corpus:
    ids = _maps("trainval/p{}.mat", (1, 2, 60, 300))
    numbered = ["accordion", *CONTEXT59.classes, "zoo", *(f"other {i}" for i in range(62, 460))]
    files = photos("JPEGImages/p{}.jpg", (1, 2, 60, 300))
    files |= {path: mat("LabelMap", of.astype("uint16")) for path, of in ids.items()}
    files["labels.txt"] = _names(*(f"{i}: {name}" for i, name in enumerate(numbered, 1)))
    files["ImageSets/Main/val.txt"] = _names("p0", "p1", "p2", "p3")
    labels = {i: i - 1 if 2 <= i <= 60 else 0 for i in (IGNORED, *range(460))}
    return Corpus(files, context.PascalContext, labels, ids, "LabelMap")


def _converted() -> Corpus:
    extra = {"ImageSets/SegmentationContext/val.txt": _names("p0", "p1", "p2", "p3")}
    maps, same = "SegmentationClassContext/p{}.png", {i: i for i in range(60)}
    pictures = "JPEGImages/p{}.jpg"
    return labelled(context.PascalContext, pictures, maps, (0, 1, 59, -1), same, extra=extra)


def _ade20k() -> Corpus:
    labels = {0: IGNORED} | {i: i - 1 for i in range(1, 151)}
    pictures, maps = "images/validation/p{}.jpg", "annotations/validation/p{}.png"
    return labelled(ade20k.ADE20K, pictures, maps, (0, 1, 150), labels)


def _cityscapes() -> Corpus:
    labels = {i: cityscapes.SCORED.index(i) if i in cityscapes.SCORED else -1 for i in range(34)}
    pictures = "leftImg8bit/val/a/p{}_leftImg8bit.png"
    maps = "gtFine/val/a/p{}_gtFine_labelIds.png"
    return labelled(cityscapes.Cityscapes, pictures, maps, (0, 7, 33), labels, kind="png")


def _coco_stuff() -> Corpus:
    labels = dict.fromkeys(range(182), -1) | {i - 1: n for n, i in enumerate(coco.USED)}
    maps = "stuffthingmaps/val2017/p{}.png"
    return labelled(coco.COCOStuff, "val2017/p{}.jpg", maps, (0, 89, 181, -1), labels)


def _coco_masks() -> Corpus:
    release = lambda root: coco.COCOMasks(root / "images", root / "masks")  # noqa: E731
    labels = dict.fromkeys(range(255), 0) | coco.THINGS
    return labelled(release, "images/p{}.jpg", "masks/p{}.png", (1, 90, 200, -1), labels)


def _pairs() -> Corpus:
    release = lambda root: pairs.Pairs(root / "images", root / "masks", "voc21")  # noqa: E731
    same = {i: i for i in range(21)}
    return labelled(release, "images/p{}.jpg", "masks/p{}.png", (0, 7, 20, -1), same)


def boxes(number: int) -> list[tuple[int, int, int, int, int, int]]:
    """The objects of a photo: id, category, and the edges of its box."""
    return [(2 * number, 1, 2, 2, 12, 10), (2 * number + 1, 17, 6 + number, 4, 10 + number, 14)]


def _coco_object() -> Corpus:
    files, images, objects = photos("val2017/p{}.jpg", (0, 1)), [], []
    for n in range(PHOTOS):
        height, width = blocks(n, (0,)).shape
        images.append({"id": n, "file_name": f"p{n}.jpg", "width": width, "height": height})
        for object_id, category, x0, y0, x1, y1 in boxes(n):
            outline = [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]
            about = {"id": object_id, "image_id": n, "category_id": category, "iscrowd": 0}
            objects.append(about | {"segmentation": [outline], "area": 1.0, "bbox": [x0, y0, 1, 1]})
    named = [{"id": i, "name": coco.NAMES[i]} for i in (1, 17)]
    content = {"images": images, "annotations": objects, "categories": named}
    files["annotations/instances_val2017.json"] = json.dumps(content).encode()
    return Corpus(files, coco.COCOObject)


def _folder() -> Corpus:
    files = photos("deep/p{}.jpg", (0, 1))
    files["p1.png"] = file_of(photo(1, blocks(1, (0, 1))), "png")
    files["p3.webp"] = file_of(photo(3, blocks(3, (0, 1))), "webp", lossless=True)
    del files["deep/p1.jpg"], files["deep/p3.jpg"]
    return Corpus(files, lambda root: folder.Folder(str(root)))


def tar_members() -> list[tars.Member]:
    """What img2dataset packs."""
    pictures = photos("00000p{}.jpg", (0, 1))
    facts = {f"00000p{n}.json": b'{"url": "http://x/%d"}' % n for n in range(PHOTOS)}
    return [tars.Member(name, data) for name, data in sorted((pictures | facts).items())]


def _img2dataset() -> Corpus:
    files = {"00000.tar": tars.packed(tar_members()), "00000_stats.json": b'{"successes": 4}'}
    return Corpus(files, lambda root: img2dataset.Img2Dataset(str(root)))


def class_members() -> list[tars.Member]:
    """A class of ImageNet's training archive."""
    return [tars.Member(*file) for file in photos("n00000001_p{}.JPEG", (0, 1)).items()]


def _imagenet() -> Corpus:
    files = photos("train/n00000002/n00000002_p{}.JPEG", (0, 1))
    files["train/n00000001.tar"] = tars.packed(class_members())
    return Corpus(files, lambda root: imagenet.ImageNet(str(root)))


def _parquet() -> Corpus:
    files = {"a.parquet": documents.table([*photos("{}", (0, 1)).values()])}
    return Corpus(files, lambda root: table.Parquet(str(root)))


CORPORA: dict[str, Callable[[], Corpus]] = {
    "folder": _folder,
    "pairs": _pairs,
    "voc": _voc,
    "voc with sbd": _voc_aug,
    "context": _context,
    "context, converted": _converted,
    "coco-object": _coco_object,
    "coco-stuff": _coco_stuff,
    "coco-masks": _coco_masks,
    "ade20k": _ade20k,
    "cityscapes": _cityscapes,
    "img2dataset": _img2dataset,
    "imagenet": _imagenet,
    "parquet": _parquet,
}
