"""Photos and label maps in two folders, with a class list of anybody's own."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt, UInt16
from numpy import ndarray
from PIL import Image, ImageFile

from shards.class_entries import Colour, parse_colour
from shards.class_list import ClassList, read_class_list
from shards.folder import SUFFIXES
from shards.labelled import Pair, need, paired, read_pair, refuse_deep_colours
from shards.sample import BadSample, Source
from zeroseg.data.label_files import IGNORED_BYTE, label_ids
from zeroseg.data.picture_files import opened
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError

MAPS = (".png", ".bmp", ".tif", ".tiff")
"""Suffixes of label maps."""
FORMATS = ("PNG", "BMP", "TIFF")
"""What label maps may be, whatever their names end in."""


@dataclass(frozen=True)
class Masks:
    """Photos and label maps of the same names, and a list of your own classes.

    Maps hold ids, or the palette's or an RGB picture's colours where the list has colours. What is in
    neither the list nor --ignore leaves the image out, named; so does a photo or a map that is alone.
    """

    images: Path
    """Folder of the photos."""
    masks: Path
    """Folder of the label maps, each of the same name and place as its photo; it may be the same folder."""
    classes: Path | None = None
    """Text of a name a line, CSV (name, with id or colour) or JSON (names, {id: name} or {name: colour});
    commas or `|` separate synonyms. A first class called background is background."""
    ignore: tuple[str, ...] = ()
    """Ids and colours (`#rrggbb`, `r,g,b`) that no score counts, beside 255, in maps of 16 bits 65535,
    where the list does not name those."""
    image_end: str = ""
    """What a photo's name ends in before its suffix, as `_rgb`; the rest must be the map's."""
    mask_end: str = ""
    """What a label map's name ends in before its suffix, as `_mask`."""

    def source(self) -> Source:
        """Raises InputError when a folder is missing or holds no photo, or the class list is none."""
        need(self.images, "a set of masks", "the photos there")
        need(self.masks, "a set of masks", "the label maps there")
        classes = read_class_list(self.classes)
        decode = Decoder(classes, *_ignored(self.ignore))
        return Source(
            units=self._pairs(),
            read=partial(read_pair, identity(classes), decode),
            classes=classes.names,
            built_from={
                "kind": "masks",
                "source": str(self.images),
                "masks": str(self.masks),
                "classes": digest(classes, sorted(self.ignore)),
            },
        )

    def _pairs(self) -> list[Pair]:
        suffixes = (".jpg", *sorted(SUFFIXES - {".jpg"}))
        together = self.images.resolve() == self.masks.resolve()
        if together and not (self.image_end or self.mask_end):
            suffixes = tuple(suffix for suffix in suffixes if suffix not in MAPS)
        pairs = paired(
            self.images,
            "",
            self.masks,
            suffixes=suffixes,
            image_end=self.image_end,
            labels_end=self.mask_end,
            maps=MAPS,
        )
        return [pair for pair in pairs if not (together and self._is_other(pair))]

    def _is_other(self, pair: Pair) -> bool:
        """Whether this is a label map taken for a photo, or the other way round, as in one folder."""
        photo, labels = Path(pair.image).stem, pair.labels.stem
        other = bool(self.mask_end) and photo.endswith(self.mask_end + self.image_end)
        return other or (bool(self.image_end) and labels.endswith(self.image_end + self.mask_end))


@dataclass(frozen=True)
class Decoder:
    """From a label map's file to labels, by a class list."""

    classes: ClassList
    ignored_ids: frozenset[int] = frozenset()
    ignored_colours: frozenset[Colour] = frozenset()

    def __call__(self, data: bytes) -> UInt16[ndarray, "height width"]:
        """Labels, IGNORE where they are ignored.

        Raises BadSample for what the list does not have and for a picture that keeps no ids, and what
        decoders raise.
        """
        found = _ids(data, bool(self.classes.colours)) if self.classes.ids else None
        if found is not None:
            ignored = self.ignored_ids | {IGNORED_BYTE, IGNORE}
            known = dict.fromkeys(ignored, IGNORE) | dict(self.classes.ids)
            return looked_up(found, known, "id {}")
        if not self.classes.colours:
            raise BadSample("a picture in colours, and the class list has ids: give it colours")
        known = dict.fromkeys(self.ignored_colours, IGNORE) | dict(self.classes.colours)
        codes = {code_of(colour): label for colour, label in known.items()}
        return looked_up(colour_codes(data), codes, "colour #{:06x}")


