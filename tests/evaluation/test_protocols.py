import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.datasets.benchmarks import BENCHMARKS, SCENES, SCENES_OBJECTS, SPLITS, VOC20, VOC21
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import (
    PROTOCOLS,
    Protocol,
    ProtocolConfig,
    changes,
    protocol_named,
)
from zeroseg.evaluation.task import wording
from zeroseg.evaluation.watching import Watch
from zeroseg.records import from_json, to_json

CONTEXT60, COCO_OBJECT = BENCHMARKS["context60"], BENCHMARKS["coco-object"]


@pytest.mark.parametrize(
    ("name", "thresholds"),
    [
        ("zeroseg", (0.95, 0.05, 0.35)),
        ("groupvit", (0.95, 0.35, 0.95)),
        ("tcl", (0.5, 0.5, 0.5)),
        ("tcl-pamr", (0.4, 0.4, 0.4)),
        ("sclip", (0.1, 0.1, 0.1)),
        ("honest", (None, None, None)),
    ],
)
def test_background_thresholds_are_the_published_ones(name, thresholds):
    benchmarks = VOC21, CONTEXT60, COCO_OBJECT
    found = tuple(protocol_named(name, b).background_threshold for b in benchmarks)
    assert found == thresholds
    assert protocol_named(name, VOC20).background_threshold is None


def test_sclip_has_sizes_and_scales_of_its_own_for_some_benchmarks():
    found = {n: protocol_named("sclip", BENCHMARKS[n]) for n in ("voc21", "cityscapes19", "voc20")}
    assert {n: (p.short_side, p.logit_scale, p.area_threshold) for n, p in found.items()} == {
        "voc21": (336, 65, 0.1),
        "cityscapes19": (560, 40, 0),
        "voc20": (336, 40, 0),
    }
    assert {(p.window, p.stride, p.softmax) for p in found.values()} == {(224, 112, "pixels")}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_split_is_treated_as_the_benchmark_it_is_of(name):
    for split in SPLITS:
        if split.split_of in BENCHMARKS:
            assert protocol_named(name, split) == protocol_named(name, BENCHMARKS[split.split_of])


def test_pamr_has_the_dilations_of_its_authors_in_tcl_and_no_other_protocol_refines():
    found = {name: protocol_named(name, VOC21).pamr for name in PROTOCOLS}
    assert found.pop("tcl-pamr") == (1, 2, 4, 8, 12, 24)
    assert not any(found.values())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_itself_for_every_benchmark(name):
    for benchmark in BENCHMARKS.values():
        protocol = protocol_named(name, benchmark)
        assert protocol.name == name
        assert changes(protocol, benchmark) == {}
        changed = replace(protocol, window=7, stride=7)
        assert changes(changed, benchmark) == {"window": 7, "stride": 7}
        assert (protocol.threshold_from == "held-out") <= benchmark.background


@pytest.mark.parametrize("name", ["zeroseg", "groupvit", "tcl", "tcl-pamr", "sclip"])
def test_the_papers_benchmarks_can_be_asked_by_every_published_protocol(name):
    for benchmark in (VOC21, VOC20, CONTEXT60, COCO_OBJECT):
        protocol = protocol_named(name, benchmark)
        words, templates = wording(benchmark, protocol, protocol.background_threshold)
        assert len(words.queries) == len(words.owners)
        assert set(words.owners) >= set(range(int(benchmark.background), len(benchmark.classes)))
        assert all("{}" in template for template in templates)


def test_where_a_protocol_states_no_threshold_it_must_be_chosen_elsewhere():
    assert protocol_named("honest", SCENES_OBJECTS).threshold_from == "held-out"
    assert protocol_named("honest", SCENES).threshold_from == "stated"
    assert protocol_named("zeroseg", SCENES_OBJECTS).background_threshold is None


def test_an_unknown_protocol_is_an_error_naming_those_that_exist():
    with pytest.raises(InputError, match=r"'fancy'.*zeroseg, groupvit, tcl"):
        protocol_named("fancy", VOC21)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"window": 4, "stride": 5}, "protocol.stride is 5"),
        ({"window": 4, "stride": 0}, "protocol.stride is 0"),
        ({"short_side": -1}, "protocol.short_side is -1"),
        ({"window": -1}, "protocol.window is -1"),
        ({"background_threshold": 0.5, "threshold_from": "held-out"}, "leave one of them out"),
    ],
)
def test_what_cannot_be_is_an_error_naming_the_field(fields, named):
    with pytest.raises(InputError, match=named):
        Protocol(**fields)


@pytest.mark.parametrize(
    ("size", "window", "expected"),
    [
        ((375, 500), 448, (448, 597)),  # windows of 448 are cut from it: no side is rounded
        ((375, 500), 0, (448, 592)),
        ((100, 2000), 448, (96, 2048)),  # a panorama: 102 would be, in patches of 16
        ((1, 1), 448, (448, 448)),
        ((1, 4000), 448, (16, 2048)),
    ],
)
def test_sizes_of_known_pictures(size, window, expected):
    protocol = Protocol(window=window, stride=min(window, 224))
    assert protocol.picture_size(size, 16) == expected


@given(
    st.tuples(st.integers(1, 9000), st.integers(1, 9000)),
    st.sampled_from([0, 32, 224]),
    st.sampled_from([1, 8, 14, 16]),
)
def test_every_picture_gets_a_size_that_windows_and_patches_fit(size, window, multiple):
    window = window // multiple * multiple
    protocol = Protocol(short_side=336, window=window, stride=window)
    sides = protocol.picture_size(size, multiple)
    assert max(sides) <= 2048 + multiple
    assert all(s % multiple == 0 for s in sides if not window or s < window)
    assert (sides[0] >= sides[1]) == (size[0] >= size[1]) or abs(sides[0] - sides[1]) <= multiple


def test_a_picture_has_no_size_without_a_short_side():
    with pytest.raises(InputError, match="short_side is 0"):
        Protocol(short_side=0).picture_size((5, 5), 1)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_name_selects_every_value_of_its_protocol(name):
    for benchmark in BENCHMARKS.values():
        assert ProtocolConfig(name=name).on(benchmark) == protocol_named(name, benchmark)
    watch = Watch(shards="x", benchmark="voc21", every=1, protocol=ProtocolConfig(name=name))
    read = from_json(Watch, json.loads(json.dumps(to_json(watch))), "config.json")
    assert read.protocol.on(VOC21) == protocol_named(name, VOC21)


def test_other_fields_change_the_protocol_that_was_selected_and_are_told():
    chosen = ProtocolConfig(name="sclip", window=0, templates="bare").on(VOC21)
    assert chosen == replace(protocol_named("sclip", VOC21), window=0, templates="bare")
    assert changes(chosen, VOC21) == {"window": 0, "templates": "bare"}


def test_a_threshold_is_stated_or_chosen_on_other_data_and_either_replaces_the_other():
    stated = ProtocolConfig(name="honest", background_threshold=0.5).on(VOC21)
    assert (stated.background_threshold, stated.threshold_from) == (0.5, "stated")
    chosen = ProtocolConfig(name="sclip", threshold_from="held-out").on(VOC21)
    assert (chosen.background_threshold, chosen.threshold_from) == (None, "held-out")
    both = ProtocolConfig(threshold_from="held-out", background_threshold=0.5)
    with pytest.raises(InputError, match="leave one of them out"):
        both.on(VOC21)


def test_an_unknown_name_is_an_error_naming_those_that_exist():
    with pytest.raises(InputError, match=r"'fancy'.*zeroseg, groupvit, tcl"):
        ProtocolConfig(name="fancy").on(VOC21)
