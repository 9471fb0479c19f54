"""One photo or label map: bytes to tensors, and the sizes they are brought to."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageOps
from torch import Tensor


def decode_image(data: bytes) -> UInt8[Tensor, "3 height width"]:
    """Decode any picture file to upright RGB.

    Raises OSError or a PIL error on bytes that are no picture, or a decompression bomb.
    """
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):  # Pillow would clip 16-bit grey at 255
            upright = Image.fromarray((np.array(upright) // 257).astype(np.uint8))
        elif upright.mode == "P":  # straight to RGB, Pillow warns where the palette has alpha
            upright = upright.convert("RGBA")
        upright = upright.convert("RGB")
    return torch.from_numpy(np.array(upright)).permute(2, 0, 1)


def decode_labels(data: bytes) -> Int[Tensor, "height width"]:
    """Decode a label map: one channel of class indices, palette or grey."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode not in {"P", "L"}:
            raise ValueError(f"label map has mode {image.mode}, expected one 8-bit channel")
        return torch.from_numpy(np.array(image)).long()


def resized(
    image: UInt8[Tensor, "3 height width"], size: tuple[int, int]
) -> Float[Tensor, "3 new_height new_width"]:
    """Resize to (height, width), antialiased bicubic; values in [0, 1]."""
    pixels = image[None].float()
    if tuple(image.shape[1:]) != size:
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True).round().clamp(0, 255)
    return pixels[0] / 255


def short_side_size(size: tuple[int, int], short_side: int, multiple: int = 1) -> tuple[int, int]:
    """Scale (height, width) so that the shorter is `short_side`; round both to `multiple`."""
    scale = short_side / min(size)
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return height, width


def centre_crop(image: UInt8[Tensor, "3 height width"], side: int) -> Float[Tensor, "3 side side"]:
    """Bring the shorter side to `side` and cut the middle square (the paper's only transform)."""
    pixels = resized(image, short_side_size((image.shape[1], image.shape[2]), side))
    top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
    return pixels[:, top : top + side, left : left + side]
