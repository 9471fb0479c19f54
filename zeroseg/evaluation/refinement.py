"""Refinement of scores by the image: pixels that look alike share what they are taken for."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

SPARSE = (8, 16)
"""NACLIP's dilations; those of SCLIP too."""
AUTHORS = (1, 2, 4, 8, 12, 24)
"""The authors' own dilations, and TCL's."""


@torch.no_grad()
def pamr(
    images: Float[Tensor, "batch 3 height width"],
    scores: Float[Tensor, "batch class height width"],
    dilations: Sequence[int] = SPARSE,
    iterations: int = 10,
) -> Float[Tensor, "batch class height width"]:
    """Pixel-adaptive mask refinement (Araslanov & Roth, CVPR 2020, section 4.2).

    So many times a pixel's scores become the mean of its neighbours', weighted by `affinities`.
    The scale and origin of the images' values do not matter.
    """
    weights = affinities(images, dilations)
    for _ in range(iterations):
        refined = torch.zeros_like(scores)
        for neighbour, weight in zip(
            _neighbours(scores, dilations), weights.unbind(dim=1), strict=True
        ):
            refined.addcmul_(neighbour, weight[:, None])
        scores = refined
    return scores


def affinities(
    images: Float[Tensor, "batch 3 height width"], dilations: Sequence[int]
) -> Float[Tensor, "batch neighbour height width"]:
    """How alike a pixel is to its 8 neighbours at each distance; sums to one over neighbours.

    A softmax of minus the difference in units of a tenth of the standard deviation among the pixel
    and its neighbours, averaged over colours (the factor and its 1e-8 are those of the authors' code,
    where the pixel itself enters the deviation once a distance).
    """
    around = torch.stack(list(_neighbours(images, dilations)))
    itself = images.expand(len(dilations), *images.shape)
    values = torch.cat([around, itself])
    # As `Tensor.std` has it, in a quarter of the time on a CPU.
    deviation = (values - values.mean(0)).square_().sum(0).div_(len(values) - 1).sqrt_()
    difference = (around - images).abs() / (1e-8 + 0.1 * deviation)
    return (-difference.mean(dim=2)).softmax(dim=0).transpose(0, 1)


def _neighbours(
    maps: Float[Tensor, "batch channel height width"], dilations: Sequence[int]
) -> Iterator[Float[Tensor, "batch channel height width"]]:
    """The maps moved to each of 8 directions by each distance; the edge is repeated beyond it."""
    height, width = maps.shape[2:]
    margin = max(dilations)
    padded = F.pad(maps, [margin] * 4, mode="replicate")
    for distance in dilations:
        for down in (-distance, 0, distance):
            for right in (-distance, 0, distance):
                if down or right:
                    top, left = margin + down, margin + right
                    yield padded[..., top : top + height, left : left + width]
