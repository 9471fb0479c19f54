"""Models, one file each, and how they are kept on disk."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from zeroseg.errors import InputError
from zeroseg.models.clip import CLIPConfig
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig


def save(model: ZeroSeg, folder: Path, teacher: CLIPConfig) -> None:
    """Write weights, the numbers that rebuild the model, and which CLIP's space it speaks."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.safetensors"
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    save_file(state, weights.with_suffix(".new"))
    os.replace(weights.with_suffix(".new"), weights)
    parts = {"student": dataclasses.asdict(model.config), "teacher": dataclasses.asdict(teacher)}
    (folder / "model.json").write_text(json.dumps(parts, indent=2))


def model_folder(folder: Path) -> Path:
    """The model of a run folder, or the folder itself."""
    return folder / "model" if (folder / "model").is_dir() else folder


def load(folder: Path | str) -> tuple[ZeroSeg, CLIPConfig]:
    """Rebuild a saved student in eval mode, and say which CLIP names its classes.

    Takes a run folder or its `model` folder. Raises InputError where there is no model in it, or
    its weights do not fit.
    """
    folder = model_folder(Path(folder))
    description, weights = folder / "model.json", folder / "model.safetensors"
    for file in (description, weights):
        if not file.is_file():
            raise InputError(f"{folder} holds no model ({file.name} is missing): name a run folder")
    try:
        parts = json.loads(description.read_text())
        config = ZeroSegConfig(**{k: _tupled(v) for k, v in parts["student"].items()})
        teacher = CLIPConfig(**{k: _tupled(v) for k, v in parts["teacher"].items()})
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{description} describes no model of this version: {error}") from error
    model = ZeroSeg(config)
    try:
        model.load_state_dict(load_file(weights))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"weights {weights} do not fit {description}: {reason}") from error
    return model.eval(), teacher


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
