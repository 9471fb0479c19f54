"""Near copies of a picture, as they are found in large corpora: the kinds, and how one is made."""

import io
from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps

Change = Callable[[Image.Image], Image.Image]
QUALITY = 60
"""Of the JPEG as which every copy is stored."""


def scaled(share: float) -> Change:
    """Both sides times a share."""
    return lambda photo: photo.resize([max(1, round(side * share)) for side in photo.size])


def cropped(share: float) -> Change:
    """The middle, of a share of the area."""

    def change(photo: Image.Image) -> Image.Image:
        width, height = (side * share**0.5 for side in photo.size)
        left, top = (photo.width - width) / 2, (photo.height - height) / 2
        return photo.crop(tuple(map(round, (left, top, left + width, top + height))))

    return change


CHANGES: dict[str, Change] = {
    "re-encoded": lambda photo: photo,
    "half the size": scaled(0.5),
    "quarter of the size": scaled(0.25),
    "cropped to 80 %": cropped(0.8),
    "cropped to 60 %": cropped(0.6),
    "mirrored": ImageOps.mirror,
    "coloured": lambda photo: ImageEnhance.Color(
        ImageEnhance.Brightness(photo).enhance(1.1)
    ).enhance(1.2),
}
"""Kinds of near copies by name."""


def copy(data: bytes, change: Change) -> bytes:
    """A picture file changed, and stored again."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as photo:
        change(ImageOps.exif_transpose(photo).convert("RGB")).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
