"""Ways to damage bytes and text of any kind."""

import math
import random
from collections.abc import Callable
from typing import Any

Damage = Callable[[random.Random, bytes], bytes]


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Some bits are others."""
    new = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        new[rng.randrange(len(new))] ^= 1 << rng.randrange(8)
    return bytes(new)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def headless(rng: random.Random, data: bytes) -> bytes:
    """The beginning is missing."""
    return data[1 + rng.randrange(min(64, len(data))) :]


def doubled(rng: random.Random, data: bytes) -> bytes:
    """It comes twice, or a part of it does."""
    if rng.random() < 0.5:
        return data + data
    first, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[first:]


def zeroed(rng: random.Random, data: bytes) -> bytes:
    """A run of bytes is zero, as of a disk's block that was never written."""
    first = rng.randrange(len(data))
    length = min(rng.choice((1, 16, 512, len(data))), len(data) - first)
    return data[:first] + bytes(length) + data[first + length :]


def swapped(rng: random.Random, data: bytes) -> bytes:
    """Two pieces have changed places."""
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def noise(rng: random.Random, data: bytes) -> bytes:
    """Bytes that mean nothing."""
    return rng.randbytes(rng.choice((1, 3, 64, 1000)))


def empty(rng: random.Random, data: bytes) -> bytes:
    """Nothing at all."""
    return b""


ANY: tuple[Damage, ...] = (flipped, flipped, cut, headless, doubled, zeroed, swapped, noise, empty)


def any_damage(rng: random.Random, data: bytes) -> bytes:
    """One of them all."""
    return rng.choice(ANY)(rng, data) if data else b"\0"


VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "x",
    "7",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    0,
    -1,
    2**31,
    2**63,
)
VALUES += (10**30, -(10**30), 0.5, 1e308, -1e308, math.nan, math.inf, -math.inf, "\ud800", "a\0b")
VALUES += ("\u2028", "../../x", "/etc/passwd", "x" * 5000)
"""What stands in a JSON file where something else should."""


def deep(rng: random.Random) -> bytes:
    """A list of lists of lists."""
    levels = rng.choice((100, 5000, 100_000))
    return b"[" * levels + b"]" * levels


def other_value(rng: random.Random, value: Any) -> Any:
    """The value with one thing in it, at any depth, that is another, missing, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value, key=str))
        new = dict(value)
        action = rng.random()
        if action < 0.1:
            del new[key]
        elif action < 0.15:
            new[key + rng.choice((" ", "s"))] = new.pop(key)
        else:
            new[key] = other_value(rng, value[key])
        return new
    if isinstance(value, list) and value and rng.random() < 0.85:
        place, action = rng.randrange(len(value)), rng.random()
        if action < 0.1:
            return value[:place] + value[place + 1 :]
        if action < 0.2:
            return value[: place + 1] + value[place:]
        return value[:place] + [other_value(rng, value[place])] + value[place + 1 :]
    if isinstance(value, int | float) and rng.random() < 0.4:
        return rng.choice((-value, value + 1, value * 1e6, value * 1e12, str(value), float(value)))
    return rng.choice(VALUES)


NAMES = (
    "a b",
    "a\tb",
    "two\nlines",
    "a\u202fb",
    "a\u2028b",
    "写真\u3000",
    "caf\udce9",
    "a.b.c",
    "__x",
)
NAMES += (
    ".hidden",
    "._p0",
    "-x",
    "[1]",
    "*",
    "{0..3}",
    "a::b",
    "%20",
    "\x7f",
    "\x1c",
    "\U0001f600",
)
NAMES += ("写" * 82, "x" * 250, "e\u0301", " x", "x ", "a'b\"c", "$(x)", "\u202eabc", "con", "a\\b")
"""Stems of files that people have."""
