"""Miniature releases of the labelled datasets, and what a source makes of them."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.io import savemat

from shards import coco
from shards.ade20k import ADE20K
from shards.ade20k_full import ADE20KFull
from shards.cityscapes import Cityscapes
from shards.coco import COCOMasks, COCOObject, COCOStuff
from shards.context import PascalContext
from shards.sample import Sample, Source, encoded
from shards.voc import PascalVOC
from tests.support.corpora import picture, samples
from zeroseg.datasets import class_names

PHOTO = picture(40)  # 6 wide, 8 high
OTHER = picture(200)
STREET = encoded(np.full((8, 6, 3), 90, np.uint8), "png")


def ids(*values: int) -> np.ndarray:
    """8x6 ids whose first row begins with the values; the rest repeats the last."""
    pixels = np.full((8, 6), values[-1], np.uint8)
    pixels[0, : len(values)] = values
    return pixels


def png(pixels: np.ndarray) -> bytes:
    return encoded(pixels, "png")


def palette_png(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels).convert("P")
    image.putdata(pixels.ravel().tolist())
    image.putpalette([value for i in range(256) for value in (i, 255 - i, 7 * i % 256)])
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def mat(**variables) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=True)
    return buffer.getvalue()


def sbd_mat(pixels: np.ndarray) -> bytes:
    boundaries = np.empty((20, 1), object)
    boundaries[:] = [[np.zeros((8, 6))]] * 20
    categories = np.array([[1.0]])
    parts = {"Boundaries": boundaries, "Segmentation": pixels, "CategoriesPresent": categories}
    return mat(GTcls=parts)


def good(source: Source) -> dict[str, Sample]:
    """Samples by key, of a source without any bad sample."""
    found = {s.key: s for s in samples(source) if isinstance(s, Sample)}
    assert len(found) == len(samples(source)), samples(source)
    return found


def label_map(sample: Sample) -> np.ndarray:
    assert sample.labels is not None
    with Image.open(io.BytesIO(sample.labels)) as image:
        assert image.format == "PNG"
        assert image.mode in ("L", "P", "I;16")
        return np.array(image)


def first_row(sample: Sample) -> list[int]:
    return label_map(sample)[0].tolist()


VOC = "VOCdevkit/VOC2012"
VOC_IDS = ids(255, 0, 20, 7, 255, 3)
VOC_FILES = {
    f"{VOC}/ImageSets/Segmentation/train.txt": b"2007_000032\n",
    f"{VOC}/ImageSets/Segmentation/val.txt": b"2007_000033\n2007_000042\n",
    f"{VOC}/ImageSets/Segmentation/trainval.txt": b"2007_000032\n2007_000033\n2007_000042\n",
    f"{VOC}/JPEGImages/2007_000032.jpg": OTHER,
    f"{VOC}/JPEGImages/2007_000033.jpg": PHOTO,
    f"{VOC}/JPEGImages/2007_000042.jpg": OTHER,
    f"{VOC}/SegmentationClass/2007_000032.png": palette_png(ids(1)),
    f"{VOC}/SegmentationClass/2007_000033.png": palette_png(VOC_IDS),
    f"{VOC}/SegmentationClass/2007_000042.png": palette_png(ids(0)),
}
SBD = "benchmark_RELEASE/dataset"
SBD_FILES = {
    f"{SBD}/train.txt": b"2008_000002\n2007_000032\n2007_000033\n",
    f"{SBD}/val.txt": b"2008_000003\n2007_000042\n",
    f"{SBD}/img/2008_000002.jpg": PHOTO,
    f"{SBD}/img/2008_000003.jpg": OTHER,
    f"{SBD}/cls/2008_000002.mat": sbd_mat(ids(0, 4, 20)),
    f"{SBD}/cls/2008_000003.mat": sbd_mat(ids(6)),
    f"{SBD}/img/2007_000032.jpg": OTHER,
    f"{SBD}/cls/2007_000032.mat": sbd_mat(ids(9)),
}


def context459(root: Path) -> PascalContext:
    return PascalContext(root, classes=459)


def voc_aug(root: Path) -> PascalVOC:
    return PascalVOC(root, "train_aug", sbd=root)


CONTEXT = "VOCdevkit/VOC2010"
NUMBERED = ["accordion", *class_names.CONTEXT, "zoo", *[f"other {i}" for i in range(62, 460)]]
CONTEXT_IDS = np.full((8, 6), 1, np.uint16)
CONTEXT_IDS[0] = [0, 2, 60, 61, 255, 459]
MAIN_FILES = {
    f"{CONTEXT}/ImageSets/Main/train.txt": b"2008_000004\n",
    f"{CONTEXT}/ImageSets/Main/val.txt": b"2008_000002\n",
    f"{CONTEXT}/JPEGImages/2008_000002.jpg": PHOTO,
    f"{CONTEXT}/JPEGImages/2008_000004.jpg": OTHER,
}
LABELS_TXT = "".join(f"{i}: {name}\n" for i, name in enumerate(NUMBERED, 1)).encode()
MAT_FILES = {
    "labels.txt": LABELS_TXT,
    "trainval/2008_000002.mat": mat(LabelMap=CONTEXT_IDS),
    "trainval/2008_000004.mat": mat(LabelMap=CONTEXT_IDS),
}
CONTEXT459_IDS = np.full((8, 6), 459, np.uint16)
CONTEXT459_IDS[0] = [0, 1, 2, 255, 256, 459]
CONTEXT459_FILES = {
    "labels.txt": "".join(f"{i}: {n}\n" for i, n in enumerate(class_names.CONTEXT459, 1)).encode(),
    "trainval/2008_000002.mat": mat(LabelMap=CONTEXT459_IDS),
    "trainval/2008_000004.mat": mat(LabelMap=CONTEXT459_IDS),
}
CONVERTED_FILES = {
    f"{CONTEXT}/ImageSets/SegmentationContext/val.txt": b"2008_000004\n",
    f"{CONTEXT}/SegmentationClassContext/2008_000004.png": png(ids(0, 1, 59, 255)),
}


ADE = "ADEChallengeData2016"
ADE_FILES = {
    f"{ADE}/images/validation/ADE_val_00000001.jpg": PHOTO,
    f"{ADE}/annotations/validation/ADE_val_00000001.png": png(ids(0, 1, 150)),
    f"{ADE}/images/training/ADE_train_00000001.jpg": OTHER,
    f"{ADE}/annotations/training/ADE_train_00000001.png": png(ids(7)),
}


def seg_png(objects: np.ndarray) -> bytes:
    """As ADE20K's full release has the numbers of objects; blue counts them."""
    pixels = np.stack([objects // 256 * 10, objects % 256, np.arange(48).reshape(8, 6)], axis=2)
    return encoded(pixels.astype(np.uint8), "png")


ADE_FULL = "ADE20K_2021_17_01/images/ADE"
AIRPORT = f"{ADE_FULL}/validation/transportation/airport_terminal/ADE_val_00000001"
ADE_OBJECTS = np.full((8, 6), 3148)
ADE_OBJECTS[0] = [0, 2978, 312, 1, 3688, 3148]
ADE_FULL_FILES = {
    f"{AIRPORT}.jpg": PHOTO,
    f"{AIRPORT}.json": b"{}",
    f"{AIRPORT}_seg.png": seg_png(ADE_OBJECTS),
    f"{AIRPORT}_parts_1.png": STREET,
    f"{AIRPORT}/instance_000_ADE_val_00000001.png": png(ids(0, 255)),
    f"{ADE_FULL}/training/urban/street/ADE_train_00000001.jpg": OTHER,
    f"{ADE_FULL}/training/urban/street/ADE_train_00000001_seg.png": seg_png(ADE_OBJECTS),
}


FRANKFURT = "frankfurt/frankfurt_000000_000294"
CITY_FILES = {
    f"leftImg8bit/val/{FRANKFURT}_leftImg8bit.png": STREET,
    f"gtFine/val/{FRANKFURT}_gtFine_labelIds.png": png(ids(0, 7, 33, 11, 29, 3)),
    f"gtFine/val/{FRANKFURT}_gtFine_labelTrainIds.png": png(ids(9)),
    f"gtFine/val/{FRANKFURT}_gtFine_color.png": STREET,
    f"gtFine/val/{FRANKFURT}_gtFine_polygons.json": b"{}",
}


def rectangle(x0: int, y0: int, x1: int, y1: int) -> list[float]:
    return [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]


CROWD = np.zeros((8, 6), np.uint8)
CROWD[7] = 1
CROWD_COUNTS = coco_mask.encode(np.asfortranarray(CROWD))
OBJECTS = [
    # The smaller comes first, and must end on top.
    {"image_id": 9, "category_id": 90, "segmentation": [rectangle(1, 1, 3, 3)], "iscrowd": 0},
    {
        "image_id": 9,
        "category_id": 1,
        "segmentation": [rectangle(0, 0, 6, 4), rectangle(0, 4, 2, 5)],
        "iscrowd": 0,
    },
    {
        "image_id": 9,
        "category_id": 13,
        "segmentation": {"size": [8, 6], "counts": [5, 1, 7, 1, 34]},
        "iscrowd": 1,
    },
    {
        "image_id": 9,
        "category_id": 27,
        "segmentation": {"size": [8, 6], "counts": CROWD_COUNTS["counts"].decode()},
        "iscrowd": 1,
    },
]
CATEGORIES = [{"id": i, "name": coco.NAMES[i]} for i in coco.THINGS]
PHOTOS = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 6, "height": 8} for i in (25, 9)]
INSTANCES = {"images": PHOTOS, "annotations": OBJECTS, "categories": CATEGORIES}
COCO_FILES = {
    "annotations/instances_val2017.json": json.dumps(INSTANCES).encode(),
    "val2017/000000000009.jpg": PHOTO,
    "val2017/000000000025.jpg": OTHER,
}


