"""Label maps as files: PNG of one channel, of any depth.

In memory an ignored pixel is IGNORE. In a PNG of up to 8 bits it is 255; in one of 16 bits it is 65535,
and 255 is a class like any other. Nothing outside this module knows of that.
"""

import io
import warnings

import numpy as np
import torch
from jaxtyping import Int, Integer, UInt
from numpy import ndarray
from PIL import Image, ImageFile
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE

IGNORED_BYTE = 255
"""Stands for an ignored pixel where a file has no more than 8 bits a pixel."""
_STRETCHED = {"1": 1, "L;2": 85, "L;4": 17}
"""By Pillow's names of grey of 1, 2 and 4 bits: what it multiplies the stored values with."""


def label_ids(data: bytes) -> UInt[ndarray, "height width"]:
    """The ids of a PNG of one channel exactly as they are stored; of a palette picture, its indices.

    Bytes, or 16 bits where the file has those. Raises ValueError saying what other kind of picture it is,
    and OSError or a Pillow error or warning on damaged bytes and decompression bombs.
    """
    with _opened(data) as picture:
        kind = _kind(picture)
        if not kind:
            raise ValueError(
                f"a PNG of one channel is needed, grey or palette, this is {picture.format}, mode "
                f"{picture.mode}"
            )
        picture.verify()  # decoding passes over the checksum of the pixels, and a wrong one changes ids
    with _opened(data) as picture:
        found = np.array(picture)
    if kind in _STRETCHED:
        return found.astype(np.uint8) // _STRETCHED[kind]
    return found if found.dtype == np.uint8 else found.astype(np.uint16)


def decode_labels(data: bytes) -> Int[Tensor, "height width"]:
    """Labels of a PNG of one channel, IGNORE where they are ignored. Raises as `label_ids`."""
    return torch.from_numpy(labels_of(label_ids(data)).astype(np.int64))


def labels_of(ids: UInt[ndarray, "*pixels"]) -> UInt[ndarray, "*pixels"]:
    """Labels in place of a file's ids, whose dtype tells how deep it is."""
    labels = ids.astype(np.uint16)
    if ids.dtype == np.uint8:
        labels[ids == IGNORED_BYTE] = IGNORE
    return labels


def encode_labels(labels: Integer[ndarray, "height width"]) -> bytes:
    """A PNG of 8 bits where every label is below 255 or ignored, else of 16 bits.

    Raises ValueError for a label below 0 or above IGNORE.
    """
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= IGNORE:
        raise ValueError(f"labels reach from {labels.min()} to {labels.max()}, not 0 to {IGNORE}")
    ignored = labels == IGNORE
    narrow = bool(((labels < IGNORED_BYTE) | ignored).all())
    stored = labels.astype(np.uint8 if narrow else np.uint16)  # IGNORE becomes 255 in bytes
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "png")
    return buffer.getvalue()


def label_file(labels: Integer[ndarray, "height width"], data: bytes) -> bytes:
    """A PNG of these labels: `data` itself where it is one, else a new one. Raises as `encode_labels`.

    Grey of fewer than 8 bits is always written anew, since usual readers stretch its values.
    """
    return data if _says(data, labels) else encode_labels(labels)


def _says(data: bytes, labels: Integer[ndarray, "height width"]) -> bool:
    """Whether a file is a PNG from which everybody reads these labels."""
    if not data.startswith(b"\x89PNG"):
        return False
    with _opened(data) as picture:
        if _kind(picture) in {"", *_STRETCHED}:
            return False
    return np.array_equal(labels_of(label_ids(data)), labels)


def _opened(data: bytes) -> ImageFile.ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(io.BytesIO(data))


def _kind(picture: ImageFile.ImageFile) -> str:
    """How a PNG of one channel stores its pixels, in Pillow's words; of any other picture nothing."""
    is_one = picture.format == "PNG" and picture.mode in {"1", "L", "P", "I", "I;16"}
    return str(picture.tile[0][3]) if is_one else ""
