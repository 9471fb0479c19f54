"""Benchmarks in files of anybody's own, and those that shards describe themselves."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.datasets.benchmarks import VOC21
from zeroseg.datasets.own_benchmarks import (
    BenchmarkFile,
    benchmark_named,
    kept_name,
    own_benchmark,
    spelled,
)
from zeroseg.errors import InputError

KITCHEN = {
    "name": "kitchen",
    "classes": ["background", "cup|mug", "fork", "wok, pan"],
    "unseen": ["pan"],
}


def written(folder, **changed) -> str:
    path = folder / "kitchen.json"
    path.write_text(json.dumps(KITCHEN | changed))
    return str(path)


def test_a_file_gives_classes_synonyms_background_and_what_is_unseen(tmp_path):
    found = benchmark_named(written(tmp_path))
    assert found.classes == ("background", "cup, mug", "fork", "wok, pan")
    assert found.names == found.classes[1:]
    assert found.background
    assert found.unseen == {"wok, pan"}
    assert found.name.startswith("kitchen-")


def test_background_may_be_said(tmp_path):
    assert not benchmark_named(written(tmp_path, background=False)).background
    assert benchmark_named(written(tmp_path, classes=["else", "a", "pan"], background=True)).names


def test_two_of_one_name_have_other_names_where_anything_differs(tmp_path):
    changes = [{}, {"unseen": []}, {"background": False}, {"classes": ["background", "a", "pan"]}]
    names = [benchmark_named(written(tmp_path, **change)).name for change in changes]
    assert len(set(names)) == len(names)
    assert benchmark_named(written(tmp_path)).name == names[0]


def test_the_text_that_is_kept_is_the_benchmark_when_the_file_is_gone(tmp_path):
    path = written(tmp_path)
    found, text = benchmark_named(path), kept_name(path)
    (tmp_path / "kitchen.json").unlink()
    assert benchmark_named(text) == found
    assert kept_name(text) == text
    assert kept_name("voc21") == "voc21"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ["a", "a", "b"]}, "names a twice"),
        ({"classes": ["a"], "unseen": []}, "at least two"),
        ({"classes": ["a", " , "]}, "holds no word"),
        ({"classes": "a, b"}, "classes: expected a list"),
        ({"unseen": ["spoon"]}, "unseen classes"),
        ({"name": "../x"}, "benchmark name '../x'"),
        ({"format": 2}, "format"),
        ({"colour": 1}, "unknown fields"),
    ],
)
def test_a_file_that_is_wrong_is_an_error_of_one_line_naming_it(tmp_path, change, said):
    with pytest.raises(InputError) as caught:
        benchmark_named(written(tmp_path, **change))
    assert said in str(caught.value)
    assert "kitchen.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[1, 2]", b"\xff\xfe\x00", b'{"name": "x"}', b"{"])
def test_a_file_that_is_none_is_named(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match="x\\.json"):
        benchmark_named(str(path))
    with pytest.raises(InputError, match=r"y\.json' cannot be read"):
        benchmark_named(str(tmp_path / "y.json"))
    with pytest.raises(InputError, match="cannot be read"):
        benchmark_named(f"{tmp_path}/folder\0.json")


def test_own_is_what_a_manifest_says():
    found = own_benchmark(("background", "cup, mug", "fork"), "shards")
    assert (found.background, found.names) == (True, ("cup, mug", "fork"))
    assert own_benchmark(VOC21.classes, "x").name != own_benchmark(VOC21.names, "x").name
    assert not own_benchmark(("wall", "floor"), "shards").background
    with pytest.raises(InputError, match="data/val is not labelled"):
        own_benchmark((), "data/val")
    with pytest.raises(InputError, match="manifest of labelled shards"):
        benchmark_named("own")


words = st.text(st.characters(exclude_categories=("C",), exclude_characters=",|"), min_size=1)


@given(
    st.lists(words.filter(str.strip), min_size=1, max_size=4), st.sampled_from([",", "|", " | "])
)
def test_synonyms_are_spelled_in_one_way_however_they_are_separated(parts, separator):
    assert spelled(separator.join(parts)) == ", ".join(" ".join(p.split()) for p in parts)
    assert spelled(spelled(separator.join(parts))) == spelled(separator.join(parts))


def test_the_same_file_with_other_spelling_is_the_same_benchmark():
    a = BenchmarkFile(name="x", classes=("a|b", "c")).benchmark
    assert a == BenchmarkFile(name="x", classes=("a, b", " c ")).benchmark
