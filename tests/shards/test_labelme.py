"""LabelMe's JSON files."""

import base64
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shards.labelme import LabelMe
from shards.sample import BadSample, Sample
from tests.support.corpora import bad, put, samples
from tests.support.drawings import HEIGHT, WIDTH, block, label_map, only, photo, upright
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

NAMES = "fork\ncup|mug\nplate"


def shape(points, kind="polygon", label="cup", **others):
    return {"label": label, "points": points, "shape_type": kind} | others


def about(*shapes, size=(WIDTH, HEIGHT), **others):
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": size[1],
        "imageWidth": size[0],
    } | others


def source(folder, content, data=None, names=NAMES, **options):
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    put(str(folder), {"all/a.json": text, "all/a.jpg": data or photo(), "n.txt": names.encode()})
    return LabelMe(folder / "all", classes=folder / "n.txt", **options).source()


SQUARE = [[2, 3], [9, 3], [9, 8], [2, 8]]


@pytest.mark.parametrize(
    "drawn",
    [
        shape(SQUARE),
        shape(SQUARE, None),
        shape([[9, 8], [2, 3]], "rectangle"),
        shape(SQUARE, "rectangle", label="mug"),
        shape(SQUARE, "oriented_rectangle", label="cup | mug"),
        {"label": "cup", "points": SQUARE},
    ],
)
def test_a_region_of_any_type_covers_its_pixels_alone(tmp_path, drawn):
    assert label_map(only(source(tmp_path, about(drawn)))).tolist() == block(2, 3, 9, 8).tolist()


def test_a_circle_is_its_centre_and_a_point_on_it(tmp_path):
    found = label_map(only(source(tmp_path, about(shape([[10, 6], [13, 6]], "circle")))))
    rows, columns = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    assert np.array_equal(found == 1, np.hypot(columns - 10, rows - 6) <= 3)


def test_a_mask_lies_from_its_first_point_on_and_is_cut_off_at_the_edge(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.full((5, 7), 255, np.uint8)).save(buffer, "png")
    mask = base64.b64encode(buffer.getvalue()).decode()
    for left, top in ((2, 3), (-3, -2), (17, 10), (30, 3)):
        drawn = shape([[left, top], [left + 6, top + 4]], "mask", mask=mask)
        expected = block(max(left, 0), max(top, 0), max(left + 7, 0), max(top + 5, 0))
        assert label_map(only(source(tmp_path, about(drawn)))).tolist() == expected.tolist()


def test_later_shapes_lie_over_earlier_ones_and_lines_cover_nothing(tmp_path):
    lines = [shape([[0, 0], [9, 9]], kind, label="?") for kind in ("line", "point", "linestrip")]
    content = about(shape(SQUARE), *lines, shape([[4, 4], [6, 6]], "rectangle", label="fork"))
    expected = block(2, 3, 9, 8)
    expected[4:6, 4:6] = 0
    assert label_map(only(source(tmp_path, content))).tolist() == expected.tolist()


