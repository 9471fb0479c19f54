"""What a step reads: images of one size, and the samples that could not be had."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from zeroseg.data.images import centre_crop, decode_image, decode_labels, resized, short_side_size
from zeroseg.data.reader import RawSample, ShardReader, UnreadableShard
from zeroseg.data.tar_index import image_extension

LABELS = "png"
"""Extension of label maps."""


class Lost(NamedTuple):
    """A sample that could not be read or decoded."""

    shard: str
    key: str
    """Empty where the whole shard cannot be read."""
    cause: str
    """Its kind, to count by."""
    detail: str

    def __str__(self) -> str:
        return f"{self.shard} {self.key}: {self.cause}: {self.detail}"


@dataclass(frozen=True)
class Batch:
    """Samples of one size, on one device. Images travel as bytes."""

    keys: tuple[str, ...]
    images: UInt8[Tensor, "batch 3 height width"]
    labels: Int[Tensor, "batch label_height label_width"] | None = None
    """Class indices at the annotation's own size; 255 is ignored."""
    lost: tuple[Lost, ...] = ()
    """Samples that belong here and could not be had."""

    @property
    def pixels(self) -> Float[Tensor, "batch 3 height width"]:
        """The images in [0, 1]; every model normalises its own way."""
        return self.images.float() / 255

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)
        return Batch(self.keys, self.images.to(device, non_blocking=True), labels, self.lost)


Decode = Callable[[RawSample], tuple[Tensor, Tensor | None]]


def training_sample(sample: RawSample, *, side: int) -> tuple[Tensor, None]:
    """The centre crop of the image; a label map, where there is one, is not even decoded."""
    return centre_crop(_image(sample), side), None


def evaluation_sample(
    sample: RawSample, *, short_side: int, multiple: int
) -> tuple[Tensor, Tensor]:
    """The image at its short side, and the label map as it is."""
    image, labels = _image(sample), decode_labels(sample.members[LABELS])
    if image.shape[1:] != labels.shape:
        raise ValueError(
            f"image is {tuple(image.shape[1:])} but its label map {tuple(labels.shape)}"
        )
    size = (image.shape[1], image.shape[2])
    return resized(image, short_side_size(size, short_side, multiple)), labels


def _image(sample: RawSample) -> Tensor:
    extension = image_extension(sample.members)
    if extension is None:
        raise ValueError(f"no image among its members {sorted(sample.members)}")
    return decode_image(sample.members[extension])


def load_batch(reader: ShardReader, samples: Iterable[tuple[int, int]], decode: Decode) -> Batch:
    """Read and decode samples of one size; what cannot be had is in `lost`."""
    keys, images, labels, lost = [], [], [], []
    for shard, number in samples:
        key = ""
        try:
            key = reader.key(shard, number)
            image, label = decode(reader.read(shard, number))
        except UnreadableShard as error:
            lost.append(Lost(reader.shards.urls[shard], "", "unreadable shard", str(error)))
            continue
        except Exception as error:  # any picture library's error; the sample is counted and named
            cause = type(error).__name__
            lost.append(Lost(reader.shards.urls[shard], key, cause, str(error)))
            continue
        keys.append(key)
        images.append(image)
        labels += [] if label is None else [label]
    pixels = torch.stack(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    return Batch(tuple(keys), pixels, torch.stack(labels) if labels else None, tuple(lost))
