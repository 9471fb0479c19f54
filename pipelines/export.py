"""Write a model as one file of ONNX, or of torch.export, for any image size and any words.

zeroseg export onnx runs/x student.onnx
zeroseg export onnx runs/x student.int8.onnx --precision int8 --photos photos/a.jpg photos/b.jpg
zeroseg export onnx clip:ViT-B-16:openai:maskclip maskclip.onnx
zeroseg export torch runs/x student.pt2
zeroseg segment student.onnx photo.jpg --classes "cat, sofa|couch, grass"

Its text tower is a second file, student.text.onnx. Label maps are compared with torch's first.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.export import ExportedProgram

from pipelines.cli import choose
from pipelines.command_line import UNSET, read
from pipelines.run.folder import code
from shards.labelled import need_package
from shards.scenes import scene
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.segmenters import clip_segmenter, clip_spec
from zeroseg.export.agreement import Agreement, agreement
from zeroseg.export.description import (
    CLASSES,
    EMBEDDINGS,
    IMAGES,
    LIMITS,
    SCORES,
    TOKENS,
    ExportedModel,
    Precision,
)
from zeroseg.export.graph import TextGraph, described_text, image_graph, own_words
from zeroseg.export.program import describe, image_program, save_onnx, save_torch, text_program
from zeroseg.export.session import file_digest, text_file
from zeroseg.methods import saved
from zeroseg.methods.method import MethodConfig
from zeroseg.models.clip import CLIP
from zeroseg.models.segmenter import Segmenter
from zeroseg.predictor import PREFIX, Predictor, load, own_classes, picture_pixels
from zeroseg.store.local_files import move, temporary_folder

KINDS = {
    "onnx": "write a model for onnxruntime, and its text tower",
    "torch": "write a model of torch.export, and its text tower",
}
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
SCENES_DRAWN = 6


@dataclass(frozen=True, kw_only=True)
class TorchExport:
    """Which model, into which file."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, its `model` folder, or `clip:ARCHITECTURE:WEIGHTS:METHOD`."""
    file: Annotated[Path, tyro.conf.Positional]
    """File to write; the text tower goes beside it."""
    readout: str = ""
    """How the model is read; empty takes its best by validation."""
    licence: str = ""
    """Of the weights, which the file then says."""


@dataclass(frozen=True, kw_only=True)
class ONNXExport(TorchExport):
    """Which model, into which file, in which precision, compared on what."""

    precision: Precision = "fp32"
    """Of the weights; `int8` of matrix products alone. Words stay fp32."""
    photos: tuple[Path, ...] = ()
    """Pictures on which label maps are compared with torch's; none draws scenes."""
    classes: str = ", ".join(SCENES.classes)
    """Words of the comparison, separated by commas."""


class Opened(NamedTuple):
    """A model in float32 on the CPU, whose answers are compared."""

    segmenter: Segmenter
    predictor: Predictor
    clip: CLIP
    method: MethodConfig | None
    readout: str


def export_onnx(config: ONNXExport) -> Agreement:
    """Write the file and that of its text tower; nothing where label maps differ by more than `LIMITS`.

    Raises InputError for a model that is no graph, for words that are no classes, and for that.
    """
    _check_suffix(config.file, "onnx")
    for package in ("onnx", "onnxruntime", "onnxscript"):
        need_package(package, "zeroseg export onnx", "onnx")
    names = config.classes.split(",")
    own_classes(names, background=False)
    pictures = [picture_pixels(path) for path in config.photos] or drawn()
    model, about, images, text = _programs(config)
    about = dataclasses.replace(about, precision=config.precision)
    with temporary_folder(config.file.absolute().parent) as folder:
        file = folder / config.file.name
        save_onnx(images, file, [IMAGES, CLASSES], SCORES, config.precision)
        save_onnx(text, text_file(file), [TOKENS], EMBEDDINGS, "fp32")
        describe(text_file(file), described_text(model.clip))
        about = dataclasses.replace(about, text_sha256=file_digest(text_file(file)))
        describe(file, about)
        found = _compared(model.predictor, load(file), pictures, names)
        found.check(config.precision)
        describe(
            file,
            dataclasses.replace(about, differing=found.share, checked_pixels=found.pixels),
        )
        for path in (text_file(file), file):
            move(path, config.file.with_name(path.name))
    size = config.file.stat().st_size / 1e6
    print(
        f"{config.file}: {size:.1f} MB in {config.precision}, {100 * found.share:.3f} % of {found.pixels} "
        f"pixels unlike torch's (at most {100 * LIMITS[config.precision]:g} %)"
    )
    return found


