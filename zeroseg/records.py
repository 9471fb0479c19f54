"""Dataclasses as JSON and back: the one codec of configs, saved models, manifests and results.

A dataclass becomes an object that also names its class; a float that is nan becomes null. Reading checks
every value against its type: a missing field takes its default, an unknown one is an error.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from zeroseg.errors import InputError

REMEDY = "mend the file, or write it again with this version"


def to_json(value: Any) -> Any:
    """Plain values that JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__} | fields
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(to_json(v) for v in value)
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, Path) else value


def from_json(kind: Any, value: Any, where: str, known: Sequence[type] = ()) -> Any:
    """Rebuild what `to_json` wrote, as a value of type `kind`.

    `known` are the classes that a value may name where `kind` is a class above them; no class is ever
    looked for by a name in a file. Raises InputError naming `where` and the field that is unknown,
    missing or of another type.
    """
    if kind is Any:
        return value
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return _one_of(kind, value, where, known)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where, known)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return from_json(inner[0], value, where, known)
    if origin in (tuple, list, frozenset):
        return _items(origin, inner, value, where, known)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected an object, found {value!r}: {REMEDY}")
        return {k: from_json(inner[1], v, f"{where}: {k}", known) for k, v in value.items()}
    return _plain(kind, value, where)


def read_record(kind: type, data: bytes | str, where: str, known: Sequence[type] = ()) -> Any:
    """A value of `kind` from the text of a JSON file. Raises InputError as `from_json` does."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}): {REMEDY}") from error
    return from_json(kind, value, where, known)


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


def _one_of(kind: Any, value: Any, where: str, known: Sequence[type]) -> Any:
    options = [k for k in typing.get_args(kind) if k is not types.NoneType]
    if value is None and len(options) < len(typing.get_args(kind)):
        return None
    classes = [k for k in options if dataclasses.is_dataclass(k)]
    if isinstance(value, dict) and len(classes) > 1:
        named = [k for k in classes if k.__name__ == value.get("class")]
        if not named:
            names = ", ".join(k.__name__ for k in classes)
            raise InputError(f"{where}: class {value.get('class')!r} is none of {names}: {REMEDY}")
        return from_json(named[0], value, where, known)
    for option in options[:-1]:
        try:
            return from_json(option, value, where, known)
        except InputError:
            continue
    return from_json(options[-1], value, where, known)


def _record(kind: Any, value: Any, where: str, known: Sequence[type]) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected the fields of {kind.__name__}, found {value!r}")
    below = {k.__name__: k for k in known if issubclass(k, kind) and k is not kind}
    name = value.get("class", kind.__name__)
    if below and name not in below:
        raise InputError(f"{where}: class {name!r} is none of {', '.join(below)}: {REMEDY}")
    kind = below.get(name, kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init}
    given = {k: v for k, v in value.items() if k != "class"}
    unknown = given.keys() - fields.keys()
    none = dataclasses.MISSING
    missing = [
        k
        for k, f in fields.items()
        if k not in given and f.default is none and f.default_factory is none
    ]
    if unknown or missing:
        raise InputError(
            f"{where}: {kind.__name__} has unknown fields {sorted(unknown)} and lacks "
            f"{sorted(missing)}: {REMEDY}"
        )
    return kind(**{k: from_json(hints[k], v, f"{where}: {k}", known) for k, v in given.items()})


def _items(kind: Any, inner: Any, value: Any, where: str, known: Sequence[type]) -> Any:
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, found {value!r}: {REMEDY}")
    if kind is tuple and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise InputError(f"{where}: expected {len(inner)} values, found {value!r}: {REMEDY}")
        pairs = zip(inner, value, strict=True)
        return tuple(from_json(k, v, where, known) for k, v in pairs)
    return kind(from_json(inner[0], v, where, known) for v in value)


def _plain(kind: Any, value: Any, where: str) -> Any:
    """A value of a simple type, as JSON holds it."""
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            raise InputError(f"{where}: {value!r} is none of {typing.get_args(kind)}: {REMEDY}")
        return value
    if kind is float and value is None:
        return math.nan
    accepted = {Path: str, float: (int, float)}.get(kind, kind)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where}: expected {kind.__name__}, found {value!r}: {REMEDY}")
    return kind(value)
