"""What a step reads: images of one size, and the samples that could not be had."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


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
    """Class indices at the annotation's own size; IGNORE is ignored."""
    lost: tuple[Lost, ...] = ()
    """Samples that belong here and could not be had."""
    view_images: UInt8[Tensor, "batch 3 side side"] | None = None
    """The same crops with more pixels, for the teacher's views; none where they are `images`."""
    embeddings: Float[Tensor, "batch view embed"] | None = None
    """The teacher's, where they were computed before."""

    @property
    def pixels(self) -> Float[Tensor, "batch 3 height width"]:
        """The images in [0, 1]; every model normalises its own way."""
        return self.images.float() / 255

    @property
    def view_pixels(self) -> Float[Tensor, "batch 3 side side"]:
        """What the teacher's views are cut from, in [0, 1]."""
        return self.pixels if self.view_images is None else self.view_images.float() / 255

    def split(self, parts: int) -> "list[Batch]":
        """At most so many parts of nearly equal size, none of them empty; the first has the losses."""
        count = max(1, min(parts, len(self.keys)))
        if count == 1:
            return [self]
        sizes = [len(self.keys) * (i + 1) // count for i in range(count - 1)]
        cuts = {
            field.name: value.tensor_split(sizes)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        bounds = [0, *sizes, len(self.keys)]
        return [
            Batch(
                self.keys[bounds[i] : bounds[i + 1]],
                lost=() if i else self.lost,
                **{name: tensors[i] for name, tensors in cuts.items()},
            )
            for i in range(count)
        ]

    def to(self, device: torch.device) -> "Batch":
        """Move every tensor."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Into pages that stay where they are; torch's loader calls it by this name."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(v) for k, v in values.items() if isinstance(v, Tensor)})
