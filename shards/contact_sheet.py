"""A contact sheet: thumbnails in rows, each with what there is to say of it."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, LINE = 160, 8, 16
"""Pixels: of a thumbnail's longer side, between tiles, of a line of text."""
COLUMNS = 6
"""Thumbnails in a row; a labelled sample has two."""


class Tile(NamedTuple):
    """Pictures side by side, with two lines of text below."""

    pictures: Sequence[Image.Image]
    """No side of one is above `SIDE`."""
    lines: tuple[str, str]
    classes: frozenset[int] = frozenset()
    """Those of its label map."""


def sheet(tiles: Sequence[Tile]) -> Image.Image:
    """All tiles, row by row."""
    across = max(len(tile.pictures) for tile in tiles)
    columns = min(COLUMNS // across, len(tiles))
    width, height = across * SIDE + GAP, SIDE + 2 * LINE + GAP
    rows = -(-len(tiles) // columns)
    drawn = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(drawn)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * width, GAP + number // columns * height
        for picture in tile.pictures:
            drawn.paste(picture, (left, top + SIDE - picture.height))
            left += picture.width
        left = GAP + number % columns * width
        for line, text in enumerate(tile.lines):
            room = across * SIDE
            draw.text((left, top + SIDE + line * LINE), _fitted(text, room), "black", _font())
    return drawn


def refusal(reason: str) -> Image.Image:
    """A red tile with as much of the reason as it has room for."""
    tile = Image.new("RGB", (SIDE, SIDE), (190, 30, 30))
    draw, rest = ImageDraw.Draw(tile), " ".join(reason.split())
    for top in range(GAP, SIDE - LINE, LINE):
        line = rest
        while _length(line) > SIDE - 2 * GAP:
            line = line[:-1]
        draw.text((GAP, top), line, fill="white", font=_font())
        rest = rest[len(line) :].lstrip()
    return tile


def _fitted(text: str, room: int) -> str:
    """The end of a text, which tells keys apart."""
    if _length(text) <= room:
        return text
    while _length(f"...{text}") > room:
        text = text[1:]
    return f"...{text}"


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(11)


def _length(text: str) -> float:
    return _font().getlength(text)
