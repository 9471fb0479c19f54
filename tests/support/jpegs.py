"""JPEGs of any sampling, of blocks that are each of one level: what no usual encoder writes."""

import struct
from collections.abc import Sequence
from itertools import product

import numpy as np

_CATEGORIES = range(12)
"""Bits of a difference; the code of each is the number itself in 4 bits."""


def jpeg_of_blocks(
    levels: np.ndarray, factors: Sequence[tuple[int, int]], adobe: int | None = None
) -> bytes:
    """A baseline JPEG whose first component has these levels, one to a block, and all others 128.

    `factors` are (across, down) of each component. A block's only number is the difference of its
    level from the one before it.
    """
    most_across, most_down = (max(sides) for sides in zip(*factors, strict=True))
    across, down = factors[0]
    rows, columns = levels.shape[0] // down, levels.shape[1] // across
    bits, before = [], [128] * len(factors)
    for row, column in product(range(rows), range(columns)):
        for component, (wide, high) in enumerate(factors):
            for y, x in product(range(high), range(wide)):
                place = (row * high + y, column * wide + x)
                level = int(levels[place]) if component == 0 else 128
                bits.append(_difference(level - before[component]))
                before[component] = level
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8).replace(b"\xff", b"\xff\x00")
    count = len(factors)
    size = struct.pack(">BHHB", 8, rows * 8 * most_down, columns * 8 * most_across, count)
    frame = b"".join(bytes([i, a << 4 | d, 0]) for i, (a, d) in enumerate(factors, 1))
    ids = b"".join(bytes([i, 0]) for i in range(1, count + 1))
    parts = [
        b"\xff\xd8",
        b"" if adobe is None else _segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([adobe])),
        _segment(0xDB, bytes([0] + [8] * 64)),
        _segment(0xC0, size + frame),
        _segment(0xC4, bytes([0x00, 0, 0, 0, len(_CATEGORIES), *[0] * 12, *_CATEGORIES])),
        _segment(0xC4, bytes([0x10, 1, *[0] * 15, 0])),
        _segment(0xDA, bytes([count]) + ids + bytes([0, 63, 0])),
        scan,
        b"\xff\xd9",
    ]
    return b"".join(parts)


def _difference(value: int) -> str:
    """Category, value, and the end of the block."""
    size = abs(value).bit_length()
    shown = value if value >= 0 else value + (1 << size) - 1
    return f"{size:04b}" + (f"{shown:0{size}b}" if size else "") + "0"


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
