"""Segment your own picture with your own words.

zeroseg segment runs/x photo.jpg --classes "cat, sofa|couch, grass" --output out/
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from PIL import Image

from pipelines.command_line import UNSET, read
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.own_benchmarks import SUFFIX, benchmark_named
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.pictures import overlay, palette, with_legend
from zeroseg.evaluation.protocols import Protocol, ProtocolConfig
from zeroseg.predictor import load, own_classes, picture_pixels
from zeroseg.store.keys import file_name


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Which picture, which words, which model."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, its `model` folder, or `clip:ARCHITECTURE:WEIGHTS:METHOD`."""
    photo: Annotated[Path, tyro.conf.Positional]
    """Picture file."""
    classes: str
    """Your words, separated by commas; `|` between synonyms of one class. Or a benchmark's `.json` file."""
    output: Path = Path("segmented")
    """Folder for the label map, the overlay and the shares of each class."""
    readout: str = ""
    """How the model is read; empty takes its best by validation."""
    correction: Correction = field(default_factory=Correction)
    """Its teacher at test."""
    protocol: ProtocolConfig = field(default_factory=lambda: ProtocolConfig(name="photo"))
    """`--protocol.name` takes one of `zeroseg.PROTOCOLS`; other options change single fields."""


def run(config: SegmentConfig) -> Path:
    """Write `<photo>.overlay.png`, `<photo>.labels.png` and `<photo>.json`; return the overlay.

    The label map has the colours of the overlay; of more than 255 classes it is grey of 16 bits.
    """
    names = words_of(config.classes)
    background = config.protocol.background_threshold
    words = own_classes(names, background is not None)
    pixels = picture_pixels(config.photo)
    model = load(config.model)
    labels = model.segment(
        pixels,
        names,
        background=background,
        readout=config.readout,
        correction=config.correction,
        protocol=config.protocol,
    )
    protocol = model.protocol(words, config.protocol)
    return _write(config, pixels.permute(1, 2, 0).numpy(), labels, words, protocol)


def words_of(classes: str) -> list[str]:
    """The classes that the words say, or a benchmark file without its background. Raises InputError as
    `benchmark_named`."""
    if classes.endswith(SUFFIX):
        return list(benchmark_named(classes).names)
    return [name for name in classes.split(",") if name.strip()]


def _write(
    config: SegmentConfig,
    photo: np.ndarray,
    labels: torch.Tensor,
    words: Benchmark,
    protocol: Protocol,
) -> Path:
    config.output.mkdir(parents=True, exist_ok=True)
    stem = config.output / file_name(config.photo.stem)
    _indexed(labels.numpy(), len(words.classes)).save(f"{stem}.labels.png")
    share = torch.bincount(labels.flatten(), minlength=len(words.classes)) / labels.numel()
    present = {i: c for i, c in enumerate(words.classes) if share[i] > 0}
    picture = Path(f"{stem}.overlay.png")
    Image.fromarray(with_legend(overlay(photo, labels), present)).save(picture)
    shares = dict(zip(words.classes, [round(s, 4) for s in share.tolist()], strict=True))
    about = {"classes": list(words.classes), "share_of_pixels": shares}
    about["protocol"] = dataclasses.asdict(protocol)
    Path(f"{stem}.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    print(f"{picture}: " + ", ".join(f"{c} {100 * share[i]:.0f} %" for i, c in present.items()))
    return picture


def _indexed(labels: np.ndarray, classes: int) -> Image.Image:
    """A label map in its classes' colours, or in 16 bits, which have none."""
    if classes > 255:
        return Image.fromarray(labels.astype(np.uint16))
    indexed = Image.fromarray(labels.astype(np.uint8), mode="P")
    indexed.putpalette(palette(255).tobytes() + b"\xff" * 3)
    return indexed


def main(arguments: Sequence[str]) -> None:
    """Read the command line and segment."""
    run(read(SegmentConfig, arguments, "zeroseg segment", __doc__, *UNSET))


if __name__ == "__main__":
    main(sys.argv[1:])
