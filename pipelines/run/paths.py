"""Paths inside a config, wherever they stand in it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

Config = TypeVar("Config")


def repointed(config: Config, places: Mapping[str, str]) -> Config:
    """The same with every folder of `places`, and all that is below it, somewhere else.

    Looks into dataclasses and tuples, and at each part of shards that are named `a::b`.
    """
    return _value(config, {str(Path(old)): str(new) for old, new in places.items()})


def mentions(config: Any, folder: str) -> bool:
    """Whether a path in it is the folder, or below it."""
    return repointed(config, {folder: "\0"}) != config


def _value(value: Any, places: Mapping[str, str]) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        changed = {k: new for k, v in fields.items() if (new := _value(v, places)) != v}
        return dataclasses.replace(value, **changed) if changed else value
    if type(value) is tuple:
        return tuple(_value(item, places) for item in value)
    if isinstance(value, Path):
        return Path(_path(str(value), places))
    if isinstance(value, str):
        return "::".join(_path(part, places) for part in value.split("::"))
    return value


def _path(path: str, places: Mapping[str, str]) -> str:
    for old, new in places.items():
        if path == old or path.startswith(f"{old}/"):
            return new + path.removeprefix(old)
    return path
