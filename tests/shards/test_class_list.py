"""Class lists in the forms in which people have them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.class_entries import parse_colour
from shards.class_list import read_class_list
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def read(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_class_list(path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("names.txt", "cup|mug\nfork\n"),
        ("names.txt", "\ufeffcup,  mug\r\nfork\r\n\r\n"),
        ("names", "cup , mug\nfork"),
        ("names.csv", "name\ncup|mug\nfork\n"),
        ("names.csv", 'id,name\n1,fork\n0,"cup, mug"\n'),
        ("names.csv", "0,cup|mug\n1,fork\n"),
        ("names.csv", "name\ncup, mug\nfork\n"),
        ("names.csv", 'name;id\n"cup, mug";0\nfork;1\n'),
        ("labels.txt", "1: fork\n0: cup, mug\n"),
        ("labels.txt", "0 cup|mug\n1 fork\n"),
        ("config.json", '{"id2label": {"0": "cup|mug", "1": "fork"}}'),
        ("coco.json", '{"categories": [{"id": 1, "name": "fork"}, {"id": 0, "name": "cup|mug"}]}'),
        ("names.csv", "Name;Index\ncup|mug;0\nfork;1\n"),
        ("names.tsv", "1\tfork\n0\tcup, mug\n"),
        ("names.json", '["cup|mug", "fork"]'),
        ("names.json", '{"1": "fork", "0": "cup, mug"}'),
        ("names.json", '{"fork": 1, "cup|mug": 0}'),
        ("names.json", '[{"id": 1, "name": "fork"}, {"id": 0, "name": "cup|mug"}]'),
        ("benchmark.json", '{"name": "x", "classes": ["cup|mug", "fork"]}'),
    ],
)
def test_names_and_ids_are_the_same_in_every_form(tmp_path, file, text):
    found = read(tmp_path, file, text)
    assert found.names == ("cup, mug", "fork")
    assert found.ids == {0: 0, 1: 1}
    assert not found.colours
    assert found.by_name == {"cup, mug": 0, "cup": 0, "mug": 0, "fork": 1}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("colours.csv", "name,r,g,b\ncup,255,0,0\nfork,0,0,255\n"),
        ("colours.csv", "cup,255,0,0\nfork,0,0,255\n"),
        ("colours.csv", "255,0,0,cup\n0,0,255,fork\n"),
        ("colours.csv", "name,color\ncup,#ff0000\nfork,#0000FF\n"),
        ("colours.csv", 'label,rgb\ncup,"255,0,0"\nfork,"(0, 0, 255)"\n'),
        ("colours.json", '{"cup": [255, 0, 0], "fork": [0, 0, 255]}'),
        ("labelmap.txt", "# label:color_rgb:parts:actions\ncup:255,0,0::\nfork:0,0,255:a:b\n"),
        ("colours.json", '{"cup": "#ff0000", "fork": "#0000ff"}'),
        (
            "colours.json",
            '[{"name": "cup", "color": "#ff0000"}, {"name": "fork", "color": "#00f"}]',
        ),
    ],
)
def test_colours_are_read_and_are_then_all_that_is_known(tmp_path, file, text):
    found = read(tmp_path, file, text.replace('#00f"', '#0000ff"'))
    assert (found.names, found.ids) == (("cup", "fork"), {})
    assert found.colours == {RED: 0, BLUE: 1}


def test_ids_with_gaps_are_labels_in_their_order(tmp_path):
    found = read(tmp_path, "x.csv", "id,name,r,g,b\n33,fork,0,0,255\n7,cup,255,0,0\n")
    assert found.names == ("cup", "fork")
    assert found.ids == {7: 0, 33: 1}
    assert found.colours == {RED: 0, BLUE: 1}


def test_pixels_without_a_label_are_backgrounds_where_that_comes_first(tmp_path):
    assert read(tmp_path, "x.txt", "Background\ncup").unlabelled == 0
    assert read(tmp_path, "x.txt", "cup\nbackground").unlabelled == IGNORE


def test_a_synonym_of_two_classes_names_neither(tmp_path):
    assert read(tmp_path, "x.txt", "cup, pot\npan, pot").by_name.keys() == {
        *("cup", "cup, pot", "pan", "pan, pot")
    }


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("x.txt", "", "empty"),
        ("x.txt", "cup\n\nfork", "line 2 is empty"),
        ("x.txt", "cup\ncup", "come twice, the first 'cup'"),
        ("x.txt", "cup\n,", "holds no word"),
        ("x.txt", b"\xff\xfecup", "cannot be read"),
        ("x.csv", "id,name\n0,cup\n0,fork", "ids that come twice"),
        ("x.csv", "id,name\nx,cup", "'x' is no id"),
        ("x.csv", "id,name\n-1,cup", "id -1"),
        ("x.csv", "id,name\n70000,cup", "id 70000"),
        ("x.csv", "id,name\n1", "not as many fields"),
        ("x.csv", "name,r,g,b\ncup,256,0,0", "no colour"),
        ("x.csv", "id,name\n0,cup, mug", "not as many fields"),
        ("x.csv", "name,color\ncup,reddish", "'reddish' is no colour"),
        ("x.csv", "cup,1,2\n", "head the columns"),
        ("x.csv", "name,r,g,b\ncup,1,1,1\nfork,1,1,1", "colours that come twice"),
        ("x.json", "{", "x.json"),
        ("x.json", "[1, 2]", "1 is no name"),
        ("x.json", '{"cup": [1, 2]}', "x.json"),
        ("x.json", '{"cup": true}', "True is no name"),
        ("x.json", '[{"color": "#ffffff"}]', "x.json"),
        ("x.json", '["cup", {"id": 1, "name": "fork"}]', "all or none"),
        ("x.json", "[" * 100_000, "x.json"),
        ("x.json", "3", "a list of names"),
    ],
)
def test_what_is_no_list_is_an_error_of_one_line_naming_the_file(tmp_path, file, text, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path, file, text)
    assert said in str(caught.value)
    assert file in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="--classes FILE"):
        read_class_list(None)
    with pytest.raises(InputError, match=r"no\.txt cannot be read"):
        read_class_list(tmp_path / "no.txt")


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_colour_is_read_however_it_is_written(colour):
    red, green, blue = colour
    for text in (
        f"#{red:02x}{green:02X}{blue:02x}",
        f"{red},{green},{blue}",
        f"({red} {green} {blue})",
    ):
        assert parse_colour(text) == colour


names = st.text("abc dé", min_size=1, max_size=4).map(str.strip).filter(bool)


@given(st.dictionaries(st.integers(0, IGNORE), names, min_size=1, max_size=5))
def test_any_ids_keep_their_names(tmp_path_factory, ids):
    if len({" ".join(name.split()) for name in ids.values()}) < len(ids):
        return
    folder = tmp_path_factory.mktemp("lists")
    found = read(folder, "x.json", json.dumps(ids))
    assert {i: found.names[label] for i, label in found.ids.items()} == {
        i: " ".join(name.split()) for i, name in ids.items()
    }


@given(st.binary(max_size=60), st.sampled_from(["x.txt", "x.csv", "x.json"]))
def test_any_bytes_are_a_list_or_an_error_of_one_line(tmp_path_factory, data, file):
    try:
        read(tmp_path_factory.mktemp("lists"), file, data)
    except InputError as error:
        lines = str(error).splitlines()
    else:
        return
    assert len(lines) == 1
