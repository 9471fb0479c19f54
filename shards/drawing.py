"""What scenes are painted with: textures of stuff, and objects as shapes in colours."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from numpy.random import Generator

from zeroseg.datasets.benchmarks import SCENES

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
def pixel_grid(size: int) -> tuple[Plane, Plane]:
    """Column and row of every pixel of a square image."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return x, y


def _blocks(rng: Generator, size: int, cell: int) -> Plane:
    side = -(-size // cell)
    coarse = rng.random((side, side), dtype=np.float32) - 0.5
    return coarse.repeat(cell, 0).repeat(cell, 1)[:size, :size]


def _tiles(rng: Generator, size: int, height: int, width: int, shift: int) -> Plane:
    x, y = pixel_grid(size)
    row = y // height
    joint_y = (y % height) < 1.5
    joint_x = ((x + (row % 2) * shift + int(rng.integers(width))) % width) < 1.5
    return (joint_x | joint_y).astype(np.float32)


def stuff_texture(name: str, rng: Generator, size: int) -> Float[ndarray, "height width 3"]:
    """Paint one kind of stuff over a whole square image, values near [0, 1]."""
    x, y = pixel_grid(size)
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


def draw_object(
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
    x, y = pixel_grid(size)
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
