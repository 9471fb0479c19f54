"""A small procedural world: textured stuff, named objects in front of it, exact label maps.

It is the embedded default: it needs no download, is deterministic by seed, and writes thousands of
images a minute. A scene holds one or two kinds of stuff and one to five occluding objects. The
unseen classes are shapes of seen ones in colours between theirs. They appear in the teacher's
captions and in evaluation, never in the student's training images.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from numpy.random import Generator

from shards.sample import Sample, Source, encoded
from zeroseg.data.benchmarks import SCENES, SCENES_OBJECTS
from zeroseg.errors import InputError

SIZE = 112
"""Pixels a side."""

STUFF = tuple(c for c in SCENES.classes if c not in SCENES_OBJECTS.classes)
OBJECTS = SCENES_OBJECTS.names
SEEN_OBJECTS = tuple(c for c in OBJECTS if c not in SCENES.unseen)

Plane = Float[ndarray, "height width"]
Mask = Bool[ndarray, "height width"]
Colour = Float[ndarray, "#height #width 3"]

_RED, _BLUE, _YELLOW, _GREEN = (
    (0.85, 0.1, 0.1),
    (0.1, 0.16, 0.8),
    (0.97, 0.85, 0.08),
    (0.02, 0.36, 0.1),
)
_ORANGE, _PURPLE, _PINK, _CYAN = (
    (0.98, 0.5, 0.05),
    (0.55, 0.12, 0.7),
    (1.0, 0.45, 0.68),
    (0.1, 0.88, 0.88),
)
_BROWN, _WHITE, _CREAM, _CRIMSON = (
    (0.42, 0.25, 0.1),
    (0.96, 0.96, 0.9),
    (0.93, 0.88, 0.75),
    (0.7, 0.08, 0.3),
)


@lru_cache
def _pixels(size: int) -> tuple[Plane, Plane]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x, y


def _blocks(rng: Generator, size: int, cell: int) -> Plane:
    side = -(-size // cell)
    coarse = rng.random((side, side), dtype=np.float32) - 0.5
    return coarse.repeat(cell, 0).repeat(cell, 1)[:size, :size]


def _tiles(rng: Generator, size: int, height: int, width: int, shift: int) -> Plane:
    x, y = _pixels(size)
    row = y // height
    joint_y = (y % height) < 1.5
    joint_x = ((x + (row % 2) * shift + int(rng.integers(width))) % width) < 1.5
    return (joint_x | joint_y).astype(np.float32)


def stuff_texture(name: str, rng: Generator, size: int = SIZE) -> Float[ndarray, "height width 3"]:
    """Paint one kind of stuff over a whole square image, values near [0, 1]."""
    x, y = _pixels(size)
    noise = rng.random((size, size), dtype=np.float32) - 0.5
    phase, pitch = rng.uniform(0, 6, 2).tolist(), rng.uniform(0.7, 1.1)
    if name == "grass":
        colour, value = (0.3, 0.58, 0.22), 0.28 * noise + 0.12 * _blocks(rng, size, 8)
        value += 0.06 * np.sin(x * 1.9 + phase[0] + np.sin(y * 0.7))
    elif name == "water":
        colour, value = (0.13, 0.35, 0.66), 0.05 * noise
        value += 0.14 * np.sin(y * pitch + 1.6 * np.sin(x * 0.14 + phase[0]))
    elif name == "sand":
        colour, value = (0.82, 0.72, 0.48), 0.16 * noise + 0.05 * _blocks(rng, size, 8)
    elif name == "sky":
        colour, value = (0.62, 0.8, 0.95), 0.06 - 0.12 * y / size
        value += 0.07 * np.sin(x * 0.06 + phase[0]) * np.sin(y * 0.09 + phase[1])
    elif name == "brick":
        height = int(rng.integers(8, 12))
        colour = (0.64, 0.33, 0.24)
        value = 0.25 * _tiles(rng, size, height, 2 * height, height) + 0.08 * noise
    else:
        side = int(rng.integers(12, 18))
        colour = (0.5, 0.5, 0.52)
        value = (
            0.1 * _blocks(rng, size, side) + 0.06 * noise - 0.2 * _tiles(rng, size, side, side, 0)
        )
    base = np.array(colour, np.float32) * rng.uniform(0.85, 1.15)
    return (base + value[..., None]).astype(np.float32)


def _shape(kind: str, u: Plane, v: Plane) -> Mask:
    r = np.hypot(u, v)
    match kind:
        case "ball" | "wheel":
            return r < 0.95
        case "ring":
            return (r < 0.97) & (r > 0.5)
        case "star":
            spoke = np.abs((np.arctan2(-v, u) * 5 / (2 * np.pi)) % 1 - 0.5) * 2
            return r < 0.4 + 0.58 * spoke
        case "tent":
            return (np.abs(v) < 0.9) & (np.abs(u) < (v + 0.95) * 0.53)
        case "tree":
            crown = (
                (v < 0.5)
                & (v > -0.98)
                & (np.abs(u) < 0.12 + 0.72 * ((v + 0.98) % 0.5 + (v + 0.98) * 0.45))
            )
            return crown | ((np.abs(u) < 0.16) & (v > 0.4) & (v < 0.95))
        case "cross":
            return (np.minimum(np.abs(u), np.abs(v)) < 0.33) & (
                np.maximum(np.abs(u), np.abs(v)) < 0.95
            )
        case "flag":
            return (np.abs(u) < 0.95) & (np.abs(v) < 0.68)
        case "heart":
            x, y = u * 1.15, 0.1 - v * 1.15
            return (x * x + y * y - 0.75) ** 3 - x * x * y**3 < 0
        case "diamond":
            return np.abs(u) * 1.25 + np.abs(v) < 0.97
        case "log":
            return (np.abs(u) < 0.97) & (np.abs(v) < 0.38)
        case "moon":
            return (r < 0.95) & (np.hypot(u - 0.45, v) > 0.72)
        case "mushroom":
            cap = (v < 0.1) & (np.hypot(u, (v - 0.1) * 0.95) < 0.95)
            return cap | ((v >= 0.1) & (v < 0.92) & (np.abs(u) < 0.28))
        case _:
            return (np.abs(u) < 0.85) & (np.abs(v) < 0.85)


def _flat(colour: tuple[float, float, float]) -> Callable[[Plane, Plane], Colour]:
    return lambda u, v: (
        np.array(colour, np.float32)[None, None] * (1.05 - 0.15 * (u + v))[..., None]
    )


def _choose(condition: Mask, yes: Sequence[float], no: Sequence[float]) -> Colour:
    return np.where(condition[..., None], np.array(yes, np.float32), np.array(no, np.float32))


def _wheel(u: Plane, v: Plane) -> Colour:
    r, spokes = np.hypot(u, v), np.cos(np.arctan2(v, u) * 6) > 0.2
    rim = _choose((r < 0.7) & (r > 0.2) & spokes, (0.75,) * 3, (0.38,) * 3)
    return np.where((r > 0.7)[..., None], np.float32(0.12), rim)


def _spotted(u: Plane, v: Plane) -> Colour:
    dots = np.hypot((u * 2.2) % 1 - 0.5, (v * 2.2 + 0.3) % 1 - 0.5) < 0.27
    return np.where(
        (v >= 0.1)[..., None], np.array(_CREAM, np.float32), _choose(dots, (1, 1, 1), _CRIMSON)
    )


_PAINTS: dict[str, Callable[[Plane, Plane], Colour]] = {
    "red": _flat(_RED),
    "blue": _flat(_BLUE),
    "yellow": _flat(_YELLOW),
    "orange": _flat(_ORANGE),
    "purple": _flat(_PURPLE),
    "pink": _flat(_PINK),
    "cyan": _flat(_CYAN),
    "white": _flat(_WHITE),
    "turquoise": _flat((0.05, 0.6, 0.5)),
    "maroon": _flat((0.4, 0.03, 0.12)),
    "lilac": _flat((0.75, 0.6, 0.95)),
    "golden": _flat((0.8, 0.62, 0.1)),
    "green": lambda u, v: _choose((v > 0.5) & (np.abs(u) < 0.17), _BROWN, _GREEN),
    "brown": lambda u, v: np.array(_BROWN, np.float32) * (1 + 0.25 * np.sin(v * 22))[..., None],
    "checkered": lambda u, v: _choose(
        (np.floor((u + 1) * 3) + np.floor((v + 1) * 3)) % 2 > 0, _WHITE, _RED
    ),
    "striped": lambda u, v: _choose(np.sin(u * 3.9 * np.pi) > 0, (0.95,) * 3, (0.05,) * 3),
    "spotted": _spotted,
    "grey": _wheel,
}


def _draw(
    name: str,
    image: Float[ndarray, "height width 3"],
    labels: UInt8[ndarray, "height width"],
    radius: float,
    rng: Generator,
) -> None:
    """Draw one object in place at a random position, tilt and aspect."""
    size = len(labels)
    paint, kind = name.split()
    cx, cy = rng.uniform(0.1 * size, 0.9 * size, 2).tolist()
    reach = 1.45 * radius
    x0, x1 = int(max(0, cx - reach)), int(min(size, cx + reach))
    y0, y1 = int(max(0, cy - reach)), int(min(size, cy + reach))
    x, y = _pixels(size)
    dx, dy = (x[y0:y1, x0:x1] - cx) / radius, (y[y0:y1, x0:x1] - cy) / radius
    tilt, aspect = rng.uniform(-0.35, 0.35), rng.uniform(0.88, 1.12)
    u = (dx * math.cos(tilt) + dy * math.sin(tilt)) * aspect
    v = (dy * math.cos(tilt) - dx * math.sin(tilt)) / aspect
    mask = _shape(kind, u, v)
    grain = 0.06 * (rng.random((*mask.shape, 3), dtype=np.float32) - 0.5)
    tint = rng.uniform(0.93, 1.07, 3).astype(np.float32) * np.float32(rng.uniform(0.82, 1.12))
    colour = np.broadcast_to(_PAINTS[paint](u, v), grain.shape) * tint + grain
    image[y0:y1, x0:x1][mask] = colour[mask]
    labels[y0:y1, x0:x1][mask] = SCENES.classes.index(name)


def scene(
    rng: Generator, objects: Sequence[str] = OBJECTS, size: int = SIZE
) -> tuple[UInt8[ndarray, "height width 3"], UInt8[ndarray, "height width"]]:
    """Draw one scene: RGB pixels and their labels (indices into `SCENES.classes`)."""
    first, second = rng.choice(len(STUFF), 2, replace=False)
    image = stuff_texture(STUFF[first], rng, size)
    labels = np.full((size, size), first, np.uint8)
    if rng.random() < 0.7:
        x, y = _pixels(size)
        angle = rng.uniform(-0.25, 0.25) + (math.pi / 2 if rng.random() < 0.3 else 0)
        side = (x - size / 2) * math.sin(angle) + (y - size / 2) * math.cos(angle)
        beyond = side + 3 * np.sin(x * 0.1 + rng.uniform(0, 6)) > rng.uniform(-0.22, 0.22) * size
        image = np.where(beyond[..., None], stuff_texture(STUFF[second], rng, size), image)
        labels[beyond] = second
    count = int(rng.integers(1, 6))
    for index in rng.integers(len(objects), size=count):
        radius = rng.uniform(0.11, 0.27) if count > 1 else rng.uniform(0.15, 0.36)
        _draw(objects[index], image, labels, radius * size, rng)
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
    """One part of the world: how many scenes, from which seed, with which objects."""

    name: str
    images: int
    seed: int
    objects: tuple[str, ...] = OBJECTS


TRAIN = Split(name="train", images=3000, seed=1, objects=SEEN_OBJECTS)
"""What the student trains on; no unseen object appears in it."""
VALIDATION = Split(name="val", images=100, seed=2)
"""For every choice and threshold."""
TEST = Split(name="test", images=200, seed=3)
"""For the printed scores alone."""


SPLITS = {split.name: split for split in (TRAIN, VALIDATION, TEST)}


def draw(split: Split, index: int) -> Iterator[Sample]:
    """Scene `index` of a split; it depends on the split's seed and the index alone."""
    image, labels = scene(np.random.default_rng([split.seed, index]), split.objects)
    pixels, truth = encoded(image, "jpeg", quality=95), encoded(labels, "png")
    yield Sample(f"{split.name}-{index:06d}", pixels, truth, f"scene {index} of {split.name}")


def scenes(split: str, images: int | None = None) -> Source:
    """A split of the embedded world: train, val or test. Raises InputError for any other."""
    if split not in SPLITS:
        raise InputError(f"scenes have no split {split!r}: choose one of {', '.join(SPLITS)}")
    chosen = SPLITS[split] if images is None else replace(SPLITS[split], images=images)
    return Source(
        units=range(chosen.images),
        read=partial(draw, chosen),
        classes=SCENES.classes,
        built_from={"kind": "scenes", "split": split, "seed": str(chosen.seed)},
    )
