"""One photo or label map: bytes to tensors, and the sizes they are brought to."""

import io
import warnings

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

MAX_PIXELS = 89_478_485
"""A picture of more is refused as a decompression bomb; Pillow's own limit, for every format."""


def decode_image(data: bytes) -> UInt8[Tensor, "3 height width"]:
    """Decode any picture file to upright RGB; of an animation the first frame.

    An upright JPEG in colour or grey goes straight to libjpeg-turbo, which gives Pillow's own pixels
    in less than half its time. Raises OSError, ValueError or a Pillow error on bytes that are no
    whole picture, and ValueError on a decompression bomb.
    """
    pixels = _plain_jpeg(data) if data[:3] == b"\xff\xd8\xff" else None
    if pixels is None:
        pixels = _any_picture(data)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _plain_jpeg(data: bytes) -> UInt8[np.ndarray, "height width 3"] | None:
    """Pixels of a JPEG that needs no turning and no ink; None for others."""
    header = simplejpeg.decode_jpeg_header(data)
    height, width, space = int(header[0]), int(header[1]), header[2]
    if height * width > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are over the limit of {MAX_PIXELS}")
    may_be_turned = b"Exif\x00" in data or b"tiff:Orientation" in data
    if space not in {"YCbCr", "Gray"} or (may_be_turned and _is_turned(data)):
        return None
    return simplejpeg.decode_jpeg(data, "RGB")


def _is_turned(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _any_picture(data: bytes) -> UInt8[np.ndarray, "height width 3"]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        opened = Image.open(io.BytesIO(data))
    with opened as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255
            grey = np.array(upright)
            upright = Image.fromarray((grey.clip(0, 65535) // 257).astype(np.uint8))
        elif upright.mode == "P":  # straight to RGB, Pillow warns where the palette has alpha
            upright = upright.convert("RGBA")
        return np.array(upright.convert("RGB"))


def decode_labels(data: bytes) -> Int[Tensor, "height width"]:
    """Decode a label map: one channel of class indices, palette or grey."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode not in {"P", "L"}:
            raise ValueError(f"label map has mode {image.mode}, expected one 8-bit channel")
        return torch.from_numpy(np.array(image)).long()


def resized(
    image: UInt8[Tensor, "3 height width"], size: tuple[int, int]
) -> UInt8[Tensor, "3 new_height new_width"]:
    """Resize to (height, width), antialiased bicubic."""
    if tuple(image.shape[1:]) == size:
        return image
    # The layout of a decoded image; in the other one PyTorch fails to resize to a single pixel.
    batch = image[None].contiguous(memory_format=torch.channels_last)
    return F.interpolate(batch, size, mode="bicubic", antialias=True)[0]


def centre_crop(image: UInt8[Tensor, "3 height width"], side: int) -> UInt8[Tensor, "3 side side"]:
    """Bring the shorter side to `side` and cut the middle square (the paper's only transform).

    The same pixels as torchvision's `Resize` and `CenterCrop`, which cut fractions off the longer side.
    """
    height, width = image.shape[1:]
    shorter = min(height, width)
    pixels = resized(image, (side * height // shorter, side * width // shorter))
    top, left = (round((now - side) / 2) for now in pixels.shape[1:])
    return pixels[:, top : top + side, left : left + side]
