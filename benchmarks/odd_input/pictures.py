"""Small pictures and label maps, a strict reading of PNG to judge by, and ways to break both."""

import io
import random
import struct
import zlib

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray
from PIL import Image, ImageOps

from benchmarks.odd_input.damage import any_damage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IGNORED = -1
"""In place of what a file has for ignored pixels."""
ORIENTATION = 0x112
Ids = Int[ndarray, "height width"]


def photo(number: int, ids: Ids) -> UInt8[ndarray, "height width 3"]:
    """A picture whose channel of class `id % 3` is bright and the others dark, so that it tells its ids."""
    shade = np.full((*ids.shape, 3), 20 + 3 * number, np.uint8)
    for channel in range(3):
        shade[..., channel][ids % 3 == channel] = 230 - 2 * number
    return shade


def blocks(number: int, values: tuple[int, ...]) -> Ids:
    """Ids in squares of 8 pixels; each number has a size of its own."""
    rows, columns = np.mgrid[: 16 + 2 * number, : 40 - 3 * number]
    return np.array(values)[(rows // 8 + columns // 8 + number) % len(values)]


def file_of(pixels: ndarray, kind: str = "jpeg", **options: object) -> bytes:
    """A picture file; JPEG keeps colours at every pixel."""
    buffer = io.BytesIO()
    plain = {"quality": 95, "subsampling": 0} if kind == "jpeg" else {}
    Image.fromarray(pixels).save(buffer, kind, **plain | options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG's chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(ids: Ids, depth: int = 8, palette: bool = False) -> bytes:
    """Ids as a PNG of one channel; -1 is stored as 255, in 16 bits as 65535."""
    stored = np.where(ids == IGNORED, (1 << depth) - 1, ids)
    rows = b"".join(b"\0" + _packed(row, depth) for row in stored)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], depth, 3 * palette, 0, 0, 0)
    table = chunk(b"PLTE", bytes(range(256)) * 3) if palette and depth == 8 else b""
    if palette and depth < 8:
        table = chunk(b"PLTE", bytes(3 << depth))
    data = chunk(b"IDAT", zlib.compress(rows))
    return SIGNATURE + chunk(b"IHDR", header) + table + data + chunk(b"IEND", b"")


def _packed(row: ndarray, depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = (row[:, None] >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8).ravel()).tobytes()


def chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """The chunks of a PNG, None where it is not whole."""
    if not data.startswith(SIGNATURE):
        return None
    found, at = [], len(SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if chunk(kind, content) != data[at : at + 12 + length]:
            return None
        found.append((kind, content))
        at += 12 + length
    return found


def read_ids(data: bytes) -> Ids | None:
    """Ids of a PNG of one channel, -1 where they are ignored; None where it breaks any rule of PNG."""
    found = chunks(data)
    if not found or found[0][0] != b"IHDR" or len(found[0][1]) != 13:
        return None
    width, height, depth, colour, method, filters, interlaced = struct.unpack(
        ">IIBBBBB", found[0][1]
    )
    known = colour in (0, 3) and depth in (1, 2, 4, 8, 16)[: 5 if colour == 0 else 4]
    if not known or method or filters or interlaced or not 0 < width * height < 1 << 20:
        return None
    if {k for k, _ in found} - {b"IHDR", b"PLTE", b"IDAT", b"IEND"} or found.count(found[0]) > 1:
        return None
    inflate, length = zlib.decompressobj(), -(-width * depth // 8)
    try:
        rows = inflate.decompress(b"".join(c for k, c in found if k == b"IDAT"), 1 << 22)
    except zlib.error:
        return None
    if not inflate.eof or inflate.unused_data or len(rows) != height * (length + 1):
        return None
    return _unfiltered(rows, height, width, depth, length)


def _unfiltered(rows: bytes, height: int, width: int, depth: int, length: int) -> Ids | None:
    table = np.frombuffer(rows, np.uint8).reshape(height, length + 1)
    if table[:, 0].any():  # only files that were written here are read, which filter nothing
        return None
    if depth == 16:
        ids = table[:, 1:].copy().view(">u2").astype(np.int64)
    else:
        bits = np.unpackbits(table[:, 1:], axis=1)[:, : width * depth]
        ids = bits.reshape(height, width, depth) @ (1 << np.arange(depth)[::-1])
    return np.where(ids == (255 if depth <= 8 else 65535), IGNORED, ids)


def upright(data: bytes) -> UInt8[ndarray, "height width 3"] | None:
    """The pixels that Pillow makes of a picture of 8 bits, turned upright; None of any other."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > 1 << 20 or image.mode not in (
                "L",
                "RGB",
                "RGBA",
                "CMYK",
            ):
                return None
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception:
        return None


def broken_map(rng: random.Random, data: bytes, ids: Ids) -> bytes:
    """A label map's file damaged, edited or of another kind, of the same ids or not."""
    action = rng.random()
    if action < 0.35:
        return any_damage(rng, data)
    if action < 0.6:
        return _edited(rng, data)
    if action < 0.8:
        depth = rng.choice((1, 2, 4, 8, 16))
        fits = np.where((ids >= 1 << depth) | ((ids < 0) & (depth < 8)), 0, ids)
        return png(fits, depth, palette=depth < 16 and rng.random() < 0.5)
    if action < 0.9:
        other = np.where(
            rng.random() < 0.5, ids + rng.randrange(1, 260), rng.choice((77, 254, 300))
        )
        return png(np.broadcast_to(other, ids.shape).astype(np.int64), 16)
    grey = np.clip(ids, 0, 255).astype(np.uint8)
    kinds = {
        "bmp": grey,
        "gif": grey,
        "png": np.stack([grey] * rng.choice((3, 4)), -1),
        "tiff": grey,
    }
    kind = rng.choice(sorted(kinds))
    return file_of(kinds[kind], kind)


def _edited(rng: random.Random, data: bytes) -> bytes:
    """A PNG whose chunks are others, with right checksums."""
    parts = chunks(data)
    if not parts or len(parts[0][1]) != 13:  # it was broken before
        return any_damage(rng, data)
    action = rng.random()
    if action < 0.5:
        header = list(struct.unpack(">IIBBBBB", parts[0][1]))
        field = rng.randrange(7)
        sizes = (0, 1, header[field] + 1, header[field] * 2, 40_000, 2**31 - 1, 2**32 - 1)
        header[field] = rng.choice(sizes) if field < 2 else rng.randrange(18)
        parts[0] = (b"IHDR", struct.pack(">IIBBBBB", *header))
    elif action < 0.65:
        place = rng.randrange(len(parts))
        parts = parts[:place] + parts[place + 1 :]
    elif action < 0.75:
        rng.shuffle(parts)
    elif action < 0.85:
        parts.insert(rng.randrange(len(parts)), rng.choice(parts))
    else:
        bomb = b"k\0\0" + zlib.compress(bytes(1 << 24))
        extra = (
            (b"zTXt", bomb),
            (b"tRNS", bytes(7)),
            (b"eXIf", b"MM\0*\0\0\0\x08"),
            (b"ABCD", b"x"),
        )
        parts.insert(1, rng.choice((*extra, (b"gAMA", bytes(4)), (b"acTL", bytes(8)))))
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


def broken_photo(
    rng: random.Random, data: bytes, pixels: UInt8[ndarray, "height width 3"]
) -> bytes:
    """A picture's file damaged, or a sound one of another kind, or turned."""
    action = rng.random()
    if action < 0.55:
        return any_damage(rng, data)
    if action < 0.7:
        tag = Image.Exif()
        tag[ORIENTATION] = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 65535))
        return file_of(pixels, rng.choice(("jpeg", "jpeg", "png", "webp")), exif=tag)
    if action < 0.8:
        shape = rng.choice(((1, 1), (1, 3000), (3000, 1), (2, 2)))
        return file_of(np.full((*shape, 3), 99, np.uint8), rng.choice(("jpeg", "png")))
    return _another_kind(rng, pixels)


def _another_kind(rng: random.Random, pixels: UInt8[ndarray, "height width 3"]) -> bytes:
    grey = pixels[..., 0]
    deep = grey.astype(np.uint16) * 257
    options = {
        "cmyk": lambda: _saved(Image.fromarray(pixels).convert("CMYK"), "jpeg"),
        "progressive": lambda: file_of(pixels, progressive=True, subsampling=2),
        "grey": lambda: file_of(grey),
        "deep": lambda: file_of(deep, "png"),
        "palette": lambda: _saved(Image.fromarray(pixels).quantize(8), "gif"),
        "alpha": lambda: file_of(np.dstack([pixels, grey]), "png"),
        "bits": lambda: _saved(Image.fromarray(grey > 99), "png"),
        "float": lambda: file_of(grey.astype(np.float32) / 255, "tiff"),
        "deep tiff": lambda: file_of(deep, "tiff"),
        "int": lambda: file_of(grey.astype(np.int32), "tiff"),
        "bmp": lambda: file_of(pixels, "bmp"),
        "webp": lambda: file_of(pixels, "webp"),
        "header": lambda: _giant(rng),
    }
    return options[rng.choice(sorted(options))]()


def _saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _giant(rng: random.Random) -> bytes:
    """A file of a hundred bytes that says that it is of gigabytes."""
    side = rng.choice((12_000, 65_000, 2**31 - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return SIGNATURE + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")