STUFF_IDS = ids(0, 89, 11, 91, 181, 255)
STUFF_FILES = {
    "val2017/000000000009.jpg": PHOTO,
    "stuffthingmaps/val2017/000000000009.png": png(STUFF_IDS),
}


MASK_FILES = {
    "images/val/000.jpg": PHOTO,
    "images/val/001.png": STREET,
    "masks/val/000.png": png(ids(1, 90, 12, 200, 0, 255)),
    "masks/val/001.png": png(ids(13)),
}


def masks(root: Path) -> COCOMasks:
    return COCOMasks(root / "images", root / "masks")


MAKERS = {
    "voc": (PascalVOC, VOC_FILES),
    "voc_aug": (voc_aug, VOC_FILES | SBD_FILES),
    "context": (PascalContext, MAIN_FILES | MAT_FILES),
    "converted": (PascalContext, MAIN_FILES | CONVERTED_FILES),
    "context459": (context459, MAIN_FILES | CONTEXT459_FILES),
    "ade20k": (ADE20K, ADE_FILES),
    "ade20k_full": (ADE20KFull, ADE_FULL_FILES),
    "cityscapes": (Cityscapes, CITY_FILES),
    "coco_object": (COCOObject, COCO_FILES),
    "coco_stuff": (COCOStuff, STUFF_FILES),
    "coco_masks": (masks, MASK_FILES),
}