def export_torch(config: TorchExport) -> None:
    """Write the program and that of its text tower. Raises InputError for a model that is no graph."""
    _check_suffix(config.file, "torch")
    model, about, images, text = _programs(config)
    with temporary_folder(config.file.absolute().parent) as folder:
        file = folder / config.file.name
        save_torch(text, text_file(file), described_text(model.clip))
        digest = file_digest(text_file(file))
        save_torch(images, file, dataclasses.replace(about, text_sha256=digest))
        for path in (text_file(file), file):
            move(path, config.file.with_name(path.name))
    print(f"{config.file}: {config.file.stat().st_size / 1e6:.1f} MB")


def drawn() -> list[Tensor]:
    """Scenes in three sizes, as pixels."""
    pictures = []
    for number in range(SCENES_DRAWN):
        pixels = torch.from_numpy(scene(np.random.default_rng(number))[0]).permute(2, 0, 1)
        cut = (number % 3) * 24
        pictures.append(pixels[:, : pixels.shape[1] - cut].contiguous())
    return pictures


def _check_suffix(file: Path, kind: str) -> None:
    if file.suffix != SUFFIXES[kind]:
        raise InputError(f"{file}: the name of a file of `export {kind}` ends in {SUFFIXES[kind]}")


def _programs(
    config: TorchExport,
) -> tuple[Opened, ExportedModel, ExportedProgram, ExportedProgram]:
    model = _opened(config.model, config.readout)
    graph, mean, std = image_graph(model.segmenter)
    text = described_text(model.clip)
    about = ExportedModel(
        model=config.model,
        method=model.method.label if model.method else "clip",
        readout=model.readout,
        answers=model.predictor.answers,
        multiple=model.segmenter.multiple,
        image_size=model.predictor.image_size,
        embed_dim=model.clip.embed_dim,
        mean=tuple(mean.flatten().tolist()),
        std=tuple(std.flatten().tolist()),
        own_words=own_words(model.method, model.segmenter) if model.method else None,
        licence=config.licence,
        code=code(),
    )
    return (
        model,
        about,
        image_program(graph, about.multiple, about.embed_dim),
        text_program(TextGraph(model.clip), text.context_length),
    )


def _opened(name: str, readout: str) -> Opened:
    if name.startswith(PREFIX):
        config, dense = clip_spec(name)
        clip = CLIP(dataclasses.replace(config, precision="fp32"), "cpu")
        segmenter = clip_segmenter(clip, dense)
        predictor = Predictor(clip, partial(_always, segmenter), clip.image_size)
        return Opened(segmenter, predictor, clip, None, dense)
    description, module = saved.load(Path(name))
    method, readout = description.method, readout or description.readout
    clip = CLIP(dataclasses.replace(description.text, precision="fp32"), "cpu")
    segmenter = method.segmenter(module, readout, clip)
    reader = partial(_always, segmenter)
    predictor = Predictor(clip, reader, method.image_size, method.answers)
    return Opened(segmenter, predictor, clip, method, readout)


def _always(segmenter: Segmenter, readout: str, correction: Correction) -> Segmenter:
    return segmenter


def _compared(
    torchs: Predictor, files: Predictor, pictures: Sequence[Tensor], names: Sequence[str]
) -> Agreement:
    return agreement(
        lambda picture: torchs.segment(picture, names),
        lambda picture: files.segment(picture, names),
        pictures,
    )


def main(arguments: Sequence[str]) -> None:
    """Read the command line and export."""
    kind, rest = choose("zeroseg export", KINDS, arguments)
    program = f"zeroseg export {kind}"
    if kind == "onnx":
        export_onnx(read(ONNXExport, rest, program, __doc__, *UNSET))
    else:
        export_torch(read(TorchExport, rest, program, __doc__, *UNSET))


if __name__ == "__main__":
    main(sys.argv[1:])
