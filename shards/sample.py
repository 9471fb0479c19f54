"""One sample on its way into a shard, and the source that it comes from."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from zeroseg.data.images import decode_image, looks_whole, stored_size
from zeroseg.store.keys import escaped


class BadSample(Exception):
    """One picture or label map that cannot be used. It is left out, counted and named."""


@dataclass(frozen=True)
class Sample:
    """One image, as its file's bytes, with its label map where there is one."""

    key: str
    """Unique in the set, without a dot; see `key_of`."""
    image: bytes
    labels: bytes | None = None
    """PNG, one channel of class indices, as `zeroseg.data.label_files` reads and writes it."""
    source: str = ""
    """Where the image was: a path below the source, or a URL."""
    members: Mapping[str, bytes] = field(default_factory=dict)
    """All that is stored of a copy, by extension; else it is made of what is above."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A corpus as pieces of work in a fixed order; pieces are read by several processes."""

    units: Sequence[Any]
    """What can be read alone: the path of a photo, a tar, a part of a table. Small and picklable."""
    read: Callable[[Any], Iterable[Sample | BadSample]]
    """The samples of one unit; a function that can be pickled. What cannot be used is yielded as
    a BadSample whose text names the file and says why."""
    images_per_unit: int | None = 1
    """None where a unit holds many and only reading tells."""
    in_random_order: bool = False
    """Whether the units were drawn at random, so that permuting them would change nothing."""
    classes: tuple[str, ...] = ()
    """Names by label index; none for unlabelled sets."""
    built_from: dict[str, str] = field(default_factory=dict)
    """Kind, source and options, for the manifest."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """Files below the source that are no pictures, counted by suffix, and what is hidden there."""


def image_size(data: bytes) -> tuple[int, int]:
    """(width, height) of a picture file as stored. Raises BadSample on what does not decode.

    Of a plain JPEG that has its end, by far the most, only the header is read here.
    """
    try:
        if not looks_whole(data):
            decode_image(data)
        height, width = stored_size(data)
        return width, height
    except Exception as error:  # whatever a picture library makes of a file that is no picture
        raise BadSample(f"not a readable picture ({error_text(error)})") from error


def error_text(error: Exception) -> str:
    """Its class and message, the same each time: Pillow's messages hold memory addresses."""
    return f"{type(error).__name__}: {re.sub(r' <_io.*?>', '', str(error))}"


def encoded(pixels: UInt8[ndarray, "height width *channels"], kind: str, **options: int) -> bytes:
    """Encode pixels as PNG or JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def key_of(path: PurePath | str) -> str:
    """A key from a path below the source, without its suffix. Dots would end a key in a tar,
    spaces a field of its index, and leading double underscores mark what is no sample: all are
    replaced. Control characters and bytes that are no UTF-8 are escaped as `%07` and `%E9`, and a key
    that is longer than any path is cut and gets a digest."""
    key = re.sub(r"[.\s]", "_", str(PurePath(path).with_suffix("")))
    return "/".join(re.sub("^__", "--", part) for part in escaped(key).split("/"))
