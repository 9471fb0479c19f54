import pytest

from zeroseg.datasets import class_names
from zeroseg.datasets.benchmarks import (
    ADE150,
    ADE847,
    BENCHMARKS,
    CITYSCAPES19,
    COCO_OBJECT,
    COCO_STUFF171,
    COCO_STUFF182,
    CONTEXT60,
    CONTEXT459,
    SCENES,
    VOC20,
    VOC21,
    Benchmark,
)
from zeroseg.datasets.own_benchmarks import benchmark_named
from zeroseg.datasets.vocabularies import Vocabulary, vocabulary
from zeroseg.errors import InputError

WITHOUT_SCLIP = ("scenes", "scenes-objects", "context33-29-4", "ade847", "coco-stuff182")
WITHOUT_SCLIP += ("pascal-context459",)
PAIRS = [
    *((benchmark, names) for benchmark in BENCHMARKS.values() for names in ("plain", "official")),
    *((b, "sclip") for name, b in BENCHMARKS.items() if name not in WITHOUT_SCLIP),
    *(
        (b, "groupvit")
        for name, b in BENCHMARKS.items()
        if name.startswith(("voc", "context6", "context59", "coco-object", "coco-things"))
    ),
    (ADE150, "synonyms"),
    (ADE847, "synonyms"),
]
EVERY = pytest.mark.parametrize(
    ("benchmark", "names"), PAIRS, ids=[f"{b.name} {names}" for b, names in PAIRS]
)


def words(benchmark: Benchmark, names: str, name: str) -> list[str]:
    found = vocabulary(benchmark, names)
    owner = benchmark.classes.index(name)
    return [q for q, o in zip(found.queries, found.owners, strict=True) if o == owner]


@EVERY
def test_every_class_has_a_query_and_every_query_a_class_in_order(benchmark, names):
    found = vocabulary(benchmark, names)
    assert len(found.queries) == len(found.owners)
    assert list(found.owners) == sorted(found.owners)
    assert {*found.owners} | {0} == {*range(len(benchmark.classes))}
    if not benchmark.background:
        assert 0 in found.owners


@EVERY
def test_queries_are_words_and_no_two_are_the_same(benchmark, names):
    queries = vocabulary(benchmark, names).queries
    assert all(query and query == query.strip() for query in queries)
    if (benchmark.background, names) == (True, "sclip") and "bed" in benchmark.classes:
        queries = queries[26:]  # SCLIP asks for COCO's bed among the background words too
    assert len({*queries}) == len(queries)


@EVERY
def test_background_is_asked_for_in_sclips_words_alone(benchmark, names):
    queries = words(benchmark, names, benchmark.classes[0])
    if benchmark.background:
        context = benchmark.names == class_names.CONTEXT
        assert len(queries) == ((1 if context else 26) if names == "sclip" else 0)
    else:
        assert queries


@EVERY
def test_only_sclip_asks_for_a_class_in_several_queries(benchmark, names):
    found = vocabulary(benchmark, names)
    several = {benchmark.classes[o] for o in found.owners if found.owners.count(o) > 1}
    assert several <= ({"background", "person", "tvmonitor"} if names == "sclip" else set())


