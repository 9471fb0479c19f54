"""Who is scored: a trained student, or `clip:ARCH:WEIGHTS:METHOD`, which was never trained to segment."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.scoring.result_files import slug
from zeroseg.evaluation.correction import Correction, check_no_correction
from zeroseg.evaluation.results import ModelIdentity
from zeroseg.evaluation.segmenters import clip_segmenter, clip_spec
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.methods.saved import load, model_folder
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.segmenter import Answers, Segmenter
from zeroseg.predictor import PREFIX
from zeroseg.store.decontamination import Decontamination


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A segmenter, and all that says whose scores they are."""

    name: str
    """Of its row in tables."""
    identity: ModelIdentity
    clip: CLIP
    """Whose text embeddings it understands."""
    segmenter: Segmenter
    folder: Path
    """Where its results go."""
    answers: Answers = "cosines"
    decontamination: Decontamination | None = None
    """Against what its training's images were cleaned; None where that is not known, as of a CLIP."""


def evaluated_models(
    model: str,
    readout: str,
    correction: Correction,
    device: torch.device,
    clip_options: dict[str, Any],
    output: Path | None = None,
    methods: Sequence[type[MethodConfig]] = METHODS,
) -> list[EvaluatedModel]:
    """Load a run folder, a model folder in one, or a CLIP and a method: one model, or one for each
    candidate of a correction that is still to be chosen.

    `clip_options` are fields of `CLIPConfig` that the spec of a CLIP does not have. Results go to
    `output`, by default into the run folder. `methods` are those that a saved model may be of.
    Raises InputError when there is no such model, or it cannot answer that way.
    """
    if model.startswith(PREFIX):
        check_no_correction(correction)
        return [_clip(model, device, clip_options, output)]
    return _trained(Path(model), readout, correction, device, output, methods)


def _clip(
    spec: str, device: torch.device, options: dict[str, Any], output: Path | None
) -> EvaluatedModel:
    config, method = clip_spec(spec)
    clip = CLIP(dataclasses.replace(config, **options), device)
    name = clip_name(clip.config, method, clip.weights_sha256)
    fields = dataclasses.asdict(clip.config)
    return EvaluatedModel(
        name=name,
        identity=ModelIdentity(kind="clip", method=method, sha256=clip.weights_sha256, **fields),
        clip=clip,
        segmenter=clip_segmenter(clip, method),
        folder=output or Path("runs") / slug(name),
    )


def _trained(
    model: Path,
    readout: str,
    correction: Correction,
    device: torch.device,
    output: Path | None,
    methods: Sequence[type[MethodConfig]],
) -> list[EvaluatedModel]:
    description, module = load(model, methods)
    module.to(device)
    method, folder = description.method, model_folder(model)
    readout = readout or description.readout
    variant, run = "" if folder.name == "model" else folder.name, folder.parent
    elsewhere = output is not None and output.resolve() != run.resolve()
    parts = (method.label, variant, readout, f"of {run.resolve().name}" if elsewhere else "")
    name = " ".join(part for part in parts if part)
    identity = ModelIdentity(
        kind=method.label,
        folder=str(folder),
        readout=readout,
        sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    )
    clip = CLIP(description.text, device)
    return [
        EvaluatedModel(
            name=f"{name}, {each}, teacher at test" if each.kind != "none" else name,
            identity=dataclasses.replace(
                identity, correction=each if each.kind != "none" else None
            ),
            clip=clip,
            segmenter=method.corrected(module, readout, clip, each),
            folder=output or run,
            answers=method.answers,
            decontamination=description.decontamination,
        )
        for each in correction.candidates
    ]


def clip_name(config: CLIPConfig, method: str, sha256: str) -> str:
    """Architecture, weights and method; of a file of weights its name and a digest of them."""
    weights, file = config.weights, Path(config.weights)
    if weights and file.is_file():
        weights = f"{file.name} {sha256[:6]}"
    return " ".join(part for part in (config.architecture, weights, method) if part)
