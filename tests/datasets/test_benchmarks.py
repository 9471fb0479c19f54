import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.build import Limits, build
from shards.coco import COCOStuff
from shards.context import PascalContext
from tests.support.corpora import put
from tests.support.releases import MAIN_FILES, MAT_FILES, STUFF_FILES, STUFF_IDS, good
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets import class_names
from zeroseg.datasets.benchmarks import (
    ADE150,
    ADE847,
    BENCHMARKS,
    CITYSCAPES19,
    COCO_OBJECT,
    COCO_STUFF171,
    COCO_STUFF182,
    COCO_THINGS,
    CONTEXT59,
    CONTEXT60,
    CONTEXT459,
    IGNORE,
    SCENES,
    SCENES_OBJECTS,
    VOC20,
    VOC21,
    Benchmark,
)
from zeroseg.datasets.own_benchmarks import benchmark_named
from zeroseg.errors import InputError
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

ALL = pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
SIZES = {
    "scenes": 24,
    "scenes-objects": 19,
    "voc21": 21,
    "voc20": 20,
    "context60": 60,
    "context59": 59,
    "coco-object": 81,
    "coco-things": 80,
    "coco-stuff171": 171,
    "ade150": 150,
    "cityscapes19": 19,
    "pascal-context459": 459,
    "coco-stuff182": 182,
    "ade847": 847,
    "voc20-15-5": 20,
    "coco-stuff171-156-15": 171,
    "context33-29-4": 33,
    **{f"voc21-k{k}": 21 for k in (2, 4, 6, 8, 10)},
    **{f"context60-k{k}": 60 for k in (2, 4, 6, 8, 10)},
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


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (VOC20, VOC21),
        (SCENES_OBJECTS, SCENES),
        (CONTEXT59, CONTEXT60),
        (COCO_THINGS, COCO_OBJECT),
        (benchmark_named("context33-29-4"), CONTEXT60),
    ],
    ids=lambda b: b.name,
)
def test_a_narrow_benchmark_maps_every_label_of_the_wide_one_to_the_same_name(narrow, wide):
    assert len(narrow.label_map) == len(wide.classes)
    for name, index in zip(wide.classes, narrow.label_map, strict=True):
        if name in narrow.classes:
            assert narrow.classes[index] == name
        else:
            assert index == (0 if narrow.background else IGNORE)


@pytest.mark.parametrize(
    ("narrow", "wide"), [(VOC20, VOC21), (CONTEXT59, CONTEXT60), (COCO_THINGS, COCO_OBJECT)]
)
def test_a_benchmark_without_background_ignores_background_alone(narrow, wide):
    assert narrow.label_map == (IGNORE, *range(len(narrow.classes)))
    assert narrow.classes == wide.names


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


