import contextlib
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask

from shards.coco import NAMES, THINGS, COCOObject
from shards.instances import outlined, read_outlined
from shards.outlines import covered
from shards.sample import BadSample, Sample
from tests.support.corpora import bad, picture, put, samples
from tests.support.releases import OBJECTS, good, label_map, rectangle

HEIGHT, WIDTH = 8, 6
SQUARE = rectangle(1, 2, 4, 7)
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[2:7, 1:4] = True
LINE, POINT = [1, 2, 4, 7], [1, 2]
NOTHING = {
    "no polygon": [],
    "an empty polygon": [[]],
    "points": [POINT],
    "lines": [LINE] * 4,
}


def runs_of(inside: np.ndarray) -> dict[str, object]:
    packed = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
    return {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}


@pytest.mark.parametrize("outline", NOTHING.values(), ids=NOTHING)
def test_what_has_no_three_points_covers_nothing(outline):
    assert not covered(outline, HEIGHT, WIDTH).any()


@pytest.mark.parametrize("nothing", [[], POINT, LINE])
def test_the_order_of_polygons_changes_nothing(nothing):
    for outline in ([SQUARE, nothing], [nothing, SQUARE], [nothing, SQUARE, nothing]):
        assert np.array_equal(covered(outline, HEIGHT, WIDTH), INSIDE)


WRONG = {
    "half a point": ([SQUARE[:7]], "7 numbers"),
    "one number": ([[5]], "1 numbers"),
    "no numbers": ([[str(v) for v in SQUARE]], "'1.0'"),
    "booleans": ([[True, *SQUARE[1:]]], "True"),
    "null": ([[None, *SQUARE[1:]]], "None"),
    "points as pairs": ([[[1, 2], [4, 2], [4, 7], [1, 7]]], r"\[1, 2\]"),
    "not a number": ([[1, 2, math.nan, 2, 4, 7, 1, 7]], "nan"),
    "infinite": ([[1, 2, math.inf, 2, 4, 7, 1, 7]], "inf"),
    "far right": ([[1, 2, 3e6, 2, 3e6, 3e6, 1, 7]], "3000000.0"),
    "far left": ([[1, 2, -1e300, 2, 4, 7, 1, 7]], r"-1e\+300"),
    "beyond any float": ([[1, 2, 10**400, 2, 4, 7, 1, 7]], "1000"),
    "no list of polygons": ("polygon", "'polygon'"),
    "a number": (7, "7"),
    "a flat list": (SQUARE, "1.0"),
    "no runs": ({}, "size None"),
    "runs without counts": ({"size": [8, 6]}, "None"),
    "runs of another size": ({"size": [6, 8], "counts": [48]}, r"\[6, 8\]"),
    "too few runs": ({"size": [8, 6], "counts": [40, 7]}, "48 pixels"),
    "too many runs": ({"size": [8, 6], "counts": [40, 10**12]}, "48 pixels"),
    "negative runs": ({"size": [8, 6], "counts": [50, -2]}, "48 pixels"),
    "runs of text": ({"size": [8, 6], "counts": ["48"]}, "no counts"),
    "runs of NaN": ({"size": [8, 6], "counts": [math.nan]}, "no counts"),
    "strange characters": ({"size": [8, 6], "counts": "~ö"}, "'~'"),
    "runs cut short": ({"size": [8, 6], "counts": "Q"}, "inside a number"),
    "runs without end": ({"size": [8, 6], "counts": "Q" * 99}, "without end"),
    "runs among polygons": ([SQUARE, {"size": [6, 8], "counts": [48]}], r"\[6, 8\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_malformed_is_a_bad_sample_that_says_how(name):
    outline, told = WRONG[name]
    with pytest.raises(BadSample, match=told):
        covered(outline, HEIGHT, WIDTH)


def test_what_lies_outside_is_cut_off():
    everywhere = rectangle(-WIDTH, -HEIGHT, 2 * WIDTH, 2 * HEIGHT)
    assert covered([everywhere], HEIGHT, WIDTH).all()
    corner = covered([rectangle(-5, -5, 3, 4)], HEIGHT, WIDTH)
    assert corner[:4, :3].all()
    assert corner.sum() == 12


@given(st.lists(st.booleans(), min_size=HEIGHT * WIDTH, max_size=HEIGHT * WIDTH))
def test_run_lengths_of_any_mask_give_it_again(pixels):
    inside = np.array(pixels).reshape(HEIGHT, WIDTH)
    assert np.array_equal(covered(runs_of(inside), HEIGHT, WIDTH), inside)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda part: (
        st.lists(part, max_size=9) | st.dictionaries(st.sampled_from(["size", "counts"]), part)
    ),
    max_leaves=30,
)


@settings(max_examples=100)
@given(JSON)
def test_whatever_json_holds_is_a_mask_or_a_bad_sample(outline):
    with contextlib.suppress(BadSample):
        assert covered(json.loads(json.dumps(outline)), HEIGHT, WIDTH).shape == (HEIGHT, WIDTH)


def built_from(root, photos, annotations):
    """The source of an instances file; every photo that it names is there."""
    content = {"images": photos, "annotations": annotations, "categories": []}
    files = {f"val2017/{name}.jpg": picture(40) for name in "abc"}
    file = {"annotations/instances_val2017.json": json.dumps(content).encode()}
    return COCOObject(root).source() if put(str(root), files | file) else None


def photo(number: object, name: object, **changed) -> dict[str, object]:
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} | changed