@pytest.mark.parametrize(
    ("benchmark", "names", "name", "expected"),
    [
        (VOC21, "plain", "diningtable", ["dining table"]),
        (VOC21, "official", "diningtable", ["diningtable"]),
        (VOC21, "groupvit", "diningtable", ["table"]),
        (VOC21, "sclip", "diningtable", ["table"]),
        (VOC21, "plain", "aeroplane", ["aeroplane"]),
        (CONTEXT60, "groupvit", "aeroplane", ["airplane"]),
        (VOC21, "groupvit", "aeroplane", ["aeroplane"]),
        (VOC20, "sclip", "boat", ["ship"]),
        (CONTEXT60, "sclip", "boat", ["boat"]),
        (VOC20, "sclip", "pottedplant", ["pottedplant"]),
        (COCO_STUFF171, "plain", "playingfield", ["playing field"]),
        (COCO_STUFF171, "plain", "sky-other", ["sky"]),
        (COCO_STUFF171, "plain", "door-stuff", ["door"]),
        (COCO_STUFF171, "plain", "wall-brick", ["wall-brick"]),
        (COCO_STUFF171, "official", "sky-other", ["sky-other"]),
        (COCO_STUFF171, "sclip", "hot dog", ["hotdog"]),
        (ADE150, "sclip", "pool table", ["pooltable"]),
        (ADE150, "synonyms", "pool table", ["pool table, billiard table, snooker table"]),
        (ADE150, "synonyms", "wall", ["wall"]),
        (ADE847, "plain", "signboard", ["signboard"]),
        (ADE847, "plain", "patio, terrace", ["patio, terrace"]),
        (ADE847, "synonyms", "signboard", ["signboard, sign"]),
        (ADE847, "synonyms", "patio", ["patio"]),
        (CONTEXT459, "plain", "pottedplant", ["potted plant"]),
        (CONTEXT459, "plain", "pool table", ["pool table"]),
        (COCO_STUFF182, "plain", "door", ["door"]),
        (COCO_STUFF182, "plain", "door-stuff", ["door-stuff"]),
        (COCO_STUFF182, "plain", "sky-other", ["sky"]),
        (CITYSCAPES19, "sclip", "traffic sign", ["trafficsign"]),
        (SCENES, "plain", "red ball", ["red ball"]),
    ],
)
def test_a_class_is_asked_for_as_its_source_has_it(benchmark, names, name, expected):
    assert words(benchmark, names, name) == expected


def test_sclip_asks_for_a_person_in_what_people_wear():
    clothes = ("shirt", "jeans", "dress", "sweater", "skirt", "jacket")
    worn = [f"person in {garment}" for garment in clothes]
    assert words(VOC21, "sclip", "person") == ["person", *worn]
    assert words(COCO_OBJECT, "sclip", "person") == ["person", *worn, "body"]


@pytest.mark.parametrize(
    ("benchmark", "names", "count"),
    [
        (VOC21, "plain", 20),
        (VOC21, "sclip", 26 + 20 + 6 + 4),
        (VOC20, "sclip", 20 + 6 + 4),
        (CONTEXT60, "sclip", 60),
        (COCO_OBJECT, "sclip", 26 + 80 + 7),
        (COCO_STUFF171, "sclip", 171),
        (ADE150, "synonyms", 150),
        (ADE847, "synonyms", 847),
    ],
)
def test_there_are_as_many_queries_as_in_the_source(benchmark, names, count):
    assert len(vocabulary(benchmark, names).queries) == count


def test_a_split_has_the_words_of_its_benchmark():
    for names in ("plain", "groupvit", "sclip"):
        assert vocabulary(benchmark_named("voc21-k10"), names) == vocabulary(VOC21, names)


def test_a_users_own_words_are_asked_as_they_are():
    mine = Benchmark(name="mine", classes=("background", "T-shirt", "cat, kitten"), background=True)
    assert vocabulary(mine) == Vocabulary(("T-shirt", "cat, kitten"), (1, 2))


@pytest.mark.parametrize(
    ("benchmark", "names", "known"),
    [
        (SCENES, "sclip", "plain, official, named"),
        (COCO_STUFF171, "groupvit", "plain, official, named, sclip"),
        (VOC21, "synonyms", "plain, official, named, groupvit, sclip"),
    ],
)
def test_names_that_a_benchmark_lacks_are_an_error_naming_those_it_has(benchmark, names, known):
    with pytest.raises(InputError, match=f"{benchmark.name}.*{names}.*choose one of {known}$"):
        vocabulary(benchmark, names)


def test_a_query_without_an_owner_is_an_error():
    with pytest.raises(InputError, match="2 queries for 1"):
        Vocabulary(("cat", "dog"), (0,))
