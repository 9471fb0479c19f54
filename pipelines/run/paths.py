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


def moved_along(stored: Any, wanted: Any, old: str, new: str) -> Any:
    """JSON `stored`, with the paths of `wanted` where those only moved along with a folder, `old` to `new`.

    What moved is all above the last part in which the two differ: of `a/x/run` and `b/x/run`, `a`.
    """
    before, after = list(Path(old).parts), list(Path(new).parts)
    while before and after and before[-1] == after[-1]:
        before.pop()
        after.pop()
    return _along(stored, wanted, Path(*before), Path(*after))


def _along(stored: Any, wanted: Any, before: Path, after: Path) -> Any:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return {k: _along(v, wanted.get(k), before, after) for k, v in stored.items()}
    if isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        pairs = zip(stored, wanted, strict=True)
        return [_along(one, other, before, after) for one, other in pairs]
    if not isinstance(stored, str) or not isinstance(wanted, str):
        return stored
    parts = stored.split("::"), wanted.split("::")
    same = len(parts[0]) == len(parts[1]) and all(
        one == other or _below(one, before) == _below(other, after) is not None
        for one, other in zip(*parts, strict=True)
    )
    return wanted if same else stored


def _below(path: str, folder: Path) -> Path | None:
    return Path(path).relative_to(folder) if Path(path).is_relative_to(folder) else None


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
