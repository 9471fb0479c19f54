"""Building open_clip's models: with weights, never with random ones; or an image tower without any."""

import logging
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn

from zeroseg.errors import InputError

EMBEDDED = {"zeroseg-scenes": Path(__file__).parent / "scenes_teacher"}
"""Teachers that come with the package."""
FOLDERS = ("local-dir:", "hf-hub:")
"""How names of models begin that bring their architecture and weights."""


def model_name(architecture: str, register: str) -> str:
    """What open_clip calls an architecture, once it knows those of the file `register`."""
    if register:
        run_register(register)
    embedded = EMBEDDED.get(architecture)
    return f"local-dir:{embedded}" if embedded else architecture


def run_register(path: str) -> None:
    """Run a file that makes architectures known to open_clip or timm, once a process.

    Raises InputError when it does not exist.
    """
    _run(Path(path).resolve())


@cache
def _run(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"the file {path} of `register` does not exist")
    runpy.run_path(str(path))


def untrained_tower(name: str, weights: str) -> nn.Module:
    """An image tower with random weights, as it is for those named, which are not looked for.

    Raises InputError for an unknown architecture.
    """
    _check(name)
    quick_gelu = _quick_gelu(name, weights)
    logging.disable(logging.WARNING)  # open_clip's, that it has no weights
    try:
        model: Any = open_clip.create_model(
            name,
            load_weights=False,
            pretrained_text=False,
            force_quick_gelu=quick_gelu,
            device=torch.get_default_device(),
        )
    finally:
        logging.disable(logging.NOTSET)
    return model.visual


def trained_model(name: str, weights: str) -> Any:
    """A model with its weights. Raises InputError when they are missing or do not fit."""
    _check(name)
    is_folder = name.startswith(FOLDERS)
    if not is_folder and not weights:
        raise InputError(
            f"teacher {name!r} has no weights: name a tag or a path, ARCHITECTURE:WEIGHTS"
        )
    if is_folder and weights:
        raise InputError(f"teacher {name!r} brings its weights: leave {weights!r} out")
    try:
        return open_clip.create_model(
            name,
            pretrained=None if is_folder else weights,
            require_pretrained=True,
            weights_only=True,
            force_quick_gelu=_quick_gelu(name, weights),
        )
    except Exception as error:  # open_clip raises RuntimeError, ValueError, OSError, hub errors
        reason = " ".join(str(error).split())[:400]
        raise InputError(
            f"teacher {name!r} cannot take the weights {weights!r}: {reason}"
        ) from error


def _quick_gelu(name: str, weights: str) -> bool:
    """Whether a tag wants another activation than the architecture names: open_clip only warns."""
    if name.startswith(FOLDERS):
        return False
    tag = open_clip.get_pretrained_cfg(name.replace("/", "-"), weights) or {}
    return bool(tag.get("quick_gelu"))


def _check(name: str) -> None:
    known = name.startswith(FOLDERS) or open_clip.get_model_config(name.replace("/", "-"))
    if not known:
        raise InputError(
            f"teacher architecture {name!r} is unknown to open_clip: "
            "see open_clip.list_models(), or name its file in `register`"
        )
