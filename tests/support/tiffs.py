"""TIFF files of any sample format, written by hand: one strip, little-endian."""

import struct

import numpy as np


def tiff(
    samples: bytes,
    size: tuple[int, int],
    bits: int,
    *,
    channels: int = 1,
    photometric: int = 1,
    sample_format: int = 1,
    **tags: int,
) -> bytes:
    """Samples of so many bits as they stand in the file; `sample_format` 3 is floating-point.

    Other tags are given as `tag_274=6`.
    """
    height, width = size
    fields = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric]}
    fields |= {273: [0], 277: [channels], 278: [height], 279: [len(samples)]}
    fields |= {339: [sample_format] * channels} | {int(t[4:]): [v] for t, v in tags.items()}
    after = 8 + 2 + 12 * len(fields) + 4
    lists = b""
    entries = []
    for tag, values in sorted(fields.items()):
        wide = len(values) > 2
        content = struct.pack(f"<{len(values)}H", *values) if len(values) > 1 else b""
        place = struct.pack("<I", after + len(lists)) if wide else content.ljust(4, b"\0")
        lists += content if wide else b""
        kind = 3 if len(values) > 1 else 4
        entries.append((tag, kind, len(values), place if content else struct.pack("<I", *values)))
    offset = struct.pack("<I", after + len(lists))
    directory = b"".join(
        struct.pack("<HHI", tag, kind, count) + (offset if tag == 273 else place)
        for tag, kind, count, place in entries
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    return head + directory + bytes(4) + lists + samples


def packed_12_bits(values: np.ndarray) -> bytes:
    """Values of 12 bits without gaps."""
    bits = values.ravel()[:, None] >> np.arange(11, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()
