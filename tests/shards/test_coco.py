import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from shards import coco
from shards.coco import COCOMasks, COCOObject, COCOStuff
from shards.sample import BadSample, Sample
from tests.support.corpora import bad, put, samples
from tests.support.releases import (
    COCO_FILES,
    INSTANCES,
    MASK_FILES,
    OBJECTS,
    PHOTO,
    STREET,
    STUFF_FILES,
    STUFF_IDS,
    first_row,
    good,
    label_map,
    png,
)
from zeroseg.datasets.benchmarks import COCO_OBJECT
from zeroseg.errors import InputError

DRAWN = np.zeros((8, 6), np.uint8)
DRAWN[:4] = 1
DRAWN[4, :2] = 1
DRAWN[1:3, 1:3] = 80
DRAWN[5, :2] = 12
DRAWN[7] = 25
BESIDE_FILES = {name.removeprefix("stuffthingmaps/"): data for name, data in STUFF_FILES.items()}


def test_outlines_and_run_lengths_are_drawn_with_small_objects_on_top(tmp_path):
    put(str(tmp_path), COCO_FILES)
    source = COCOObject(tmp_path).source()
    found = good(source)
    assert list(found) == ["000000000009", "000000000025"]
    assert label_map(found["000000000009"]).tolist() == DRAWN.tolist()
    assert not label_map(found["000000000025"]).any()
    assert found["000000000009"].image == PHOTO
    assert source.classes == COCO_OBJECT.classes
    names = ("person", "stop sign", "backpack", "toothbrush")
    assert tuple(source.classes[i] for i in (1, 12, 25, 80)) == names


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"categories": [{"id": 1, "name": "cat"}]}, "category 1 is 'cat'"),
        ({"categories": [{"id": 12, "name": "street sign"}]}, "category 12"),
        ({"annotations": {"9": OBJECTS}}, "must be lists"),
        ({"images": None}, "must be lists"),
        ({"categories": [1]}, "TypeError"),
        ({"images": [], "annotations": []}, "lists no image"),
    ],
)
def test_instances_that_are_not_cocos_are_an_error_naming_the_file(tmp_path, change, named):
    file = "annotations/instances_val2017.json"
    put(str(tmp_path), COCO_FILES | {file: json.dumps(INSTANCES | change).encode()})
    with pytest.raises(InputError, match=re.escape(named)) as caught:
        COCOObject(tmp_path).source()
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize("files", [STUFF_FILES, BESIDE_FILES])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (171, [0, 79, 255, 80, 170, 255]),
        (182, [0, 89, 11, 91, 181, 255]),
        (81, [1, 80, 0, 0, 0, 0]),
    ],
)
def test_stuff_and_things_are_counted_in_three_ways(tmp_path, files, number, expected):
    put(str(tmp_path), files)
    source = COCOStuff(tmp_path, ids=number).source()
    (sample,) = samples(source)
    assert (sample.key, sample.image) == ("000000000009", PHOTO)
    assert first_row(sample) == expected
    assert (sample.labels == png(STUFF_IDS)) == (number == 182)
    assert len(source.classes) == number
    assert source.classes[expected[0]] == "person"
    assert source.classes[expected[1]] == "toothbrush"
    if number != 81:
        assert source.classes[expected[3]] == "banner"
        assert source.classes[expected[4]] == "wood"


def test_coco_stuff_has_three_sets_of_ids(tmp_path):
    with pytest.raises(InputError, match="not 80"):
        COCOStuff(tmp_path, ids=80).source()  # type: ignore[arg-type]


def test_masks_of_category_ids_become_80_things_and_background(tmp_path):
    put(str(tmp_path), MASK_FILES)
    source = COCOMasks(tmp_path / "images", tmp_path / "masks").source()
    found = good(source)
    assert {key: sample.image for key, sample in found.items()} == {
        "val/000": PHOTO,
        "val/001": STREET,
    }
    assert first_row(found["val/000"]) == [1, 80, 0, 0, 0, 255]
    assert first_row(found["val/001"]) == [12] * 6
    assert found["val/000"].source == "val/000.jpg"
    assert source.classes == COCO_OBJECT.classes


def test_outlines_that_cannot_be_drawn_are_a_bad_sample_naming_the_image(tmp_path):
    broken = [OBJECTS[0] | {"segmentation": {"size": [3, 3], "counts": [1, 2, 6]}}]
    content = json.dumps(INSTANCES | {"annotations": broken}).encode()
    put(str(tmp_path), COCO_FILES | {"annotations/instances_val2017.json": content})
    (message,) = bad(COCOObject(tmp_path).source())
    assert message.startswith(str(tmp_path / "val2017/000000000009.jpg"))


@pytest.mark.parametrize(
    ("coco_id", "name"),
    [(1, "person"), (13, "stop sign"), (27, "backpack"), (67, "dining table"), (90, "toothbrush")],
)
def test_known_coco_ids_keep_their_names(coco_id, name):
    assert coco.NAMES[coco_id] == name
    assert COCO_OBJECT.classes[coco.THINGS[coco_id]] == name
    assert coco.CLASSES[182][coco_id - 1] == name


def test_real_masks_are_all_read(real):
    source = COCOMasks(real / "coco_masks/images", real / "coco_masks/masks").source()
    assert len(source.units) == 100
    unit = source.units[0]
    (sample,) = source.read(unit)
    assert isinstance(sample, Sample)
    with Image.open(unit.labels) as image:
        stored = np.array(image)
    labels = label_map(sample)
    for category in np.unique(stored).tolist():
        expected = coco.THINGS.get(category, 0)
        assert (labels[stored == category] == expected).all()
    assert sample.image == (unit.root / unit.image).read_bytes()


def test_every_pixel_of_real_photos_has_the_label_of_the_smallest_object_there(real):
    folder = real / "coco_instances"
    file = folder / "instances_train2017.json"
    source = COCOObject(folder, "train2017", images=folder / "images", annotations=file).source()
    assert len(source.units) == 128
    content = json.loads(file.read_bytes())
    crowded = {a["image_id"] for a in content["annotations"] if a["iscrowd"]}
    for unit in source.units[::16] + [u for u in source.units if int(u.file[:-4]) in crowded][:4]:
        (sample,) = source.read(unit)
        assert not isinstance(sample, BadSample)
        areas = np.full((len(unit.objects) + 1, unit.height, unit.width), np.inf)
        for layer, (_, outline) in zip(areas, unit.objects, strict=False):
            runs = coco_mask.frPyObjects(outline, unit.height, unit.width)
            covered = coco_mask.decode(runs).reshape(*layer.shape, -1).any(-1)
            layer[covered] = covered.sum()
        areas[-1] = 1e9  # background lies below everything
        smallest = np.array([label for label, _ in unit.objects] + [0])[areas.argmin(0)]
        assert (label_map(sample) == smallest).all()
