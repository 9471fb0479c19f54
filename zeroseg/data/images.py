"""One photo, alone or with its label map: bytes to tensors, and the sizes they are brought to."""

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor

from zeroseg.data import picture_files
from zeroseg.data.label_files import decode_labels
from zeroseg.data.picture_files import turned

_DAMAGE = ("remature end", "bad Huffman", "bad arithmetic", "progression sequence", "found marker")
"""What libjpeg says of pixels that are not whole; whatever else it complains of, Pillow passes over."""


def decode_image(data: bytes) -> UInt8[Tensor, "3 height width"]:
    """Decode any picture file to upright RGB; of an animation the first frame.

    A plain JPEG in colour or grey goes straight to libjpeg-turbo, which gives Pillow's own pixels
    in less than half its time. Raises OSError, ValueError or a Pillow error on bytes that are no
    whole picture, and ValueError on a decompression bomb or numbers that no rule makes 8-bit RGB.
    """
    return _upright(data)[0]


def decode_pair(
    image: bytes, labels: bytes
) -> tuple[UInt8[Tensor, "3 height width"], Int[Tensor, "height width"]]:
    """Decode a picture and the label map that lies over its pixels as the file stores them, both
    turned upright alike.

    Raises ValueError when the label map has another size than the stored pixels, and what
    `decode_image` and `decode_labels` raise.
    """
    pixels, orientation = _upright(image)
    height, width = pixels.shape[1:]
    stored = (width, height) if orientation > 4 else (height, width)
    found = decode_labels(labels)
    if found.shape != stored:
        raise ValueError(f"image is stored as {stored} but its label map as {tuple(found.shape)}")
    return pixels, torch.from_numpy(turned(found.numpy(), orientation))


def stored_size(data: bytes) -> tuple[int, int]:
    """(height, width) of a picture file's pixels as it stores them, from its header alone.

    Raises what `decode_image` raises where the header already tells.
    """
    if (header := _plain_jpeg(data)) is not None:
        return header
    with picture_files.opened(data) as image:
        return picture_files.size_in_file(image)


def stored_orientation(data: bytes) -> int:
    """How a picture file's pixels lie: EXIF's 1 to 8, where 1 is upright and what is broken counts
    as 1."""
    if _plain_jpeg(data) is not None and not (b"Exif\x00" in data or b"tiff:Orientation" in data):
        return 1
    try:
        with picture_files.opened(data) as image:
            return picture_files.orientation(image)
    except Exception:  # libjpeg-turbo reads pictures whose other parts Pillow stumbles over
        return 1


def looks_whole(data: bytes) -> bool:
    """Whether this is a plain JPEG that ends as one should: all others are best decoded."""
    return data.endswith(b"\xff\xd9") and _plain_jpeg(data) is not None


def _upright(data: bytes) -> tuple[UInt8[Tensor, "3 height width"], int]:
    """Upright pixels, and how the file stores them."""
    stored = None if _plain_jpeg(data) is None else _decoded_jpeg(data)
    if stored is None:
        pixels, orientation = picture_files.upright_pixels(data)
    else:
        orientation = stored_orientation(data)
        pixels = picture_files.turned_colours(stored, orientation)
    return torch.from_numpy(pixels).permute(2, 0, 1), orientation


def _plain_jpeg(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a JPEG in colour or grey that libjpeg-turbo takes; None for others.

    Raises ValueError on a decompression bomb.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, LookupError):  # of a sampling it does not know, or no JPEG
        return None
    picture_files.check_pixels(int(width), int(height))
    return (int(height), int(width)) if space in {"YCbCr", "Gray"} else None


def _decoded_jpeg(data: bytes) -> UInt8[np.ndarray, "height width 3"] | None:
    """Stored pixels of a plain JPEG; None where it has oddities that Pillow passes over."""
    try:
        return simplejpeg.decode_jpeg(data, "RGB")
    except ValueError as error:
        if any(damage in str(error) for damage in _DAMAGE):
            raise
        return None


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
