import shutil
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import ade20k as ade
from shards import cityscapes as city
from shards import coco, labelled
from shards import voc as pascal
from shards.ade20k import ADE20K
from shards.sample import encoded
from shards.voc import PascalVOC
from tests.support.corpora import bad, put, samples
from tests.support.releases import (
    ADE,
    ADE_FILES,
    ADE_FULL,
    CONTEXT,
    FRANKFURT,
    MAKERS,
    SBD,
    STREET,
    VOC,
    VOC_FILES,
    ids,
    mat,
    png,
    sbd_mat,
)
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

WIDE = encoded(np.zeros((8, 9, 3), np.uint8), "jpeg")


@pytest.mark.parametrize(
    ("kind", "part", "archive"),
    [
        ("voc", f"{VOC}/ImageSets", "VOCtrainval_11-May-2012.tar"),
        ("voc", f"{VOC}/ImageSets/Segmentation/val.txt", "VOCtrainval_11-May-2012.tar"),
        ("voc", f"{VOC}/JPEGImages", "VOCtrainval_11-May-2012.tar"),
        ("voc", f"{VOC}/SegmentationClass", "VOCtrainval_11-May-2012.tar"),
        ("voc_aug", f"{VOC}/ImageSets/Segmentation/train.txt", "VOCtrainval_11-May-2012.tar"),
        ("voc_aug", f"{VOC}/ImageSets/Segmentation/val.txt", "VOCtrainval_11-May-2012.tar"),
        ("voc_aug", f"{SBD}/img", "benchmark.tgz"),
        ("voc_aug", f"{SBD}/cls", "benchmark.tgz"),
        ("voc_aug", f"{SBD}/train.txt", "benchmark.tgz"),
        ("voc_aug", f"{SBD}/val.txt", "benchmark.tgz"),
        ("context", f"{CONTEXT}/JPEGImages", "VOCtrainval_03-May-2010.tar"),
        ("context", f"{CONTEXT}/ImageSets", "VOCtrainval_03-May-2010.tar"),
        ("context", f"{CONTEXT}/ImageSets/Main/val.txt", "VOCtrainval_03-May-2010.tar"),
        ("context", "labels.txt", "trainval.tar.gz"),
        ("context", "trainval", "trainval.tar.gz"),
        ("ade20k", f"{ADE}/images/validation", "ADEChallengeData2016.zip"),
        ("ade20k", f"{ADE}/annotations/validation", "ADEChallengeData2016.zip"),
        ("context459", "labels.txt", "trainval.tar.gz"),
        ("context459", "trainval", "trainval.tar.gz"),
        ("ade20k_full", f"{ADE_FULL}/validation", "ADE20K_2021_17_01.zip"),
        ("cityscapes", "leftImg8bit/val", "leftImg8bit_trainvaltest.zip"),
        ("cityscapes", "gtFine/val", "gtFine_trainvaltest.zip"),
        ("coco_object", "val2017", "val2017.zip"),
        ("coco_object", "annotations/instances_val2017.json", "annotations_trainval2017.zip"),
        ("coco_stuff", "val2017", "val2017.zip"),
        ("coco_stuff", "stuffthingmaps/val2017", "stuffthingmaps_trainval2017.zip"),
        ("coco_masks", "images", "photos"),
        ("coco_masks", "masks", "masks"),
    ],
)
def test_a_part_that_is_missing_is_an_error_of_one_line_naming_it(tmp_path, kind, part, archive):
    make, files = MAKERS[kind]
    put(str(tmp_path), files)
    gone = tmp_path / part
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(InputError) as caught:
        make(tmp_path).source()
    message = str(caught.value)
    assert f"needs {gone}" in message
    assert archive in message
    assert "\n" not in message


def test_a_folder_without_any_of_a_release_is_an_error_saying_where_it_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path / VOC)):
        PascalVOC(tmp_path).source()
    with pytest.raises(InputError, match=str(tmp_path / ADE)):
        ADE20K(tmp_path).source()


def test_an_empty_list_is_an_error_naming_it(tmp_path):
    put(str(tmp_path), VOC_FILES | {f"{VOC}/ImageSets/Segmentation/val.txt": b"\n"})
    with pytest.raises(InputError, match=r"Segmentation/val\.txt names no image"):
        PascalVOC(tmp_path).source()


def test_a_folder_without_images_is_an_error_naming_it(tmp_path):
    put(str(tmp_path), ADE_FILES)
    (tmp_path / ADE / "images/validation/ADE_val_00000001.jpg").unlink()
    with pytest.raises(InputError, match=f"no .jpg below {tmp_path / ADE / 'images/validation'}"):
        ADE20K(tmp_path).source()


def test_a_package_that_is_not_installed_is_an_error_saying_how_to_get_it(tmp_path, monkeypatch):
    make, files = MAKERS["coco_object"]
    put(str(tmp_path), files)
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(
        InputError, match=r"needs pycocotools: run `pip install 'zeroseg\[build\]'`"
    ):
        make(tmp_path).source()


