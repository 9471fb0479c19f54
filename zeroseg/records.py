"""Dataclasses as JSON and back: the one codec of configs, saved models, manifests and results.

A dataclass becomes an object that also names its class; a float that is nan becomes null. Reading checks
every value against its type: a missing field takes its default, an unknown one is an error. A file that
may change its meaning has a field `format: Literal[1] = 1`; another number is refused before all else.
"""

import contextlib
import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from zeroseg.errors import InputError

Record = TypeVar("Record")

_PLAIN = {int, str, bool}
"""Types whose values are JSON's own. A list of one of them alone is not looked at value by value: the
confusion matrix of 847 classes is long."""
REMEDY = "mend the file, or write it again with this version"


def to_json(value: Any) -> Any:
    """Plain values that JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__} | fields
    if isinstance(value, Mapping):
        return {k: to_json(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(to_json(v) for v in value)
    if isinstance(value, list | tuple):
        plain = {*map(type, value)} <= _PLAIN
        return list(value) if plain else [to_json(v) for v in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, Path) else value


def from_json(
    kind: Any, value: Any, where: str, known: Sequence[type] = (), *, remedy: str = REMEDY
) -> Any:
    """The value of type `kind` of which `to_json` made `value`.

    `known` are the classes that a file may name where `kind` is a class above them; no class is ever
    looked for by a name in a file. Null is nan for a float, None where None is allowed. Raises InputError
    naming `where`, the field that is unknown, missing or of another type, and the remedy.
    """
    try:
        return _value(kind, value, where, tuple(known))
    except _Mismatch as error:
        raise InputError(f"{error}: {remedy}") from error


def read_record(
    kind: type[Record],
    data: bytes | str,
    where: str,
    known: Sequence[type] = (),
    *,
    remedy: str = REMEDY,
) -> Record:
    """The value of `kind` in the text of a JSON file. Raises InputError as `from_json`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({error}): {remedy}") from error
    return from_json(kind, value, where, known, remedy=remedy)


def flat(value: Any, where: str = "") -> dict[str, Any]:
    """A JSON object as one dict of plain values, `data.batch_size` and the like."""
    if isinstance(value, dict):
        return {
            name: leaf
            for key, inner in value.items()
            for name, leaf in flat(inner, f"{where}.{key}" if where else key).items()
        }
    return {where: value if isinstance(value, bool | int | float | str) else str(value)}


def differences(a: Any, b: Any, where: str = "") -> list[str]:
    """Fields in which two JSON objects differ, as `data.batch_size: 32 -> 64`."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            d
            for k in sorted(a.keys() | b.keys())
            for d in differences(a.get(k), b.get(k), f"{where}.{k}" if where else k)
        ]
    return [] if a == b else [f"{where}: {a} -> {b}"]


class _Mismatch(Exception):
    """A value that is not of its type; the message names the place, and no remedy yet."""


class _Fields(NamedTuple):
    """Types of a dataclass's fields, and those without a default."""

    types: dict[str, Any]
    required: frozenset[str]


@functools.cache
def _fields(kind: type) -> _Fields:
    hints, none = typing.get_type_hints(kind, include_extras=True), dataclasses.MISSING
    fields = [f for f in dataclasses.fields(kind) if f.init]
    required = (f.name for f in fields if f.default is none and f.default_factory is none)
    return _Fields({f.name: hints[f.name] for f in fields}, frozenset(required))


def _value(kind: Any, value: Any, where: str, known: tuple[type, ...]) -> Any:
    if kind is Any:
        return value
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return _one_of(typing.get_args(kind), value, where, known)
    if dataclasses.is_dataclass(kind):
        return _record((kind,), value, where, known)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _value(inner[0], value, where, known)
    if origin in (tuple, list, frozenset):
        return _items(origin, inner, value, where, known)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _Mismatch(f"{where}: expected an object, found {value!r}")
        return {k: _value(inner[1], v, f"{where}: {k}", known) for k, v in value.items()}
    return _plain(kind, value, where)


def _one_of(kinds: Sequence[Any], value: Any, where: str, known: tuple[type, ...]) -> Any:
    """A value of one of several types: an object by the class that it names, another by what fits."""
    if value is None and types.NoneType in kinds:
        return None
    classes = tuple(kind for kind in kinds if dataclasses.is_dataclass(kind))
    others = [kind for kind in kinds if kind not in (types.NoneType, *classes)]
    if classes and (isinstance(value, dict) or not others):
        return _record(classes, value, where, known)
    for kind in others[:-1]:
        with contextlib.suppress(_Mismatch):
            return _value(kind, value, where, known)
    return _value(others[-1], value, where, known)


def _record(kinds: tuple[Any, ...], value: Any, where: str, known: tuple[type, ...]) -> Any:
    """A value of one of several dataclasses, or of those in `known` that are below one."""
    if not isinstance(value, dict):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise _Mismatch(f"{where}: expected the fields of {names}, found {value!r}")
    classes = [c for k in kinds for c in [b for b in known if issubclass(b, k)] or [k]]
    name = value.get("class", classes[0].__name__ if len(classes) == 1 else None)
    kind = {c.__name__: c for c in classes}.get(name)
    if kind is None:
        names = ", ".join(c.__name__ for c in classes)
        raise _Mismatch(f"{where}: class {name!r} is none of {names}")
    fields, given = _fields(kind), {k: v for k, v in value.items() if k != "class"}
    if "format" in given and "format" in fields.types:  # its fields may differ, too
        _value(fields.types["format"], given["format"], f"{where}: format", known)
    unknown, missing = given.keys() - fields.types.keys(), fields.required - given.keys()
    wrong = [f"has unknown fields {sorted(unknown)}"] * bool(unknown)
    wrong += [f"lacks {sorted(missing)}"] * bool(missing)
    if wrong:
        raise _Mismatch(f"{where}: {kind.__name__} {' and '.join(wrong)}")
    values = {k: _value(fields.types[k], v, f"{where}: {k}", known) for k, v in given.items()}
    try:
        return kind(**values)
    except InputError as error:  # of the class's own checks, which know no file
        raise InputError(f"{where}: {error}") from error


def _items(kind: Any, inner: Sequence[Any], value: Any, where: str, known: tuple[type, ...]) -> Any:
    if not isinstance(value, list):
        raise _Mismatch(f"{where}: expected a list, found {value!r}")
    each_its_own = kind is tuple and inner[-1] is not Ellipsis
    if not each_its_own and inner[0] in _PLAIN and {*map(type, value)} <= {inner[0]}:
        return kind(value)
    kinds = inner if each_its_own else [inner[0]] * len(value)
    if len(kinds) != len(value):
        raise _Mismatch(f"{where}: expected {len(kinds)} values, found {value!r}")
    pairs = enumerate(zip(kinds, value, strict=True))
    return kind(_value(k, v, f"{where}: {i}", known) for i, (k, v) in pairs)


def _plain(kind: Any, value: Any, where: str) -> Any:
    """A value of a simple type, as JSON holds it."""
    if typing.get_origin(kind) is Literal:
        options = typing.get_args(kind)
        if not any(value == option and type(value) is type(option) for option in options):
            raise _Mismatch(f"{where}: {value!r} is none of {', '.join(map(repr, options))}")
        return value
    if kind is float and value is None:
        return math.nan
    accepted = {Path: str, float: (int, float)}.get(kind, kind)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _Mismatch(f"{where}: expected {kind.__name__}, found {value!r}")
    return kind(value)
