"""Label Studio's JSON export, and the run lengths of its brush."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.label_studio import LabelStudio
from shards.label_studio_runs import brushed
from tests.support.corpora import bad, put, samples
from tests.support.drawings import HEIGHT, WIDTH, block, label_map, only, photo, upright
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

NAMES = "fork\ncup|mug"
WIDTHS = (3, 4, 8, 16)


def packed(values: list[int], runs: list[tuple[bool, int]], word: int = 8) -> bytes:
    """Values in blocks: (repeated, how many) of each."""
    bits = f"{len(values):032b}{word - 1:05b}" + "".join(f"{w - 1:04b}" for w in WIDTHS)
    place = 0
    for repeated, count in runs:
        which = next(n for n, width in enumerate(WIDTHS) if count <= 2**width)
        bits += f"{int(repeated)}{which:02b}{count - 1:0{WIDTHS[which]}b}"
        for value in values[place : place + (1 if repeated else count)]:
            bits += f"{value:0{word}b}"
        place += count
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def strokes(mask: np.ndarray) -> list[int]:
    """A mask as the brush leaves it: the same in four channels."""
    values = np.repeat(mask.astype(int) * 255, 4, axis=-1).ravel().tolist()
    return list(packed(values, [(False, len(values))]))


def test_runs_and_single_values_are_the_pixels_in_their_order():
    values = [*(9, 9, 9, 255), *(0, 0, 0, 0), *(255, 0, 0, 0), *(0, 0, 0, 1), *(7,) * 8]
    data = packed(values, [(False, 4), (True, 4), (False, 8), (True, 8)])
    assert brushed(data, (3, 2)).tolist() == [[True, False, False], [True, True, True]]
    assert len(data) == math.ceil((32 + 5 + 16 + 2 * (6 + 8) + (6 + 32) + (6 + 64)) / 8)


def test_bytes_of_a_known_stream():
    """One white pixel: 4 values of 8 bits, widths 3, 4, 8 and 16, one run of 4 times 255."""
    bits = f"{4:032b}" + "00111" + "0010" + "0011" + "0111" + "1111" + "1" + "00" + "011" + "1" * 8
    data = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(math.ceil(len(bits) / 8))
    assert list(data) == [0, 0, 0, 4, 57, 27, 252, 127, 224]
    assert brushed(data, (1, 1)).tolist() == [[True]]


@given(st.data())
def test_any_blocks_are_unpacked_to_what_was_packed(data):
    width, height = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    values: list[int] = []
    runs = []
    while len(values) < width * height * 4:
        count = data.draw(st.integers(1, width * height * 4 - len(values)))
        repeated = data.draw(st.booleans())
        drawn = st.integers(0, 255)
        same = [data.draw(drawn)] * count
        values += same if repeated else [data.draw(drawn) for _ in range(count)]
        runs.append((repeated, count))
    alpha = np.array(values).reshape(height, width, 4)[..., 3] > 0
    assert np.array_equal(brushed(packed(values, runs), (width, height)), alpha)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_mask_or_a_value_error(data):
    for end in (data, (16).to_bytes(4) + data):
        try:
            assert brushed(end, (2, 2)).shape == (2, 2)
        except ValueError:
            continue


def region(kind, value, labels=("cup",), size=(WIDTH, HEIGHT), **others):
    return {
        "id": "r",
        "type": kind,
        "from_name": "tag",
        "to_name": "image",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": value | {kind: list(labels)},
    } | others


def percent(*points):
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]


def rectangle(left, top, right, bottom, labels=("cup",), **others):
    (x, y), (width, height) = percent((left, top), (right - left, bottom - top))
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0} | others
    return region("rectanglelabels", value, labels)


POLYGON = region(
    "polygonlabels", {"points": percent((2, 3), (9, 3), (9, 8), (2, 8)), "closed": True}
)


def task(*regions, image="/data/upload/1/0a1b2c3d-a.jpg", **others):
    return {"id": 7, "data": {"image": image}, "annotations": [{"result": list(regions)} | others]}


def source(folder, tasks, data=None, names=NAMES, **options):
    content = tasks if isinstance(tasks, bytes) else json.dumps(tasks).encode()
    files = {"export.json": content, "images/a.jpg": data or photo(), "n.txt": names.encode()}
    put(str(folder), files)
    given = {"classes": folder / "n.txt"} | options
    return LabelStudio(folder / "export.json", folder / "images", **given).source()


def brush(mask, **others):
    return region("brushlabels", {"format": "rle", "rle": strokes(mask)}, **others)


@pytest.mark.parametrize(
    "drawn",
    [
        POLYGON,
        rectangle(2, 3, 9, 8),
        rectangle(2, 3, 9, 8, ["mug"]),
        brush(block(2, 3, 9, 8) == 1),
        POLYGON | {"type": "labels", "value": POLYGON["value"] | {"labels": ["cup"]}},
    ],
)
def test_a_region_of_any_type_covers_its_pixels_alone(tmp_path, drawn):
    found = label_map(only(source(tmp_path, [task(drawn)])))
    assert found.tolist() == block(2, 3, 9, 8).tolist()


def test_a_rectangle_is_turned_clockwise_about_its_upper_left_corner(tmp_path):
    drawn = rectangle(9, 2, 15, 6, rotation=90)
    found = label_map(only(source(tmp_path, [task(drawn)])))
    assert found.tolist() == block(5, 2, 9, 8).tolist()


def test_later_regions_lie_over_earlier_ones_and_what_has_no_area_is_passed_over(tmp_path):
    others = [
        region("keypointlabels", {"x": 1, "y": 1, "width": 1}),
        {"type": "choices", "value": {"choices": ["good"]}},
        {"type": "relation", "from_id": "a"},
        region("polygon", POLYGON["value"]),
    ]
    found = source(tmp_path, [task(POLYGON, *others, rectangle(4, 4, 6, 6, ["fork"]))])
    expected = block(2, 3, 9, 8)
    expected[4:6, 4:6] = 0
    assert label_map(only(found)).tolist() == expected.tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_drawn_on_the_upright_picture_lies_there(tmp_path, orientation):
    for drawn in (POLYGON, brush(block(2, 3, 9, 8) == 1)):
        found = only(source(tmp_path, [task(drawn)], photo(orientation)))
        assert upright(found).tolist() == block(2, 3, 9, 8).tolist()


@pytest.mark.parametrize(
    "name",
    [
        "/data/upload/1/0a1b2c3d-a.jpg",
        "https://host/x/y/a.jpg?token=3",
        "s3://bucket/images/a.jpg",
        "/data/local-files/?d=some/where/a.jpg",
        "a.jpg",
    ],
)
def test_a_photo_is_found_by_what_the_task_names(tmp_path, name):
    assert only(source(tmp_path, [task(POLYGON, image=name)])).key == "a"  # type: ignore[union-attr]


def test_a_longer_path_that_is_there_goes_before_the_name_alone(tmp_path):
    put(str(tmp_path), {"images/sub/a b.jpg": photo()})
    found = only(source(tmp_path, [task(POLYGON, image="/data/local-files/?d=x/sub/a%20b.jpg")]))
    assert found.source == "sub/a b.jpg"  # type: ignore[union-attr]


def test_the_ground_truth_counts_or_else_the_last_that_was_not_cancelled(tmp_path):
    first, second = rectangle(0, 0, 4, 4), rectangle(5, 5, 9, 9)
    one = task(first) | {
        "annotations": [
            {"result": [first]},
            {"result": [second]},
            {"result": [POLYGON], "was_cancelled": True},
        ]
    }
    assert label_map(only(source(tmp_path, [one]))).tolist() == block(5, 5, 9, 9).tolist()
    one["annotations"][0]["ground_truth"] = True
    assert label_map(only(source(tmp_path, [one]))).tolist() == block(0, 0, 4, 4).tolist()
    (told,) = bad(source(tmp_path, [one | {"annotations": []}]))
    assert told == f"{tmp_path}/export.json: task 7: has no annotation"


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (rectangle(2, 3, 9, 8, ["spoon"]), "label 'spoon' is not in the class list"),
        (rectangle(2, 3, 9, 8, []), "0 labels"),
        (rectangle(2, 3, 9, 8, ["cup", "fork"]), "2 labels"),
        (rectangle(2, 3, math.nan, 8), "no number near"),
        (rectangle(2, 3, 1e12, 8), "no number near"),
        (rectangle(2, 3, 9, 8, rotation=math.inf), ""),
        (region("polygonlabels", {"points": [[1]]}), "not readable"),
        (region("polygonlabels", {"points": [[1, None]] * 3}), "not readable"),
        (POLYGON | {"original_width": None}, "not readable"),
        (POLYGON | {"original_width": 7}, "it is for 7x12"),
        (POLYGON | {"image_rotation": 90}, "turned in the tool"),
        (region("ellipselabels", {"x": 1}), "'ellipselabels' is not read"),
        (region("brushlabels", {"rle": [1, 2, 3]}), "end too early"),
        (region("brushlabels", {"rle": [256]}), "not readable"),
        (region("brushlabels", {"rle": "text"}), "not readable"),
        (region("brushlabels", {"rle": strokes(np.ones((3, 3), bool))}), "values, not 4 of 20x12"),
        (3, "not readable"),
    ],
)
def test_what_cannot_be_drawn_leaves_the_image_out_by_name(tmp_path, drawn, said):
    (told,) = bad(source(tmp_path, [task(drawn)]))
    assert told.startswith(f"{tmp_path}/export.json: task 7: ")
    assert said in told
    assert "\n" not in told


def test_a_label_that_is_ignored_covers_with_what_no_score_counts(tmp_path):
    names = f"background\n{NAMES}"
    found = only(source(tmp_path, [task(rectangle(2, 3, 9, 8, ["?"]))], names=names, ignore=("?",)))
    assert label_map(found).tolist() == np.where(block(2, 3, 9, 8) == 1, IGNORE, 0).tolist()


def test_a_missing_photo_is_named(tmp_path):
    tasks = [task(POLYGON), task(POLYGON, image="/data/upload/1/0a1b2c3d-b.jpg")]
    found = samples(source(tmp_path, tasks))
    assert str(found[0]) == f"{tmp_path}/images/0a1b2c3d-b.jpg: missing"


def test_a_malformed_task_is_named_and_the_others_are_read(tmp_path):
    for strange in (3, {}, {"data": 3}, task(image=""), {"data": {"image": "x.jpg"}}):
        (told,) = bad(source(tmp_path, [strange, task(POLYGON)]))
        assert told.startswith(f"{tmp_path}/export.json: task at place 1: not readable")
        assert len(samples(source(tmp_path, [strange, task(POLYGON)]))) == 2


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b'{"a": 1}', b"[1]", b"[" * 100_000, b"\xff"),
        json.dumps([{"image": "/a.jpg", "label": []}]).encode(),
        json.dumps([task(), task()]).encode(),
        json.dumps([task(image="")]).encode(),
    ],
)
def test_a_file_that_is_no_export_is_refused_by_name(tmp_path, content):
    with pytest.raises(InputError, match=r"export\.json"):
        source(tmp_path, content)


def test_missing_parts_are_errors(tmp_path):
    with pytest.raises(InputError, match="--classes FILE"):
        source(tmp_path, [task(POLYGON)], classes=None)
    with pytest.raises(InputError, match="nowhere"):
        LabelStudio(tmp_path / "nowhere", tmp_path).source()
