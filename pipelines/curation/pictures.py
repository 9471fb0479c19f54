"""Thumbnails of the images of a set, by their places and by their names."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageOps

from shards.contact_sheet import SIDE, refusal
from shards.sample import error_text
from zeroseg.data.samples import image_of
from zeroseg.errors import InputError
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet


class Picture(NamedTuple):
    """A thumbnail, and what is said of it."""

    key: str
    jpeg: bytes
    size: str
    """`<width> x <height>` of the image in pixels, or why it cannot be read."""
    note: str = ""

    @property
    def source(self) -> str:
        """As a data URI."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}"

    @property
    def image(self) -> Image.Image:
        """Decoded."""
        return Image.open(io.BytesIO(self.jpeg))


class Pictures:
    """Reads the images of a set; each is read and decoded once."""

    def __init__(self, shards: ShardSet, cache: ShardCache) -> None:
        self.shards, self.reader = shards, ShardReader(shards, cache)
        self.read: dict[tuple[int, int], Picture] = {}

    def at(self, shard: int, number: int, key: str = "", note: str = "") -> Picture:
        """The picture at a place. Raises InputError when it has not the key that is expected there."""
        if (shard, number) not in self.read:
            self.read[shard, number] = self._picture(shard, number, key)
        return self.read[shard, number]._replace(note=note)

    def named(self, name: str, note: str = "") -> Picture:
        """The picture of `<shard> <key>`, or one that says that there is none."""
        for shard, key in _splits(name):
            if shard not in self.shards.names:
                continue
            place = self.shards.names.index(shard)
            try:
                number = self.reader.number(place, key)
            except Exception as error:  # a shard that cannot be opened
                return _refused(key, error_text(error), note)
            return (
                _refused(key, "gone", note) if number is None else self.at(place, number, key, note)
            )
        return absent(name, note)

    def _picture(self, shard: int, number: int, key: str) -> Picture:
        try:
            found = self.reader.key(shard, number)
            if key and found != key:
                raise InputError(
                    f"sample {number} of {self.shards.urls[shard]} is {found}, not {key}: the selection "
                    "is of other shards, name those that it was made of"
                )
            pixels = image_of(self.reader.read(shard, number))
        except InputError:
            raise
        except Exception as error:  # whatever a picture library makes of damaged bytes
            return _refused(key, error_text(error))
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        size = f"{image.width} x {image.height}"
        return Picture(found, _jpeg(ImageOps.contain(image, (SIDE, SIDE))), size)


def absent(name: str, note: str = "") -> Picture:
    """In place of a picture whose set is not at hand."""
    return _refused(name, "not at hand", note)


def _refused(key: str, why: str, note: str = "") -> Picture:
    return Picture(key, _jpeg(refusal(why)), why, note)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def _splits(name: str) -> Sequence[tuple[str, str]]:
    """Shard and key at each space: either may have some."""
    words = name.split(" ")
    return [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))]
