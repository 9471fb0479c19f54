"""One method and one seed: trained in its stages, then scored by every row that it has."""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from pipelines.generalised.rows import CORRECTED, STUDENT, UNTRAINED, Reading
from pipelines.generalised.worlds import World, run_folder
from pipelines.run.folder import code
from pipelines.run.stages import run_stages
from pipelines.scoring.evaluation import Evaluation
from pipelines.scoring.models import EvaluatedModel, evaluated_models
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.results import ModelIdentity, read_result
from zeroseg.methods.saved import WEIGHTS, load, model_folder
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.predictor import PREFIX
from zeroseg.training.processes import make_accelerator

NOTHING = "untrained"
"""The folder of rows without training."""
PICTURES = 3
"""Kept of a row, for the report."""


class RememberingCLIP(CLIP):
    """A CLIP that remembers what it said of views: several rows show it the same regions."""

    def encode_views(
        self, views: Float[Tensor, "batch view 3 size size"], chunk: int = 0
    ) -> Float[Tensor, "batch view embed"]:
        """As `CLIP.encode_views`, of equal views without looking again."""
        known: dict[bytes, Tensor] = self.__dict__.setdefault("known", {})
        key = hashlib.sha256(views.cpu().contiguous().numpy().tobytes()).digest()
        if key not in known:
            known[key] = super().encode_views(views, chunk)
        return known[key]


def method_rows(
    world: World, method: str, output: Path, seed: int, readings: list[Reading]
) -> None:
    """Train a method's stages and score its rows, or what is not done yet of that."""
    stages = world.stages(method, output, seed)
    run_stages(stages)
    accelerator = make_accelerator("no")
    runs = {name: Path(stage.output) for name, stage in stages.items()}
    clips: dict[CLIPConfig, CLIP] = {}
    models = (read(reading, runs[reading.stage], accelerator, clips) for reading in readings)
    plain = {reading.row for reading in readings if not (reading.readout or reading.changes)}
    score(world, output, models, accelerator, pictured=plain)


def student_rows(world: World, output: Path, seed: int) -> None:
    """Train the student of a seed and score it alone and with its teacher at test."""
    run = world.student(output, seed)
    accelerator = make_accelerator("no")
    score(world, output, students(world, run, accelerator), accelerator, pictured={STUDENT})


def untrained_rows(world: World, output: Path) -> None:
    """Score the CLIP as it is, in every way of `UNTRAINED`."""
    accelerator = make_accelerator("no")
    options = {name: getattr(world.clip, name) for name in ("register", "mean", "std", "precision")}
    models = []
    for row, method in UNTRAINED.items():
        spec, device = f"{PREFIX}{world.clip}:{method}", accelerator.device
        (model,) = evaluated_models(spec, "", Correction(), device, options, output / NOTHING)
        models.append(dataclasses.replace(model, name=row))
    score(world, output, models, accelerator)


def score(
    world: World,
    output: Path,
    models: Iterable[EvaluatedModel],
    accelerator: Accelerator,
    *,
    pictured: Collection[str] = (),
) -> None:
    """Score what has no result yet of this code, these weights and these images.

    Of rows that are `pictured` the best, the median and the worst image are kept for the report; rows of one
    folder would replace each other's.
    """
    images = world.images(output)
    evaluation = Evaluation(images=images, accelerator=accelerator)
    version = "{zeroseg}/{commit}".format(**code())
    for model in models:
        file = evaluation.file(model)
        found = read_result(str(file)) if file.is_file() else None
        if found and (found.model, found.code, found.shards) == (
            model.identity,
            version,
            images.spec,
        ):
            continue
        evaluation.score(model, PICTURES if model.name in pictured else 0)
        print(f"{model.name}: {file}", flush=True)


def read(
    reading: Reading, run: Path, accelerator: Accelerator, clips: dict[CLIPConfig, CLIP]
) -> EvaluatedModel:
    """A trained model as a row reads it. Weights that a changed method has no use for are left out.

    `clips` are those that rows before have loaded.
    """
    description, model = load(run)
    method = dataclasses.replace(description.method, **reading.changes)
    if reading.changes:
        trained = model.state_dict()
        with torch.random.fork_rng(devices=[]):
            model = method.model().eval()
        model.load_state_dict({name: trained[name] for name in model.state_dict()})
    model.to(accelerator.device)
    if description.text not in clips:
        clips[description.text] = RememberingCLIP(description.text, accelerator.device)
    clip = clips[description.text]
    changes = ", ".join(f"{name} {value}" for name, value in reading.changes.items())
    return EvaluatedModel(
        name=reading.row,
        identity=ModelIdentity(
            kind=method.label,
            folder=str(model_folder(run)),
            readout=reading.readout,
            method=changes,
            sha256=weights_digest(run),
        ),
        clip=clip,
        segmenter=method.segmenter(model, reading.readout, clip),
        folder=run,
        answers=method.answers,
        decontamination=description.decontamination,
    )


def students(world: World, run: Path, accelerator: Accelerator) -> Iterator[EvaluatedModel]:
    """A student alone and with its teacher at test, each by its chosen readout."""
    description, model = load(run)
    model.to(accelerator.device)
    clip = CLIP(description.text, accelerator.device)
    for row, correction in ((STUDENT, Correction()), (CORRECTED, world.correction)):
        yield EvaluatedModel(
            name=row,
            identity=ModelIdentity(
                kind=description.method.label,
                folder=str(model_folder(run)),
                readout=description.readout,
                correction=None if correction.kind == "none" else correction,
                sha256=weights_digest(run),
            ),
            clip=clip,
            segmenter=description.method.corrected(model, description.readout, clip, correction),
            folder=run,
            decontamination=description.decontamination,
        )


def weights_digest(run: Path) -> str:
    """SHA-256 of a trained model's weights."""
    return hashlib.sha256((model_folder(run) / WEIGHTS).read_bytes()).hexdigest()


def result_folders(world: World, output: Path, method: str, seed: int) -> list[Path]:
    """Folders that hold results of a method and a seed."""
    if method == "student":
        return [run_folder(output, method, seed)]
    return [Path(stage.output) for stage in world.stages(method, output, seed).values()]
