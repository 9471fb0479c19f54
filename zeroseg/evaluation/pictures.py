"""Pictures of label maps: colours, overlays, legends, and rows that compare them."""

import colorsys
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE

Picture = UInt8[ndarray, "_ _ 3"]
Colours = UInt8[ndarray, "class 3"]
"""Of each class by its index, as `palette` and `word_colours` make them."""
GREY = (96, 96, 96)
"""Of background, which no other word has."""


@lru_cache
def palette(count: int) -> UInt8[ndarray, "count 3"]:
    """Distinct colours, none of them white, the same for the same index whatever the count; read-only."""
    golden = 0.618034
    # Hues come back after 144 steps, a Fibonacci number; then other saturations and values follow, and
    # beyond 256 colours every round is darkened by another share.
    steps = [i + 5 * (i // 144) for i in range(count)]
    shades = [1 - 0.4 * (i // 144 * golden % 1) if i >= 256 else 1.0 for i in range(count)]
    colours = [
        colorsys.hsv_to_rgb(
            (0.07 + i * golden) % 1,
            (0.85, 0.6, 0.95)[step % 3],
            (0.9, 1.0, 0.65)[step // 3 % 3] * shade,
        )
        for i, (step, shade) in enumerate(zip(steps, shades, strict=True))
    ]
    table = (np.array(colours) * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def word_colours(names: Sequence[str], *, background: bool = False) -> Colours:
    """Colours by the names themselves, none of them white or grey; `GREY` where the first is background.

    A name, or the first of its synonyms behind commas, has the same one of the first 64 colours of `palette`
    wherever it stands in whatever list, but where that is taken by a name before it in the alphabet: then
    it has one of the first 128, or of twice as many, until one is free.
    """
    table = np.full((len(names), 3), GREY, np.uint8)
    taken: set[tuple[int, ...]] = set()
    for name, index in sorted((name, i) for i, name in enumerate(names) if i or not background):
        colours = (palette(1 << max(place.bit_length(), 6))[place] for place in _places(name))
        table[index] = next(colour for colour in colours if tuple(colour) not in taken)
        taken.add(tuple(table[index]))
    return table


def _places(name: str) -> Iterator[int]:
    """Where a name's colour may be in `palette`, by its digest, the best first."""
    word = name.split(",")[0].strip().lower()
    number = 0
    for doublings, text in enumerate((word, *[name] * 10)):
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        number = int.from_bytes(digest) % (64 << doublings)
        yield number
    yield from itertools.count(number)


def pixels(image: Float[Tensor, "3 height width"]) -> Picture:
    """An image in [0, 1] as 8-bit RGB."""
    return (image.permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)


def coloured(labels: Int[Tensor, "height width"], colours: Colours | None = None) -> Picture:
    """A label map in its colours, by default those of `palette`; ignored pixels are white."""
    classes = labels.cpu().numpy()
    ignored = classes == IGNORE
    classes = np.where(ignored, 0, classes)
    table = palette(int(classes.max(initial=0)) + 1) if colours is None else colours
    picture = table[classes]
    picture[ignored] = 255
    return picture


def overlay(
    image: Picture,
    labels: Int[Tensor, "height width"],
    strength: float = 0.55,
    colours: Colours | None = None,
) -> Picture:
    """The image tinted by its label map."""
    mixed = (1 - strength) * image + strength * coloured(labels, colours)
    return mixed.round().astype(np.uint8)


def enlarged(picture: Picture, height: int) -> Picture:
    """Resize to a height with hard pixels, so that a label map keeps its edges."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))


def side_by_side(pictures: Sequence[Picture], height: int = 224, gap: int = 6) -> Picture:
    """Pictures in one row, white between them."""
    white = np.full((height, gap, 3), 255, np.uint8)
    parts = [part for p in pictures for part in (enlarged(p, height), white)]
    return np.concatenate(parts[:-1], axis=1)


def stacked(pictures: Sequence[Picture], gap: int = 6) -> Picture:
    """Pictures below each other, white between them and beside the narrower ones."""
    width = max(p.shape[1] for p in pictures)
    sheet = np.full((sum(len(p) + gap for p in pictures) - gap, width, 3), 255, np.uint8)
    top = 0
    for picture in pictures:
        sheet[top : top + len(picture), : picture.shape[1]] = picture
        top += len(picture) + gap
    return sheet


def with_legend(
    picture: Picture,
    names: dict[int, str],
    entry_height: int = 22,
    colours: Colours | None = None,
) -> Picture:
    """Write coloured class names below a picture, in as many lines as its width needs."""
    font = ImageFont.load_default(13)
    x, lines, places = 6, 1, []
    for index, name in names.items():
        wide = 24 + int(font.getlength(name)) + 12
        if x + wide > picture.shape[1] and x > 6:
            x, lines = 6, lines + 1
        places.append((x, (lines - 1) * entry_height + 4, index, name))
        x += wide
    strip = Image.new("RGB", (picture.shape[1], lines * entry_height + 4), "white")
    draw = ImageDraw.Draw(strip)
    table = palette(max(names, default=0) + 1) if colours is None else colours
    for left, top, index, name in places:
        draw.rectangle((left, top, left + 16, top + 14), fill=tuple(table[index].tolist()))
        draw.text((left + 22, top - 1), name, fill="black", font=font)
    return np.concatenate([picture, np.array(strip)])
