"""COCO's panoptic format."""

import json

import numpy as np
import pytest

from shards.panoptic import Panoptic
from shards.sample import encoded
from tests.support.corpora import bad, put, samples
from tests.support.drawings import HEIGHT, WIDTH, label_map, only, photo
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

NUMBERS = np.zeros((HEIGHT, WIDTH), np.int64)
NUMBERS[:, :5], NUMBERS[:, 5:9], NUMBERS[0] = 3, 300, 2_000_000
SEGMENTS = [
    {"id": 3, "category_id": 17, "area": 1, "iscrowd": 0, "bbox": [0, 0, 1, 1]},
    {"id": 300, "category_id": 200, "iscrowd": 1},
    {"id": 2_000_000, "category_id": 17},
]
CATEGORIES = [
    {"id": 200, "name": "sky-other-merged", "isthing": 0, "color": [70, 130, 180]},
    {"id": 17, "name": "cat", "supercategory": "animal", "isthing": 1},
]
CONTENT = {
    "images": [{"id": 9, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
    "annotations": [{"image_id": 9, "file_name": "a.png", "segments_info": SEGMENTS}],
    "categories": CATEGORIES,
}
EXPECTED = np.select([NUMBERS == 300, NUMBERS > 0], [1, 0], IGNORE)


def coloured(numbers: np.ndarray) -> bytes:
    channels = [numbers % 256, numbers // 256 % 256, numbers // 65536]
    return encoded(np.dstack(channels).astype(np.uint8), "png")


def source(folder, numbers=NUMBERS, text: bytes | None = None, classes="", ignore=(), **changed):
    content = text if text is not None else json.dumps(CONTENT | changed).encode()
    put(str(folder), {"images/a.jpg": photo(), "panoptic.json": content})
    put(str(folder), {"panoptic/a.png": coloured(numbers), "n.txt": classes.encode()})
    listed = folder / "n.txt" if classes else None
    return Panoptic(
        folder / "panoptic.json", folder / "images", classes=listed, ignore=ignore
    ).source()


def test_segments_are_their_categories_in_order_of_id(tmp_path):
    built = source(tmp_path)
    assert built.classes == ("cat", "sky-other-merged")
    assert label_map(only(built)).tolist() == EXPECTED.tolist()


def test_a_list_chooses_the_classes_and_what_it_lacks_leaves_the_image_out(tmp_path):
    built = source(tmp_path, classes="background\nsky|sky-other-merged\nkitten|cat")
    expected = np.select([NUMBERS == 300, NUMBERS > 0], [1, 2], IGNORE)
    assert label_map(only(built)).tolist() == expected.tolist()
    (told,) = bad(source(tmp_path, classes="cat\ndog"))
    assert told.startswith(f"{tmp_path}/panoptic/a.png: category 'sky-other-merged' is not in")
    built = source(
        tmp_path, ignore=("sky-other-merged",), categories=[*CATEGORIES, {"id": 1, "name": "ox"}]
    )
    assert built.classes == ("ox", "cat")
    expected = np.where((NUMBERS > 0) & (NUMBERS != 300), 1, IGNORE)
    assert label_map(only(built)).tolist() == expected.tolist()


def test_what_cannot_be_used_is_named(tmp_path):
    (told,) = bad(source(tmp_path, numbers=NUMBERS + 1))
    assert told == f"{tmp_path}/panoptic/a.png: holds segment 1, which the class list does not have"
    (told,) = bad(source(tmp_path, numbers=NUMBERS[:5]))
    assert "20x5 pixels" in told
    (told,) = bad(source(tmp_path, annotations=[]))
    assert told == f"{tmp_path}/images/a.jpg: has no annotation"
    pictures = [*CONTENT["images"], {"id": 3, "file_name": "b.jpg"}]
    others = [*CONTENT["annotations"], CONTENT["annotations"][0] | {"image_id": 3}]
    found = samples(source(tmp_path, images=pictures, annotations=others))
    assert str(found[1]) == f"{tmp_path}/images/b.jpg: missing"


@pytest.mark.parametrize(
    ("image", "annotation", "said"),
    [
        ({"file_name": ""}, {}, "a file name is empty"),
        ({"file_name": 3}, {}, "not readable"),
        ({"id": [1]}, {}, "not readable"),
        ({}, {"segments_info": 3}, "not readable"),
        ({}, {"segments_info": [{"id": float("inf"), "category_id": 1}]}, "not readable"),
        ({}, {"image_id": []}, "has no annotation"),
    ],
)
def test_a_malformed_image_is_named_and_the_others_are_read(tmp_path, image, annotation, said):
    images = [CONTENT["images"][0] | {"id": 1, "file_name": "b.jpg"} | image, *CONTENT["images"]]
    others = [CONTENT["annotations"][0] | {"image_id": 1} | annotation, *CONTENT["annotations"]]
    put(str(tmp_path), {"images/b.jpg": photo()})
    found = samples(source(tmp_path, images=images, annotations=others))
    assert sorted(type(sample).__name__ for sample in found) == ["BadSample", "Sample"]
    (told,) = bad(source(tmp_path, images=images, annotations=others))
    assert said in told
    assert told.startswith(f"{tmp_path}/images/")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"[]", b"{}", b"[" * 100_000),
        json.dumps(CONTENT | {"images": []}).encode(),
        json.dumps(CONTENT | {"images": CONTENT["images"] * 2}).encode(),
        json.dumps(CONTENT | {"categories": [{"id": "x", "name": "y"}]}).encode(),
        json.dumps(CONTENT | {"categories": []}).encode(),
    ],
)
def test_a_file_of_another_format_is_refused_by_name(tmp_path, text):
    with pytest.raises(InputError, match=r"panoptic\.json"):
        source(tmp_path, text=text)


def test_missing_folders_are_errors(tmp_path):
    put(str(tmp_path), {"x.json": json.dumps(CONTENT).encode(), "images/a.jpg": photo()})
    with pytest.raises(InputError, match=f"needs {tmp_path}/x: "):
        Panoptic(tmp_path / "x.json", tmp_path / "images").source()
