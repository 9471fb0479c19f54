"""Which pixels of which classes a generator of features is to imitate."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE


class ClassPixels(NamedTuple):
    """Random cells of the classes of each image; a slot is a class, or empty."""

    classes: Int[Tensor, "batch slot"]
    places: Int[Tensor, "batch slot pixel"]
    """Cells in reading order."""
    chosen: Bool[Tensor, "batch slot pixel"]
    """False where the class has no more cells."""

    def of(
        self, features: Float[Tensor, "batch feature rows columns"]
    ) -> Float[Tensor, "batch slot pixel feature"]:
        """The features of the cells."""
        flat = features.flatten(2).mT
        places = self.places.flatten(1)[:, :, None].expand(-1, -1, flat.shape[2])
        return flat.gather(1, places).unflatten(1, self.places.shape[1:])


def class_pixels(
    labels: Int[Tensor, "batch rows columns"],
    draws: Float[Tensor, "batch cell"],
    *,
    classes: int,
    slots: int,
    pixels: int,
) -> ClassPixels:
    """For the most frequent classes of each image, at most `slots`, at most `pixels` cells each.

    Of a class the cells with the highest of the `draws` are taken, which are in [0, 1).
    """
    flat = labels.flatten(1)
    known = flat != IGNORE
    counts = flat.new_zeros(len(flat), classes + 1)
    counts.scatter_add_(1, flat.masked_fill(~known, classes), torch.ones_like(flat))
    _, found = counts[:, :classes].topk(min(slots, classes), dim=1)
    inside = flat[:, None] == found[:, :, None]
    ranked = torch.where(inside, draws[:, None], -1.0)
    best, places = ranked.topk(min(pixels, flat.shape[1]), dim=2)
    return ClassPixels(found, places, best >= 0)
