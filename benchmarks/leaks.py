"""Photos of a benchmark hidden among training photos: what `zeroseg curate --against` finds of each kind of copy.

    ZEROSEG_REAL=... uv run python -m benchmarks.leaks --output leaks.json

A copy of every kind of each of the benchmark's photos is hidden among the training photos. Benchmark and training
photos are cut in halves. Of a step, on the first half, the lowest cosine is taken at which `PRECISION` of what
goes is a copy of the photo that it goes for; what it does is reported on the second. Training photos that go are named
with the photo they go for: look at them, they may be true copies.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from tqdm import tqdm

from benchmarks.copies import CHANGES, copy
from benchmarks.duplicates import PRECISION, SIDE, embedded, thumbnails
from pipelines.curation.against import versions
from pipelines.curation.facts import thumbnail
from zeroseg.data.images import centre_crop, decode_image
from zeroseg.data.unit_vectors import FlatIndex
from zeroseg.models.clip import CLIP, CLIPConfig

COSINES = tuple(round(0.8 + 0.005 * step, 3) for step in range(40))
REAL = Path("../shared/real")


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which photos, and by which teacher they are compared."""

    benchmark: Path = REAL / "voc/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    """List of VOC's photos that are hidden."""
    training: tuple[Path, ...] = (
        REAL / "photos/imagenet",
        REAL / "voc/VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt",
        REAL / "voc_sbd/images",
    )
    """Folders of pictures, or lists of VOC's photos."""
    teacher: CLIPConfig = field(default_factory=CLIPConfig)
    output: Path | None = None
    """JSON of the result."""


class Found(NamedTuple):
    """Of each image the benchmark's photo that is nearest, and their cosine."""

    cosines: Float[ndarray, " image"]
    photos: Int[ndarray, " image"]

    def right(self, origins: Int[ndarray, " image"], cosine: float) -> Bool[ndarray, " image"]:
        """Copies that go for the photo they are of."""
        return (self.cosines >= cosine) & (self.photos == origins)


class Half(NamedTuple):
    """Training photos, whose origin is -1, and copies of as many photos of each kind."""

    files: list[Path]
    """Of the training photos, which come first."""
    origins: Int[ndarray, " image"]
    found: dict[str, Found]
    """By thumbnails and by embeddings."""


def listed(source: Path) -> list[Path]:
    """The pictures of a folder, or of a list in VOC's layout."""
    if source.is_dir():
        return sorted(path for path in source.iterdir() if path.is_file())
    images = source.parents[2] / "JPEGImages"
    return [images / f"{name}.jpg" for name in source.read_text(encoding="utf-8").split()]


def half(clip: CLIP, photos: Sequence[Path], training: list[Path]) -> Half:
    """Hide copies of photos in training photos, and compare them as the command does."""
    pixels = [decode_image(photo.read_bytes()) for photo in tqdm(photos, "decoded", unit="photo")]
    grey = [image.float().mean(dim=0) for image in pixels]
    shown = np.stack([thumbnail(g) for one in grey for g in (one, one.flip(1))])
    rows = [_encoded(clip, versions(image)) for image in tqdm(pixels, "benchmark", unit="photo")]
    copies = [copy(photo.read_bytes(), change) for change in CHANGES.values() for photo in photos]
    files = [path.read_bytes() for path in training] + copies
    found = {
        "thumbnails": _nearest(shown.astype(np.float16), thumbnails(files), 2),
        "embeddings": _nearest(np.concatenate(rows), embedded(clip, files, "cpu"), len(rows[0])),
    }
    of = np.tile(np.arange(len(photos)), len(CHANGES))
    return Half(training, np.concatenate([np.full(len(training), -1), of]), found)


def _encoded(clip: CLIP, images: Sequence[torch.Tensor]) -> Float[ndarray, "version embed"]:
    views = torch.stack([centre_crop(image, SIDE) for image in images]).float() / 255
    return clip.encode_views(views[:, None])[:, 0].half().numpy()


def _nearest(
    rows: Float[ndarray, "version width"], images: Float[ndarray, "image width"], each: int
) -> Found:
    cosines, numbers = FlatIndex(rows).search(images, 1)
    return Found(cosines[:, 0], numbers[:, 0] // each)


def measured(
    origins: Int[ndarray, " image"], found: Sequence[tuple[Found, float]]
) -> dict[str, float]:
    """Precision, training photos that go, and the share found of each kind, where an image goes that is
    found at any of the cosines."""
    gone = np.any([f.cosines >= cosine for f, cosine in found], axis=0)
    right = np.any([f.right(origins, cosine) for f, cosine in found], axis=0)
    kinds = right[origins >= 0].reshape(len(CHANGES), -1).mean(axis=1)
    shares = {name: round(float(of), 3) for name, of in zip(CHANGES, kinds, strict=True)}
    precision = round(float(right.sum() / gone.sum()), 4) if gone.any() else 1.0
    return {"precision": precision, "training photos": int((gone & (origins < 0)).sum())} | shares


def lowest(table: Mapping[float, Mapping[str, float]]) -> float:
    """The lowest cosine from which on the precision is what is aimed at; of none the highest of all."""
    best = max(table)
    for cosine in sorted(table, reverse=True):
        if table[cosine]["precision"] < PRECISION:
            break
        best = cosine
    return best


def main(config: BenchmarkConfig) -> None:
    """Measure, print the tables, and name the training photos that go."""
    clip, photos = CLIP(config.teacher, "cpu"), listed(config.benchmark)
    training = [path for source in config.training for path in listed(source)]
    halves = [half(clip, photos[part::2], training[part::2]) for part in (0, 1)]
    result: dict[str, Any] = {
        "teacher": str(config.teacher),
        "photos": len(photos),
        "training": len(training),
    }
    chosen: list[tuple[Found, float]] = []
    for name in ("thumbnails", "embeddings"):
        tables = [{c: measured(h.origins, [(h.found[name], c)]) for c in COSINES} for h in halves]
        cosine = lowest(tables[0])
        chosen.append((halves[1].found[name], cosine))
        print(f"{name}, {cosine} chosen on the first half", *tables[1][cosine].values(), sep=" | ")
        for c, row in tables[1].items():
            print(c, *row.values(), sep=" | ")
        result[name] = {"chosen": cosine, "first_half": tables[0], "second_half": tables[1]}
        for which, of in enumerate(halves):
            result[name][f"gone_{which}"] = named(of, photos[which::2], name, cosine)
    result["both"] = measured(halves[1].origins, chosen)
    print("both", *result["both"].values(), sep=" | ")
    if config.output is not None:
        config.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def named(half: Half, photos: Sequence[Path], step: str, cosine: float) -> list[str]:
    """Training photos that go, each with the photo it goes for and the cosine."""
    found = half.found[step]
    gone = np.flatnonzero((half.origins < 0) & (found.cosines >= cosine)).tolist()
    return [
        f"{half.files[i].name} {photos[found.photos[i]].name} {found.cosines[i]:.4f}" for i in gone
    ]


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