def test_the_rest_is_background_where_the_list_has_it_first(tmp_path):
    found = only(source(tmp_path, about(shape(SQUARE)), names=f"background\n{NAMES}"))
    assert sorted(np.unique(label_map(found)).tolist()) == [0, 2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_drawn_on_the_upright_picture_lies_there_however_it_is_stored(
    tmp_path, orientation
):
    found = only(source(tmp_path, about(shape(SQUARE)), photo(orientation)))
    assert upright(found).tolist() == block(2, 3, 9, 8).tolist()


def test_what_was_drawn_on_the_stored_pixels_lies_over_those(tmp_path):
    data = photo(6, (HEIGHT, WIDTH))  # stored as WIDTH x HEIGHT
    found = only(source(tmp_path, about(shape(SQUARE)), data))
    assert label_map(found).tolist() == block(2, 3, 9, 8).tolist()


def test_a_label_that_is_not_in_the_list_leaves_the_image_out_by_name(tmp_path):
    content = about(shape(SQUARE, label="spoon"))
    (told,) = bad(source(tmp_path, content))
    assert told.startswith(f"{tmp_path}/all/a.json: label 'spoon' is not in the class list")
    found = label_map(only(source(tmp_path, content, ignore=("spoon",))))
    assert (found == IGNORE).all()


@pytest.mark.parametrize(
    "points",
    [
        [[math.nan, 1], [4, 1], [4, 4]],
        [[math.inf, 1], [4, 1], [4, 4]],
        [[1e300, 1], [4, 1], [4, 4]],
        [[-1e9, 1], [4, 1], [4, 4]],
        [[10**400, 1], [4, 1], [4, 4]],
        [["x", 1], [4, 1], [4, 4]],
        [[1], [4, 1], [4, 4]],
        [None],
        None,
    ],
)
def test_coordinates_that_are_none_leave_the_image_out_by_name(tmp_path, points):
    (told,) = bad(source(tmp_path, about(shape(points))))
    assert told.startswith(f"{tmp_path}/all/a.json: ")
    assert "\n" not in told


@pytest.mark.parametrize("points", [[], [[1, 1]], [[1, 1], [5, 5]]])
def test_fewer_than_three_points_enclose_nothing(tmp_path, points):
    content = about(shape(points), shape(SQUARE))
    assert label_map(only(source(tmp_path, content))).tolist() == block(2, 3, 9, 8).tolist()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"shapes": 3}', b"\xff", b"[" * 100_000, about(shape(SQUARE, "star"))]
    + [about(3), about(size=(8, 9)), about(shape(SQUARE, "mask", mask="!!")), {"shapes": [{}]}],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content):
    (told,) = bad(source(tmp_path, content))
    assert told.startswith(f"{tmp_path}/all/a.json: ")


def test_a_photo_is_found_by_what_the_file_says_and_what_is_alone_is_named(tmp_path):
    files = {
        "json/sub/x.json": json.dumps(about(shape(SQUARE), imagePath="..\\a.jpg")).encode(),
        "json/b.json": json.dumps(about(imagePath="gone.jpg")).encode(),
        "json/a.jpg": photo(),
        "n.txt": NAMES.encode(),
    }
    put(str(tmp_path), files)
    found = samples(LabelMe(tmp_path / "json", classes=tmp_path / "n.txt").source())
    good = [sample for sample in found if isinstance(sample, Sample)]
    assert [sample.key for sample in good] == ["sub/x"]
    assert sorted(str(s).split(": ", 1)[1] for s in found if isinstance(s, BadSample)) == [
        "its photo 'gone.jpg' is missing",
        "missing",
    ]


def test_a_photo_that_is_nowhere_else_is_taken_from_the_file(tmp_path):
    inside = base64.b64encode(photo(6)).decode()
    content = about(shape(SQUARE), imagePath="gone.jpg", imageData=inside)
    put(str(tmp_path), {"all/x.json": json.dumps(content).encode(), "n.txt": NAMES.encode()})
    found = only(LabelMe(tmp_path / "all", classes=tmp_path / "n.txt").source())
    assert isinstance(found, Sample)
    assert (found.key, found.image) == ("x", photo(6))
    assert upright(found).tolist() == block(2, 3, 9, 8).tolist()
    content["imageData"] = "?"
    put(str(tmp_path), {"all/x.json": json.dumps(content).encode()})
    (told,) = bad(LabelMe(tmp_path / "all", classes=tmp_path / "n.txt").source())
    assert told.startswith(f"{tmp_path}/all/x.json: not ")


def test_missing_parts_are_errors(tmp_path):
    (tmp_path / "n.txt").write_text(NAMES)
    with pytest.raises(InputError, match="nowhere"):
        LabelMe(tmp_path / "nowhere", classes=tmp_path / "n.txt").source()
    with pytest.raises(InputError, match=r"no \.json below"):
        LabelMe(tmp_path, classes=tmp_path / "n.txt").source()
    with pytest.raises(InputError, match="--classes FILE"):
        LabelMe(tmp_path).source()


numbers = st.one_of(st.floats(-20, 40), st.floats(), st.integers(-(10**12), 10**12), st.none())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(numbers, min_size=1, max_size=3), max_size=6),
    st.sampled_from(["polygon", "rectangle", "circle", "mask", "line"]),
)
def test_any_coordinates_are_drawn_or_named(tmp_path_factory, points, kind):
    folder = tmp_path_factory.mktemp("drawn")
    sample = only(source(folder, about(shape(points, kind, mask=""))))
    if isinstance(sample, Sample):
        assert label_map(sample).shape == (HEIGHT, WIDTH)
    else:
        assert str(sample).startswith(f"{folder}/all/a.json: ")