@pytest.mark.parametrize(
    ("benchmark", "places"),
    [
        (VOC21, {1: "aeroplane", 11: "diningtable", 15: "person", 20: "tvmonitor"}),
        (CONTEXT60, {1: "aeroplane", 2: "bag", 40: "pottedplant", 55: "tvmonitor", 59: "wood"}),
        (COCO_OBJECT, {1: "person", 40: "bottle", 80: "toothbrush"}),
        (COCO_STUFF171, {0: "person", 79: "toothbrush", 80: "banner", 145: "sky-other"}),
        (COCO_STUFF171, {84: "building-other", 159: "wall-brick", 170: "wood"}),
        (ADE150, {0: "wall", 7: "bed", 12: "person", 89: "television receiver", 149: "flag"}),
        (CONTEXT459, {0: "accordion", 307: "pottedplant", 430: "unknown", 458: "wool"}),
        (COCO_STUFF182, {0: "person", 11: "street sign", 90: "hair brush", 181: "wood"}),
        (ADE847, {0: "wall", 114: "bag", 235: "patio", 280: "patio, terrace"}),
        (ADE847, {147: "screen, crt screen", 846: "adding machine"}),
        (CITYSCAPES19, {0: "road", 6: "traffic light", 12: "rider", 18: "bicycle"}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_classes_keep_their_official_place_and_spelling(benchmark, places):
    assert {i: benchmark.classes[i] for i in places} == places


def test_classes_that_datasets_sort_by_name_are_sorted():
    sorted_lists = (class_names.VOC, class_names.CONTEXT, class_names.CONTEXT459)
    for names in (*sorted_lists, class_names.COCO_STUFF):
        assert list(names) == sorted(names)


def test_every_ade_class_is_the_first_of_its_synonyms():
    assert len(class_names.ADE_SYNONYMS) == 150
    for name, synonyms in zip(class_names.ADE, class_names.ADE_SYNONYMS, strict=True):
        words = synonyms.split(", ")
        assert words[0] == name
        assert len(set(words)) == len(words)


def test_classes_of_ade_that_begin_alike_have_all_their_synonyms_and_others_the_first():
    lists = list(class_names.ADE847_SYNONYMS.values())
    firsts = [names.split(", ")[0] for names in lists]
    assert len(set(firsts)) == 847 - 10
    for name, first, names in zip(class_names.ADE847, firsts, lists, strict=True):
        assert name == (names if firsts.count(first) > 1 else first)
        assert len(set(names.split(", "))) == names.count(", ") + 1


def test_most_of_ades_150_classes_are_among_its_847():
    every = set(class_names.ADE847_SYNONYMS.values())
    assert len(every & set(class_names.ADE_SYNONYMS)) >= 145


def test_frequent_classes_of_context_are_among_all():
    assert set(class_names.CONTEXT) <= set(class_names.CONTEXT459)


def test_sets_of_182_ids_hold_all_of_coco_stuff(tmp_path):
    put(str(tmp_path), STUFF_FILES)
    source = COCOStuff(tmp_path, ids=182).source()
    assert COCO_STUFF182.on(source.classes).label_map == ()
    places = COCO_STUFF171.on(source.classes).label_map
    assert sorted(set(places) - {IGNORE}) == list(range(171))
    assert places.count(IGNORE) == 11


def mapped(labels, benchmark):
    table = np.arange(IGNORE + 1)
    table[: len(benchmark.label_map)] = benchmark.label_map
    return table[labels]


def test_sets_of_59_and_60_classes_give_context_the_same_truth(tmp_path):
    put(str(tmp_path / "release"), MAIN_FILES | MAT_FILES)
    truths = []
    for classes in (59, 60):
        source = PascalContext(tmp_path / "release", classes=classes).source()
        folder = str(tmp_path / str(classes))
        build(source, folder, Limits(workers=0))
        benchmark = CONTEXT59.on(open_set(folder, ShardCache()).classes)
        (sample,) = good(source).values()
        truths.append(mapped(decode_labels(sample.labels).numpy(), benchmark))
    assert truths[0].tolist() == truths[1].tolist()
    assert {0, 58, IGNORE} <= {*truths[0].flatten().tolist()}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (171, [1, 80, IGNORE, 0, 0, IGNORE]),
        (182, [1, 80, 0, 0, 0, IGNORE]),
        (81, [1, 80, 0, 0, 0, 0]),
    ],
)
def test_every_set_of_coco_stuff_holds_the_things_for_coco_object(tmp_path, ids, expected):
    put(str(tmp_path), STUFF_FILES)
    source = COCOStuff(tmp_path, ids=ids).source()
    (sample,) = good(source).values()
    benchmark = COCO_OBJECT.on(source.classes)
    assert STUFF_IDS[0].tolist() == [0, 89, 11, 91, 181, 255]  # one of a dropped category
    assert mapped(decode_labels(sample.labels).numpy(), benchmark)[0].tolist() == expected


@ALL
def test_shards_of_the_same_classes_need_no_map_and_untold_ones_the_usual(benchmark):
    assert benchmark.on(benchmark.classes).label_map == ()
    assert benchmark.on(()) is benchmark
    spelled_otherwise = [f"{i}" for i in range(len(benchmark.label_map or benchmark.classes))]
    assert benchmark.on(spelled_otherwise) is benchmark


@settings(max_examples=20)
@given(st.permutations(VOC21.classes))
def test_labels_in_any_order_are_found_by_name(order):
    for benchmark in (VOC21, VOC20):
        places = benchmark.on(order).label_map or range(21)
        for name, place in zip(order, places, strict=True):
            assert (place == IGNORE) or benchmark.classes[place] == name
            assert (place == IGNORE) == (name not in benchmark.classes)


@pytest.mark.parametrize(
    ("benchmark", "shards"),
    [(VOC21, CONTEXT60), (CONTEXT60, CONTEXT59), (COCO_STUFF171, COCO_OBJECT), (ADE150, VOC21)],
    ids=lambda b: b.name,
)
def test_shards_that_lack_classes_are_an_error_naming_the_benchmark(benchmark, shards):
    with pytest.raises(InputError, match=f"{len(shards.classes)} classes .*'{benchmark.name}'"):
        benchmark.on(shards.classes)


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
