"""Annotation-free open-vocabulary segmentation, distilled from a frozen CLIP's multi-scale views."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroseg.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """The names of `zeroseg.api`, imported when one is first asked for: torch takes seconds, and not
    every command needs it."""
    return getattr(importlib.import_module("zeroseg.api"), name)
