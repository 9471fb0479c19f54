"""PNG files of one channel written by hand, of every depth, kind and order that the format knows."""

import struct
import zlib

import numpy as np

GREY, PALETTE = 0, 3
PASSES = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)
"""Of an interlaced file: first row and column, and the steps between them."""


def stored_png(
    ids: np.ndarray, depth: int, kind: int = GREY, *, interlaced: bool = False, extra: bytes = b""
) -> bytes:
    """Ids as they are in a PNG of so many bits; `extra` are chunks before the pixels."""
    parts = [ids]
    if interlaced:
        parts = [ids[top::down, left::across] for top, left, down, across in PASSES]
    rows = b"".join(b"\0" + _packed(row, depth) for part in parts if part.size for row in part)
    height, width = ids.shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    colours = chunk(b"PLTE", bytes(range(256)) * 3) if kind == PALETTE and depth == 8 else b""
    if kind == PALETTE and depth < 8:
        colours = chunk(b"PLTE", bytes(range(3 * 2**depth)))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + colours + extra + body + chunk(b"IEND")


def deep_colours(pixels: np.ndarray) -> bytes:
    """Red, green and blue of 16 bits each."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND")


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _packed(row: np.ndarray, depth: int) -> bytes:
    bits = row.astype(np.int64)[:, None] >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()