def looked_up(
    values: UInt[ndarray, "height width"], labels: Mapping[int, int], named: str
) -> UInt16[ndarray, "height width"]:
    """The label of each value. Raises BadSample for one without, `named` in its own way."""
    found, places = np.unique(values, return_inverse=True)
    if strange := [value for value in found.tolist() if value not in labels]:
        raise BadSample(f"holds {named.format(strange[0])}, which the class list does not have")
    table = np.array([labels[value] for value in found.tolist()], np.uint16)
    return table[places.reshape(values.shape)]


def colour_codes(data: bytes) -> UInt[ndarray, "height width"]:
    """Each pixel's colour as the number 0xrrggbb. Raises BadSample for other formats and where alpha hides
    pixels, and what decoders raise."""
    with opened(data) as picture:
        _refuse_other_formats(picture)
        refuse_deep_colours(picture)
        pixels = np.array(picture.convert("RGBA"))
    if (pixels[..., 3] != 255).any():
        raise BadSample("has transparent pixels, whose colour is nobody's: save it without alpha")
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return red << 16 | green << 8 | blue


def code_of(colour: Colour) -> int:
    """A colour as the number 0xrrggbb."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def identity(classes: ClassList) -> dict[int, int]:
    """The table of ids that are labels already."""
    return {label: label for label in (*range(len(classes.names)), IGNORE)}


def digest(*parts: object) -> str:
    """What tells two class lists, and what is ignored, apart."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _ids(data: bytes, coloured: bool) -> UInt[ndarray, "height width"] | None:
    """The ids of a map of one channel, or, where no colours are known, of three that are the same
    everywhere; None in colours."""
    with Image.open(io.BytesIO(data)) as picture:
        _refuse_other_formats(picture)
        mode = picture.mode
    if mode not in ("RGB", "RGBA"):
        return one_channel_ids(data)
    if coloured:
        return None
    codes = colour_codes(data)
    grey = codes & 255
    return grey.astype(np.uint8) if (codes == grey * 0x010101).all() else None


def one_channel_ids(data: bytes) -> UInt[ndarray, "height width"]:
    """The ids of a map of one channel, in any of the formats of MAPS. Raises BadSample for other
    pictures, and what decoders raise."""
    with Image.open(io.BytesIO(data)) as picture:
        _refuse_other_formats(picture)
        form, mode = picture.format, picture.mode
        stored = str(picture.tile[0][3]) if picture.tile else ""
    if form == "PNG":
        return label_ids(data)
    if mode not in ("L", "P", "I;16"):
        raise BadSample(f"ids need one channel of 8 or 16 bits, this is {form}, mode {mode}")
    if "L;" in stored:
        raise BadSample(f"a {form} whose grey is not stored as 0 to 255, which Pillow changes")
    with opened(data) as picture:
        return np.array(picture)


def _refuse_other_formats(picture: ImageFile.ImageFile) -> None:
    """Raises BadSample for formats that keep other values than they were given: JPEG changes pixels, and
    GIF counts a palette's colours anew."""
    packed = str(picture.info.get("compression", ""))
    if picture.format not in FORMATS or "jpeg" in packed or "webp" in packed:
        name = picture.format if picture.format not in FORMATS else f"{picture.format} of {packed}"
        raise BadSample(f"a {name}, which may change ids and colours: save label maps as PNG")


def _ignored(texts: Sequence[str]) -> tuple[frozenset[int], frozenset[Colour]]:
    """Ids and colours. Raises InputError for other text."""
    ids = {int(text) for text in texts if text.strip().isdecimal()}
    colours = {text: parse_colour(text) for text in texts if not text.strip().isdecimal()}
    if strange := [text for text, colour in colours.items() if colour is None]:
        raise InputError(
            f"--ignore {strange[0]!r} is no id and no colour: give 0, #rrggbb or r,g,b"
        )
    return frozenset(ids), frozenset(colour for colour in colours.values() if colour is not None)
