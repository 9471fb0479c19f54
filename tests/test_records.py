import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.errors import InputError
from zeroseg.records import differences, flat, from_json, read_record, to_json


@dataclass(frozen=True)
class Circle:
    radius: float = 1.0


@dataclass(frozen=True)
class Box:
    sides: tuple[int, int]
    colour: Literal["red", "blue"] = "red"

    def __post_init__(self) -> None:
        if self.sides[0] < 0:
            raise InputError(f"sides start with {self.sides[0]}: take a length")


@dataclass(frozen=True)
class Shape:
    """Above the shapes that a caller brings."""


@dataclass(frozen=True)
class Star(Shape):
    points: int = 5


@dataclass(frozen=True)
class Moon(Shape):
    full: bool = False


@dataclass(frozen=True, kw_only=True)
class Drawing:
    format: Literal[1] = 1
    name: str
    file: Path = Path("drawing.svg")
    shape: Circle | Box | None = None
    boxes: tuple[Box, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    lines: list[tuple[float, float]] = field(default_factory=list)
    count: int | Literal["all"] = "all"
    notes: dict[str, Any] = field(default_factory=dict)


numbers = st.floats(allow_nan=False, allow_infinity=False)
boxes = st.builds(Box, st.tuples(st.integers(0), st.integers()), st.sampled_from(["red", "blue"]))
drawings = st.builds(
    Drawing,
    name=st.text(),
    file=st.builds(Path, st.text(st.characters(exclude_characters="/\0"), min_size=1)),
    shape=st.none() | boxes | st.builds(Circle, numbers),
    boxes=st.lists(boxes, max_size=3).map(tuple),
    weights=st.dictionaries(st.text(), numbers, max_size=3),
    tags=st.frozensets(st.text(), max_size=3),
    lines=st.lists(st.tuples(numbers, numbers), max_size=3),
    count=st.integers() | st.just("all"),
    notes=st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | st.integers()),
)


def text(value: Any) -> str:
    return json.dumps(to_json(value), allow_nan=False)


@given(drawings)
def test_a_dataclass_comes_back_from_its_text(drawing):
    assert read_record(Drawing, text(drawing), "x") == drawing


def test_a_nan_is_null_in_the_file():
    assert to_json(Circle(math.nan)) == {"class": "Circle", "radius": None}
    assert math.isnan(from_json(Circle, {"radius": None}, "x").radius)


def test_a_whole_number_will_do_for_a_float():
    radius = from_json(Circle, {"radius": 2}, "x").radius
    assert (radius, type(radius)) == (2.0, float)


@given(drawings, st.data())
def test_a_missing_field_takes_its_default(drawing, data):
    written, default = to_json(drawing), to_json(Drawing(name=drawing.name))
    missing = data.draw(st.sets(st.sampled_from([k for k in written if k != "name"])))
    found = from_json(Drawing, {k: v for k, v in written.items() if k not in missing}, "x")
    assert to_json(found) == {k: (default if k in missing else written)[k] for k in written}


def refusal(kind: Any, value: Any, *known: type) -> str:
    with pytest.raises(InputError) as caught:
        from_json(kind, value, "a.json", known, remedy="draw it again")
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"colour": 1}, "a.json: Drawing has unknown fields ['colour']"),
        ({"boxes": [{"sides": [1, 2]}, {"side": 1}]}, "a.json: boxes: 1: Box has unknown fields"),
        ({"boxes": [{}]}, "a.json: boxes: 0: Box lacks ['sides']"),
        ({"boxes": 3}, "a.json: boxes: expected a list, found 3"),
        ({"boxes": [{"sides": [1]}]}, "a.json: boxes: 0: sides: expected 2 values, found [1]"),
        ({"boxes": [{"sides": [1, 2.5]}]}, "a.json: boxes: 0: sides: 1: expected int, found 2.5"),
        ({"weights": {"a": "b"}}, "a.json: weights: a: expected float, found 'b'"),
        ({"weights": [1]}, "a.json: weights: expected an object, found [1]"),
        ({"count": True}, "a.json: count: True is none of 'all'"),
        ({"name": None}, "a.json: name: expected str, found None"),
        ({"file": 3}, "a.json: file: expected Path, found 3"),
        ({"shape": 3}, "a.json: shape: expected the fields of Circle or Box, found 3"),
    ],
)
def test_what_does_not_fit_is_an_error_naming_file_place_and_remedy(change, says):
    found = refusal(Drawing, {"name": "x"} | change)
    assert found.startswith(says)
    assert found.endswith(": draw it again")


def test_a_field_that_is_unknown_and_one_that_is_missing_are_one_error():
    says = "a.json: Drawing has unknown fields ['nam'] and lacks ['name']: draw it again"
    assert refusal(Drawing, {"nam": "x"}) == says


def test_another_format_is_named_before_fields_that_only_it_has():
    value = {"format": 2, "name": "x", "layers": []}
    assert refusal(Drawing, value) == "a.json: format: 2 is none of 1: draw it again"


@pytest.mark.parametrize("name", ["Star", None])
def test_a_class_that_is_not_known_is_an_error_that_lists_those_that_are(name):
    value = {"name": "x", "shape": {"class": name}}
    says = f"a.json: shape: class {name!r} is none of Circle, Box: draw it again"
    assert refusal(Drawing, value) == says


@dataclass(frozen=True)
class Sky:
    things: tuple[Shape, ...]


def test_a_caller_says_which_classes_below_a_field_there_are():
    sky = Sky((Star(7), Moon(True)))
    assert from_json(Sky, to_json(sky), "x", (Star, Moon)) == sky
    says = "a.json: things: 1: class 'Moon' is none of Star: draw it again"
    assert refusal(Sky, to_json(sky), Star) == says


def test_a_class_checks_its_own_values_and_the_error_names_the_place():
    value = {"name": "x", "boxes": [{"sides": [-1, 2]}]}
    says = "a.json: boxes: 0: sides start with -1: take a length"
    assert refusal(Drawing, value) == says


@pytest.mark.parametrize("data", ["", "{", b"\xff\xfe"])
def test_what_is_no_json_is_an_error_naming_the_file(data):
    with pytest.raises(InputError, match=r"a\.json is not JSON .*: draw it again"):
        read_record(Drawing, data, "a.json", remedy="draw it again")


def test_a_record_is_flat_for_a_tracker():
    found = flat(to_json(Drawing(name="x", shape=Box((1, 2)))))
    assert (found["shape.colour"], found["shape.sides"]) == ("red", "[1, 2]")


def test_differences_are_fields_by_their_place():
    one, other = (to_json(Drawing(name="x", shape=Box((1, n)))) for n in (2, 3))
    assert differences(one, one) == []
    assert differences(one, other) == ["shape.sides: [1, 2] -> [1, 3]"]
