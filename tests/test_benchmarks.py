import pytest

from zeroseg.data.benchmarks import (
    BENCHMARKS,
    COCO_OBJECT,
    IGNORE,
    SCENES,
    SCENES_OBJECTS,
    VOC20,
    VOC21,
    Benchmark,
)
from zeroseg.errors import InputError

ALL = pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
SIZES = {
    "scenes": 24,
    "scenes-objects": 19,
    "voc21": 21,
    "voc20": 20,
    "coco-object": 81,
    "coco-things": 80,
}


def test_there_are_as_many_classes_as_each_benchmark_has():
    assert {name: len(b.classes) for name, b in BENCHMARKS.items()} == SIZES


@ALL
def test_class_names_are_plain_and_unique(benchmark):
    assert len(set(benchmark.classes)) == len(benchmark.classes)
    assert all(name and name == name.strip() for name in benchmark.classes)
    assert BENCHMARKS[benchmark.name] is benchmark


@ALL
def test_background_comes_first_and_has_no_text(benchmark):
    assert benchmark.background == (benchmark.classes[0] == "background")
    assert "background" not in benchmark.names
    assert benchmark.names == benchmark.classes[len(benchmark.classes) - len(benchmark.names) :]


@ALL
def test_every_index_of_a_label_map_is_a_class_or_ignored(benchmark):
    assert set(benchmark.label_map) <= {*range(len(benchmark.classes)), IGNORE}


@pytest.mark.parametrize(("narrow", "wide"), [(VOC20, VOC21), (SCENES_OBJECTS, SCENES)])
def test_a_narrow_benchmark_maps_every_label_of_the_wide_one_to_the_same_name(narrow, wide):
    assert len(narrow.label_map) == len(wide.classes)
    for name, index in zip(wide.classes, narrow.label_map, strict=True):
        if name in narrow.classes:
            assert narrow.classes[index] == name


def test_voc_without_background_ignores_background_alone():
    assert [c for c, i in zip(VOC21.classes, VOC20.label_map, strict=True) if i == IGNORE] == [
        "background"
    ]
    assert VOC20.classes == VOC21.names


def test_scenes_objects_turns_stuff_and_nothing_else_into_background():
    stuff = [c for c, i in zip(SCENES.classes, SCENES_OBJECTS.label_map, strict=True) if i == 0]
    assert stuff == ["grass", "water", "sand", "sky", "brick", "pavement"]


@pytest.mark.parametrize("benchmark", [SCENES, SCENES_OBJECTS], ids=lambda b: b.name)
def test_four_scene_classes_are_unseen_shapes_of_seen_ones_in_colours_of_their_own(benchmark):
    seen = set(benchmark.names) - benchmark.unseen
    assert len(benchmark.unseen) == 4
    assert len(seen | benchmark.unseen) == len(benchmark.names)
    seen_objects = [name for name in seen if " " in name]
    colours, shapes = (set(words) for words in zip(*map(str.split, seen_objects), strict=True))
    for name in benchmark.unseen:
        colour, shape = name.split()
        assert shape in shapes
        assert colour not in colours


def test_coco_and_voc_keep_their_official_order():
    assert [COCO_OBJECT.classes[i] for i in (1, 40, 80)] == ["person", "bottle", "toothbrush"]
    assert [VOC21.classes[i] for i in (1, 15, 20)] == ["aeroplane", "person", "monitor"]


@pytest.mark.parametrize("background", [True, False])
def test_a_name_given_twice_is_an_error_naming_it(background):
    with pytest.raises(InputError, match="cat"):
        Benchmark(name="x", classes=("dog", "cat", "owl", "cat"), background=background)


@pytest.mark.parametrize(
    ("classes", "background"), [((), False), (("cat",), False), (("background", "cat"), True)]
)
def test_fewer_than_two_names_are_an_error(classes, background):
    with pytest.raises(InputError, match="at least two"):
        Benchmark(name="x", classes=classes, background=background)


def test_an_unseen_class_that_does_not_exist_is_an_error_naming_it():
    with pytest.raises(InputError, match="unicorn"):
        Benchmark(
            name="x", classes=("a", "b"), background=False, unseen=frozenset({"unicorn", "a"})
        )