IMAGES = {
    "voc": f"{VOC}/JPEGImages/2007_000033.jpg",
    "voc_aug": f"{SBD}/img/2008_000002.jpg",
    "context": f"{CONTEXT}/JPEGImages/2008_000002.jpg",
    "converted": f"{CONTEXT}/JPEGImages/2008_000004.jpg",
    "cityscapes": f"leftImg8bit/val/{FRANKFURT}_leftImg8bit.png",
    "coco_object": "val2017/000000000009.jpg",
    "coco_masks": "images/val/000.jpg",
}
LABELS = {
    "voc": f"{VOC}/SegmentationClass/2007_000033.png",
    "voc_aug": f"{SBD}/cls/2008_000002.mat",
    "context": "trainval/2008_000002.mat",
    "converted": f"{CONTEXT}/SegmentationClassContext/2008_000004.png",
    "ade20k": f"{ADE}/annotations/validation/ADE_val_00000001.png",
    "cityscapes": f"gtFine/val/{FRANKFURT}_gtFine_labelIds.png",
    "coco_stuff": "stuffthingmaps/val2017/000000000009.png",
    "coco_masks": "masks/val/000.png",
}


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "not a readable picture"), (WIDE, "9x8"), (b"\xff\xd8 torn", "not a readable picture")],
)
@pytest.mark.parametrize("kind", IMAGES)
def test_one_image_that_cannot_be_used_is_a_bad_sample_naming_it(tmp_path, kind, data, said):
    make, files = MAKERS[kind]
    put(str(tmp_path), files)
    count = len(samples(make(tmp_path).source()))
    put(str(tmp_path), {IMAGES[kind]: data})
    (message,) = bad(make(tmp_path).source())
    assert str(tmp_path / IMAGES[kind]) in message
    assert said in message
    assert len(samples(make(tmp_path).source())) == count


@pytest.mark.parametrize("kind", sorted(IMAGES.keys() - {"cityscapes"}))
def test_a_missing_image_is_a_bad_sample_naming_it(tmp_path, kind):
    make, files = MAKERS[kind]
    put(str(tmp_path), files)
    (tmp_path / IMAGES[kind]).unlink()
    assert bad(make(tmp_path).source()) == [f"{tmp_path / IMAGES[kind]}: missing"]


@pytest.mark.parametrize("kind", LABELS)
def test_one_label_map_that_cannot_be_used_is_a_bad_sample_naming_it(tmp_path, kind):
    make, files = MAKERS[kind]
    put(str(tmp_path), files)
    path = tmp_path / LABELS[kind]
    tiny = np.zeros((4, 4), np.uint16)
    if path.suffix == ".png":
        small, other = png(tiny.astype(np.uint8)), STREET
    else:
        small = sbd_mat(tiny) if kind == "voc_aug" else mat(LabelMap=tiny)
        other = mat(Other=tiny)
    for data, said in ((small, "4x4 pixels, but its image"), (other, ""), (b"torn", "readable")):
        path.write_bytes(data)
        (message,) = bad(make(tmp_path).source())
        assert message.startswith(f"{path}: ")
        assert said in message
    path.unlink()
    assert bad(make(tmp_path).source()) == [f"{path}: missing"]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [("voc", 21), ("converted", 60), ("ade20k", 151), ("cityscapes", 34), ("coco_stuff", 182)],
)
def test_an_id_that_a_release_does_not_have_is_a_bad_sample_naming_it(tmp_path, kind, wrong):
    make, files = MAKERS[kind]
    put(str(tmp_path), files | {LABELS[kind]: png(ids(0, wrong))})
    assert bad(make(tmp_path).source()) == [
        f"{tmp_path / LABELS[kind]}: holds id {wrong}, which this dataset does not have"
    ]


TABLES = [
    (pascal.IDS, 21, {*range(21), 255}),
    (ade.IDS, 150, range(151)),
    (city.IDS, 19, range(34)),
    (coco.MASK_IDS, 81, range(256)),
    (coco.PIXEL_IDS[182], 182, {*range(182), 255}),
    (coco.PIXEL_IDS[171], 171, {*range(182), 255}),
    (coco.PIXEL_IDS[81], 81, {*range(182), 255}),
]


@pytest.mark.parametrize(("table", "classes", "used"), TABLES)
def test_a_table_knows_every_id_and_gives_each_class_one(table, classes, used):
    assert table.keys() == set(used)
    assert set(table.values()) <= {*range(classes), IGNORE}
    kept = [label for label in table.values() if label not in (0, IGNORE)]
    assert sorted(kept) == list(range(1, classes))


@given(st.integers(0, 2**32 - 1), st.sampled_from(TABLES))
def test_every_pixel_becomes_the_label_of_its_id(seed, chosen):
    table, _, used = chosen
    pixels = np.random.default_rng(seed).choice(np.array(sorted(used), np.uint8), (3, 5))
    labels = labelled.relabelled(pixels, table)
    assert labels.tolist() == [[table[i] for i in row] for row in pixels.tolist()]
    assert labels.dtype == np.uint16
