"""Segment your own picture with your own words.

zeroseg segment runs/quickstart photo.jpg --classes "cat, sofa|couch, grass" --output out/
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
from accelerate import Accelerator
from PIL import Image

from zeroseg.data.images import decode_image, resized
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import label_maps
from zeroseg.evaluation.pictures import overlay, palette, with_legend
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import task_for
from zeroseg.models import load
from zeroseg.models.clip import CLIP
from zeroseg.models.zeroseg import Readout


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """Which picture, which words, which student."""

    model: Annotated[Path, tyro.conf.Positional]
    """Run folder, or its `model` folder."""
    photo: Annotated[Path, tyro.conf.Positional]
    classes: str
    """Your words, separated by commas; `|` between synonyms of one class."""
    output: Path = Path("segmented")
    readout: Readout = "segments"
    protocol: Protocol = field(default_factory=lambda: Protocol(short_side=0, window=0))
    """Short side 0 takes the size the student was trained at."""


def word_list(classes: str, background: bool) -> Benchmark:
    """The user's words as a class list. Raises InputError on duplicates or a single name."""
    names = tuple(
        ", ".join(s.strip() for s in c.split("|")) for c in classes.split(",") if c.strip()
    )
    return Benchmark(
        name="your classes",
        classes=("background", *names) if background else names,
        background=background,
    )


def run(config: SegmentConfig) -> Path:
    """Write `<photo>.overlay.png`, `<photo>.labels.png` and `<photo>.json`; return the overlay."""
    protocol = config.protocol
    words = word_list(config.classes, protocol.background_threshold is not None)
    if not config.photo.is_file():
        raise InputError(f"photo {config.photo} does not exist")
    try:
        photo = decode_image(config.photo.read_bytes())
    except Exception as error:  # whatever a picture library makes of a file that is no picture
        raise InputError(f"photo {config.photo} cannot be decoded: {error}") from error
    model, teacher = load(config.model)
    device = Accelerator().device
    model.to(device)
    if not protocol.short_side:
        protocol = dataclasses.replace(protocol, short_side=model.config.image_size)
    task = task_for(CLIP(teacher, device), words, protocol)
    segmenter = Student(model, config.readout, protocol.model_scale)
    size = (photo.shape[1], photo.shape[2])
    pixels = resized(photo, protocol.picture_size(size, segmenter.multiple))
    image = (pixels[None].float() / 255).to(device)
    labels = label_maps(segmenter, image, task, size)[0].cpu()
    return _write(config, photo.permute(1, 2, 0).numpy(), labels, words, protocol)


def _write(
    config: SegmentConfig,
    photo: np.ndarray,
    labels: torch.Tensor,
    words: Benchmark,
    protocol: Protocol,
) -> Path:
    config.output.mkdir(parents=True, exist_ok=True)
    stem = config.output / config.photo.stem
    indexed = Image.fromarray(labels.numpy().astype(np.uint8), mode="P")
    indexed.putpalette(palette(256).tobytes())
    indexed.save(f"{stem}.labels.png")
    share = torch.bincount(labels.flatten(), minlength=len(words.classes)) / labels.numel()
    present = {i: c for i, c in enumerate(words.classes) if share[i] > 0}
    picture = Path(f"{stem}.overlay.png")
    Image.fromarray(with_legend(overlay(photo, labels), present)).save(picture)
    shares = dict(zip(words.classes, [round(s, 4) for s in share.tolist()], strict=True))
    about = {"classes": list(words.classes), "share_of_pixels": shares}
    about["protocol"] = dataclasses.asdict(protocol)
    Path(f"{stem}.json").write_text(json.dumps(about, indent=2))
    print(f"{picture}: " + ", ".join(f"{c} {100 * share[i]:.0f} %" for i, c in present.items()))
    return picture


def main(arguments: Sequence[str]) -> None:
    """Read the command line and segment."""
    run(tyro.cli(SegmentConfig, args=arguments, prog="zeroseg segment"))


if __name__ == "__main__":
    main(sys.argv[1:])
