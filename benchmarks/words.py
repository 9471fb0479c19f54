"""Words and names of real photos: what their cosines tell of what VOC's masks hold, and how photos fall to names.

    ZEROSEG_REAL=... uv run python -m benchmarks.words

Photos and words are compared as `zeroseg curate --like` and `--names` do it, by the teacher of a config. Of each of VOC's
words it prints the median cosine of photos with and without it in their masks, and of as many photos as have it,
those most like the word, the share that have it, beside that of all: chance. Of lists of names it prints how
many photos are beyond so many of their name, how many names have none, the most frequent names, and how like
each other are photos that are most like their name and photos of a name that are drawn.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from PIL import Image

from benchmarks.duplicates import embedded
from benchmarks.leaks import listed
from pipelines.curation.words import text_rows
from zeroseg.config import read_config
from zeroseg.data.sharded_index import unit
from zeroseg.datasets.benchmarks import VOC20
from zeroseg.datasets.name_lists import read_names
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIP

REAL = Path(os.environ.get("ZEROSEG_REAL", "../shared/real"))
DRAWS = 10


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which photos, by which teacher, and which names."""

    voc: Path = REAL / "voc/VOCdevkit/VOC2012"
    """Photos with masks, in VOC's layout."""
    photos: tuple[Path, ...] = (
        REAL / "photos/imagenet",
        REAL / "coco_instances/images",
        REAL / "coco_masks/images",
        REAL / "voc_sbd/images",
    )
    """Folders of more photos, for the names."""
    config: str = "configs/real_photos.py"
    """A training config, whose teacher it is."""
    names: tuple[str, ...] = ("voc20", "ade847")
    """Lists, as --names takes them."""
    names_at_most: int = 40
    alike: int = 20
    """Photos of a name that are compared with each other; of names of which there are more than twice as many."""


class OfWord(NamedTuple):
    """What the cosines with a word tell of the photos that have it."""

    photos: int
    """With the word in their masks."""
    chance: float
    """Their share of all photos."""
    precision: float
    """Of as many photos, those most like the word, the share that have it."""
    median_with: float
    median_without: float


def of_word(cosines: Float[ndarray, " photo"], has: Bool[ndarray, " photo"]) -> OfWord:
    """Of equal cosines the first photo comes first, as in `zeroseg curate`."""
    best = np.argsort(-cosines, kind="stable")[: has.sum()]
    medians = (float(np.median(cosines[which])) for which in (has, ~has))
    return OfWord(int(has.sum()), float(has.mean()), float(has[best].mean()), *medians)


def labels_of(voc: Path, photo: Path) -> set[int]:
    """Numbers of the palette that a photo's mask holds."""
    mask = voc / "SegmentationClass" / photo.with_suffix(".png").name
    return set(np.unique(np.asarray(Image.open(mask))).tolist())


def words_table(
    clip: CLIP, voc: Path, photos: list[Path], rows: Float[ndarray, "photo embed"]
) -> str:
    """A line for each of VOC's words, those found best against chance first."""
    held = [labels_of(voc, photo) for photo in photos]
    cosines = rows @ text_rows(clip, VOC20.classes).T
    found = {
        word: of_word(cosines[:, i], np.array([i + 1 in labels for labels in held]))
        for i, word in enumerate(VOC20.classes)
    }
    lines = [
        f"| {word} | {w.photos} | {w.chance:.2f} | {w.precision:.2f} | {w.median_with:.2f} | {w.median_without:.2f} |"
        for word, w in sorted(found.items(), key=lambda of: of[1].chance - of[1].precision)
    ]
    head = "| word | photos | of all | of those most like it | median cosine with | without |"
    return "\n".join([head, "|---" * 6 + "|", *lines])


def names_told(names: tuple[str, ...], which: Int[ndarray, " photo"], at_most: int) -> str:
    """How many photos there are of names."""
    counts = np.bincount(which, minlength=len(names))
    first = np.argsort(-counts, kind="stable")[:5].tolist()
    frequent = ", ".join(f"{names[i]} {counts[i]}" for i in first)
    return (
        f"{len(which)} photos, {len(names)} names: {np.maximum(counts - at_most, 0).sum()} photos beyond "
        f"{at_most} of their name, {(counts == 0).sum()} names without a photo; most: {frequent}"
    )


def likeness(
    rows: Float[ndarray, "photo embed"],
    which: Int[ndarray, " photo"],
    cosines: Float[ndarray, " photo"],
    count: int,
) -> Iterator[tuple[float, float]]:
    """Of each name with more than twice `count` photos: the mean cosine of two of the `count` most like it,
    and of two of as many that are drawn, the mean of `DRAWS` draws."""
    for name in np.unique(which).tolist():
        photos = np.flatnonzero(which == name)
        if len(photos) > 2 * count:
            best = photos[np.argsort(-cosines[photos], kind="stable")[:count]]
            draws = [np.random.default_rng(s).permutation(photos)[:count] for s in range(DRAWS)]
            yield of_pairs(rows[best]), float(np.mean([of_pairs(rows[drawn]) for drawn in draws]))


def of_pairs(rows: Float[ndarray, "photo embed"]) -> float:
    """Mean cosine of two different photos."""
    between = rows @ rows.T
    return float((between.sum() - np.trace(between)) / (len(rows) * (len(rows) - 1)))


def main(config: BenchmarkConfig) -> None:
    """Embed, and print what was found."""
    method = read_config(config.config).method
    assert isinstance(method, Distillation)
    clip = CLIP(method.teacher.clip, "cpu")
    folders = {folder: listed(folder) for folder in (config.voc / "JPEGImages", *config.photos)}
    parts = [
        unit(embedded(clip, [file.read_bytes() for file in files], "cpu"))
        for files in folders.values()
    ]
    print(words_table(clip, config.voc, folders[config.voc / "JPEGImages"], parts[0]))
    rows = np.concatenate(parts)
    for source in config.names:
        names = read_names(source, "--names")
        cosines = rows @ text_rows(clip, names).T
        which, best = cosines.argmax(axis=1), cosines.max(axis=1)
        print(f"\n{source}: {names_told(names, which, config.names_at_most)}")
        pairs = list(likeness(rows, which, best, config.alike))
        if pairs:
            first, drawn = np.mean(pairs, axis=0)
            print(
                f"cosine of two photos of a name ({len(pairs)} names): {first:.2f} of the {config.alike} "
                f"most like it, {drawn:.2f} of as many drawn"
            )


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
