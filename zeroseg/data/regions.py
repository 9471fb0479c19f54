"""Regions: what a CLIP is shown of an image when it is asked about a mask.

ZegFormer (Ding et al., CVPR 2022) compares three ways, `Kind`; zsseg (Xu et al., ECCV 2022) has the last of
them. ZegFormer makes the pixels outside of the mask zero after the CLIP's normalisation, zsseg the CLIP's
pixel mean before it: that is one rule, and the one here.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from zeroseg.data.views import Box
from zeroseg.errors import InputError

Kind = Literal["crop", "mask", "cropmask"]
"""The box around the mask as it is; the whole image with all else filled; the box, so filled."""


@dataclass(frozen=True, kw_only=True)
class RegionViews:
    """Which pixels a mask's region is, and how it is shown."""

    kind: Kind = "cropmask"
    threshold: float = 0.5
    """A pixel is in the region where the mask's probability is above it."""
    expand: float = 1.0
    """The box has sides so many times as long about its middle, as far as the image reaches."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1 or self.expand < 1:
            raise InputError(
                f"regions.threshold is {self.threshold}, regions.expand {self.expand}: the first lies "
                "in [0, 1), the second is at least 1"
            )

    def regions(
        self, masks: Float[Tensor, "proposal rows columns"], size: tuple[int, int]
    ) -> Bool[Tensor, "proposal height width"]:
        """The region of each mask, of logits, at an image of `size`; one may be empty."""
        pixels = F.interpolate(masks[None].float(), size, mode="bilinear")[0]
        return pixels.sigmoid() > self.threshold

    def box(self, region: Bool[Tensor, "height width"]) -> Box:
        """The box around a region that is not empty."""
        (top, bottom), (left, right) = (
            _span(region.any(dim=1 - along), self.expand) for along in (0, 1)
        )
        return Box(top, left, bottom, right)

    def cut(
        self,
        image: Float[Tensor, "3 height width"],
        regions: Bool[Tensor, "region height width"],
        size: int,
        fill: Float[Tensor, "3 1 1"],
    ) -> Float[Tensor, "region 3 size size"]:
        """Each region of an image in [0, 1], none of them empty, at `size` pixels a side.

        Square whatever its shape, as ZegFormer's roi-align makes it; antialiased bicubic, and not
        rounded to 8 bits (ours), so that what is filled is `fill` but for the last bit.
        """
        cut = [self._cut(image, region, size, fill) for region in regions]
        return torch.stack(cut) if cut else image.new_zeros(0, 3, size, size)

    def _cut(self, image: Tensor, region: Tensor, size: int, fill: Tensor) -> Tensor:
        if self.kind != "crop":
            image = torch.where(region, image, fill)
        if self.kind != "mask":
            box = self.box(region)
            image = image[:, box.top : box.bottom, box.left : box.right]
        cut = F.interpolate(image[None], (size, size), mode="bicubic", antialias=True)[0]
        return cut.clamp(0, 1)


def _span(inside: Bool[Tensor, " pixel"], expand: float) -> tuple[int, int]:
    """First pixel and the one after the last of what lies inside along a side, expanded."""
    places = inside.nonzero().flatten()
    first, end = int(places[0]), int(places[-1]) + 1
    more = (expand - 1) * (end - first) / 2
    return max(0, round(first - more)), min(len(inside), round(end + more))
