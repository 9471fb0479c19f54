"""Who is scored: a trained student, or `clip:ARCH:WEIGHTS:METHOD`, which was never trained to segment."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.scoring.result_files import slug
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.results import ModelIdentity
from zeroseg.evaluation.segmenters import Student, clip_segmenter, clip_spec
from zeroseg.methods.saved import load, model_folder
from zeroseg.models.clip import CLIP
from zeroseg.models.zeroseg import Readout, ZeroSeg

PREFIX = "clip:"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A segmenter to come, and all that says whose scores they are."""

    name: str
    """Of its row in tables."""
    identity: ModelIdentity
    """What a result file says of the model."""
    clip: CLIP
    """Whose text embeddings it understands."""
    segmenter: Callable[[float | None], Segmenter]
    """With a logit scale, or none for cosines."""
    folder: Path
    """Where results go by default."""


def subject_of(
    model: str, readout: Readout, device: torch.device, clip_options: dict[str, Any]
) -> Subject:
    """Load a run folder, a model folder in one, or a CLIP and a method.

    `clip_options` are fields of `CLIPConfig` that the spec of a CLIP does not have. Raises InputError when there is no such model, or it cannot answer that way.
    """
    if model.startswith(PREFIX):
        config, method = clip_spec(model)
        config = dataclasses.replace(config, **clip_options)
        clip = CLIP(config, device)
        return Subject(
            name=f"{config.architecture} {method}",
            identity=ModelIdentity(
                kind="clip",
                method=method,
                sha256=clip.weights_sha256,
                **dataclasses.asdict(config),
            ),
            clip=clip,
            segmenter=lambda scale: clip_segmenter(clip, method, scale),
            folder=Path("runs") / f"{slug(config.architecture)}-{method}",
        )
    description, module = load(Path(model))
    module.to(device)
    assert isinstance(module, ZeroSeg)
    description.method.segmenter(module, readout)  # refuses a readout that it does not have
    folder = model_folder(Path(model))
    variant = "" if folder.name == "model" else f" {folder.name}"
    return Subject(
        name=f"student{variant} {readout}",
        identity=ModelIdentity(
            kind="student",
            folder=str(folder),
            readout=readout,
            sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        ),
        clip=CLIP(description.text, device),
        segmenter=lambda scale: Student(module, readout, scale),
        folder=folder.parent,
    )
