"""Annotation-free open-vocabulary segmentation, distilled from a frozen CLIP's multi-scale views."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroseg.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """The names of `zeroseg.api`, imported when one is first asked for: torch takes seconds, and not
    every command needs it."""
    if name.startswith("__") and name != "__all__":  # what Python itself looks for in any module
        raise AttributeError(name)
    return getattr(importlib.import_module("zeroseg.api"), name)


def __dir__() -> list[str]:
    """The promise: the names of `zeroseg.api`."""
    return sorted(importlib.import_module("zeroseg.api").__all__)
