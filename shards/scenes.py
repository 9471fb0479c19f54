"""A small procedural world: textured stuff, named objects in front of it, exact label maps.

It is the embedded default: it needs no download, is deterministic by seed, and writes thousands of
images a minute. A scene holds one or two kinds of stuff and one to five occluding objects. The
unseen classes are shapes of seen ones in colours between theirs. They appear in the teacher's
captions and in evaluation, never in the training images of a student, which learns without labels;
methods that learn from label maps see their pixels, not their labels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from numpy.random import Generator

from shards.drawing import draw_object, pixel_grid, stuff_texture
from shards.sample import Sample, Source, encoded
from zeroseg.data.label_files import encode_labels
from zeroseg.datasets.benchmarks import SCENES, SCENES_OBJECTS
from zeroseg.errors import InputError

SIZE = 112
"""Pixels a side."""

STUFF = tuple(c for c in SCENES.classes if c not in SCENES_OBJECTS.classes)
OBJECTS = SCENES_OBJECTS.names
SEEN_OBJECTS = tuple(c for c in OBJECTS if c not in SCENES.unseen)


def scene(
    rng: Generator,
    objects: Sequence[str] = OBJECTS,
    size: int = SIZE,
    stuff: Sequence[str] = STUFF,
) -> tuple[UInt8[ndarray, "height width 3"], UInt8[ndarray, "height width"]]:
    """Draw one scene: RGB pixels and their labels (indices into `SCENES.classes`).

    There are two kinds of stuff at least to draw from.
    """
    first, second = (stuff[i] for i in rng.choice(len(stuff), 2, replace=False))
    image = stuff_texture(first, rng, size)
    labels = np.full((size, size), SCENES.classes.index(first), np.uint8)
    if rng.random() < 0.7:
        x, y = pixel_grid(size)
        angle = rng.uniform(-0.25, 0.25) + (math.pi / 2 if rng.random() < 0.3 else 0)
        side = (x - size / 2) * math.sin(angle) + (y - size / 2) * math.cos(angle)
        beyond = side + 3 * np.sin(x * 0.1 + rng.uniform(0, 6)) > rng.uniform(-0.22, 0.22) * size
        image = np.where(beyond[..., None], stuff_texture(second, rng, size), image)
        labels[beyond] = SCENES.classes.index(second)
    count = int(rng.integers(1, 6))
    for index in rng.integers(len(objects), size=count):
        radius = rng.uniform(0.11, 0.27) if count > 1 else rng.uniform(0.15, 0.36)
        draw_object(objects[index], image, labels, radius * size, rng)
    image = image * rng.uniform(0.85, 1.12)
    return (image.clip(0, 1) * 255).astype(np.uint8), labels


def caption(
    labels: UInt8[ndarray, "height width"], rng: Generator, minimum_share: float = 0.03
) -> str:
    """Say what is visible, as people do: some of the objects, sometimes the stuff around them."""
    share = np.bincount(labels.ravel(), minlength=len(SCENES.classes)) / labels.size
    visible = [i for i in np.argsort(-share) if share[i] > minimum_share]
    stuff = [SCENES.classes[i] for i in visible if SCENES.classes[i] in STUFF]
    article = "a " if rng.random() < 0.7 else ""
    objects = [article + SCENES.classes[i] for i in visible if SCENES.classes[i] in OBJECTS]
    rng.shuffle(objects)
    if objects and rng.random() < 0.1:
        objects = objects[:1]
    text = "a photo of " + " and ".join(objects or stuff)
    if objects and stuff and rng.random() < 0.6:
        text += " on " + " and ".join(stuff if rng.random() < 0.5 else stuff[:1])
    return text


@dataclass(frozen=True, kw_only=True)
class Split:
    """One part of the world: how many scenes, from which seed, with which objects and stuff."""

    name: str
    images: int
    seed: int
    objects: tuple[str, ...] = OBJECTS
    stuff: tuple[str, ...] = STUFF


TRAIN = Split(name="train", images=3000, seed=1, objects=SEEN_OBJECTS)
"""What the student trains on; no unseen object appears in it."""
VALIDATION = Split(name="val", images=300, seed=2)
"""For every choice and threshold."""
TEST = Split(name="test", images=200, seed=3)
"""For the printed scores alone."""

LABELLED = Split(name="labelled", images=3000, seed=4)
"""What methods that learn from label maps train on: every object is in it, and their loader hides the
labels of unseen ones."""

SPLITS = {split.name: split for split in (TRAIN, VALIDATION, TEST, LABELLED)}


def draw(split: Split, index: int) -> Iterator[Sample]:
    """Scene `index` of a split; it depends on the split's seed and the index alone."""
    rng = np.random.default_rng([split.seed, index])
    image, labels = scene(rng, split.objects, stuff=split.stuff)
    pixels, truth = encoded(image, "jpeg", quality=95), encode_labels(labels)
    yield Sample(f"{split.name}-{index:06d}", pixels, truth, f"scene {index} of {split.name}")


@dataclass(frozen=True)
class Scenes:
    """The embedded world: procedural scenes with label maps."""

    split: str
    """train, val, test or labelled."""
    images: int | None = None
    """As many as the documented split has where it is not given."""

    def source(self) -> Source:
        """Raises InputError for a split that there is not."""
        if self.split not in SPLITS:
            raise InputError(
                f"scenes have no split {self.split!r}: choose one of {', '.join(SPLITS)}"
            )
        chosen = (
            SPLITS[self.split]
            if self.images is None
            else replace(SPLITS[self.split], images=self.images)
        )
        return Source(
            units=range(chosen.images),
            read=partial(draw, chosen),
            in_random_order=True,
            classes=SCENES.classes,
            built_from={"kind": "scenes", "split": self.split, "seed": str(chosen.seed)},
        )
