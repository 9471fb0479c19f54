"""Pictures that are not stored upright: picture and label map are turned together, in every format."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, features

from zeroseg.data.images import decode_image, decode_pair, stored_orientation, stored_size
from zeroseg.data.picture_files import turned, turned_back

STORED = np.arange(6, dtype=np.uint8).reshape(2, 3)
UPRIGHT = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[3, 0], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[2, 5], [1, 4], [0, 3]],
}
"""By orientation; the rows and columns of TIFF 6.0, tag 274."""
BLOCKS = np.repeat(np.repeat(STORED * 40, 16, 0), 16, 1)
"""Six plain blocks, which lossy formats keep."""
KINDS = ["jpeg", "png", "webp", "tiff", *(["avif"] if features.check("avif") else [])]
XMP = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta><tiff:Orientation>%d</tiff:Orientation></x:xmpmeta>"


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def raw_exif(kind: int, value: bytes) -> bytes:
    """EXIF with an orientation of any of TIFF's types."""
    return b"Exif\0\0II*\0" + struct.pack("<IHHHI4sI", 8, 1, 274, kind, 1, value, 0)


def picture(kind: str, exif: Image.Exif | bytes = b"", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(BLOCKS).convert("RGB").save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


def label_map(labels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "png")
    return buffer.getvalue()


def block_values(pixels: torch.Tensor) -> list[list[int]]:
    return ((pixels[0, 8::16, 8::16].int() + 20) // 40).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_picture_and_label_map_are_turned_alike(kind, orientation):
    data = picture(kind, exif_of(orientation))
    pixels, labels = decode_pair(data, label_map(BLOCKS // 40))
    assert block_values(pixels) == UPRIGHT[orientation]
    assert labels[8::16, 8::16].tolist() == UPRIGHT[orientation]
    assert labels.shape == pixels.shape[1:]
    assert torch.equal(decode_image(data), pixels)
    assert stored_size(data) == BLOCKS.shape
    assert stored_orientation(data) == orientation


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_map_of_the_upright_size_alone_is_an_error(kind):
    upright = label_map(np.rot90(BLOCKS, -1).copy())
    with pytest.raises(ValueError, match=r"stored as \(32, 48\) but its label map as \(48, 32\)"):
        decode_pair(picture(kind, exif_of(6)), upright)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_turning_back_gives_the_stored_pixels_again(orientation):
    upright = turned(STORED, orientation)
    assert upright.tolist() == UPRIGHT[orientation]
    assert np.array_equal(turned_back(upright, orientation), STORED)
    colours = np.stack([STORED] * 3, -1)
    assert np.array_equal(turned(colours, orientation), np.stack([upright] * 3, -1))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize(
    ("tag_type", "value"),
    [(3, b"\0\0"), (3, b"\x09\0"), (3, b"\xff\xff"), (2, b"6\0"), (9, b"\xff" * 4), (99, b"\x06")],
)
def test_an_absurd_orientation_turns_nothing(kind, tag_type, value):
    data = picture(kind, raw_exif(tag_type, value))
    pixels, labels = decode_pair(data, label_map(BLOCKS // 40))
    assert block_values(pixels) == labels[8::16, 8::16].tolist() == UPRIGHT[1]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0no header", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_broken_exif_turns_nothing_and_loses_nothing(exif):
    plain = picture("jpeg")
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    data = plain[:2] + segment + plain[2:]
    assert torch.equal(decode_image(data), decode_image(plain))
    assert stored_orientation(data) == 1


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_an_orientation_that_only_xmp_tells_counts(kind, orientation):
    xmp = XMP % orientation
    data = picture(kind, xmp=xmp.partition(b"\0")[2])
    pixels, labels = decode_pair(data, label_map(BLOCKS // 40))
    assert block_values(pixels) == labels[8::16, 8::16].tolist() == UPRIGHT[orientation]