A, B = photo(1, "a.jpg"), photo(2, "b.jpg")
OBJECT = OBJECTS[0] | {"image_id": 2, "segmentation": [SQUARE], "category_id": 1}
LEFT_OUT = {
    "unknown category": ([A, B], OBJECT | {"category_id": 12}, "b.jpg: an object has category 12"),
    "no category": ([A, B], OBJECT | {"category_id": True}, "b.jpg: an object has category True"),
    "no outline": ([A, B], {"image_id": 2, "category_id": 1}, "b.jpg: an object has no segment"),
    "half a point": ([A, B], OBJECT | {"segmentation": [[1, 2, 3]]}, "b.jpg: a polygon has 3"),
    "infinite": ([A, B], OBJECT | {"segmentation": [[math.inf] * 6]}, "b.jpg: a polygon has the"),
    "width of text": ([A, B | {"width": "6"}], OBJECT, "b.jpg: its size is listed as '6'"),
    "no width": ([A, B | {"width": 0}], OBJECT, "b.jpg: 6x8 pixels, but its annot"),
    "a million wide": ([A, B | {"width": 10**6}], OBJECT, "b.jpg: 6x8 pixels, but its annot"),
    "twice": ([A, B, photo(3, "b.jpg")], OBJECT, "b.jpg: it or its id, 2, is listed twice"),
    "two of an id": ([A, B, photo(2, "c.jpg")], OBJECT, "c.jpg: it or its id, 2, is listed twice"),
    "not there": ([A, photo(2, "d.jpg")], OBJECT, "d.jpg: missing"),
    "no name": ([A, photo(2, None)], OBJECT, "instances_val2017.json: an image is listed as {"),
    "no image": ([A, "b.jpg"], OBJECT, "instances_val2017.json: an image is listed as 'b.jpg'"),
    "not listed": ([A], OBJECT, "instances_val2017.json: 1 annotations of images that it does not"),
    "no annotation": ([A], 7, "instances_val2017.json: 1 annotations of images that it does"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_wrong_leaves_its_photo_out_by_name_and_no_other(tmp_path, name):
    photos, wrong, told = LEFT_OUT[name]
    right = OBJECT | {"image_id": 1}
    for annotations in ([wrong, right], [right, wrong]):
        source = built_from(tmp_path, photos, annotations)
        found = [s for s in samples(source) if not isinstance(s, BadSample)]
        assert [s.key for s in found] == ["a"]
        assert np.array_equal(label_map(found[0]), INSIDE)
        assert any(told in message for message in bad(source)), bad(source)


def test_ids_may_be_text_or_whole_floats(tmp_path):
    photos = [photo("one", "a.jpg"), photo(2.0, "b.jpg")]
    annotations = [OBJECT | {"image_id": "one"}, OBJECT | {"category_id": 1.0}]
    found = good(built_from(tmp_path, photos, annotations))
    assert [label_map(sample).sum() for sample in found.values()] == [INSIDE.sum()] * 2


ENTRY = st.dictionaries(
    st.sampled_from(["id", "file_name", "width", "height", "image_id", "category_id"]),
    st.sampled_from([1, 2, 6, 8, 1.0, True, None, "a.jpg", "b.jpg", "1", math.nan]) | JSON,
)


@settings(max_examples=30)
@given(st.lists(ENTRY | JSON, max_size=4), st.lists(ENTRY | JSON, max_size=4))
def test_whatever_an_instances_file_lists_is_a_unit_that_is_read_or_left_out(listed, annotations):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        put(folder, {"a.jpg": picture(40), "b.jpg": picture(50)})
        file = root / "instances.json"
        content = {"images": [A, *listed], "annotations": annotations, "categories": []}
        file.write_text(json.dumps(content))
        units = outlined(file, THINGS, NAMES)
        read = [sample for unit in units for sample in read_outlined(root, unit)]
        assert len(read) == len(units) >= 1
        assert all(isinstance(sample, Sample | BadSample) for sample in read)
