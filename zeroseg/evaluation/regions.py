"""A CLIP asked about the regions of proposals."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zeroseg.data.regions import RegionViews
from zeroseg.models.clip import CLIP


class RegionEmbeddings(NamedTuple):
    """What a CLIP says of the regions of proposals."""

    embeddings: Float[Tensor, "batch proposal embed"]
    """Of unit length; zero where there is no region."""
    valid: Bool[Tensor, "batch proposal"]
    """Whether the proposal has a region: no pixel of a mask may be above the threshold."""


@torch.no_grad()
def embed_regions(
    clip: CLIP,
    images: Float[Tensor, "batch 3 height width"],
    masks: Float[Tensor, "batch proposal rows columns"],
    views: RegionViews,
) -> RegionEmbeddings:
    """Show a CLIP the region of every proposal that has one, of masks in logits.

    Regions are those of the image's own pixels. A proposal without one is shown to nobody (ours;
    ZegFormer shows its CLIP an empty image), and an image may have none at all.
    """
    embeddings = images.new_zeros(*masks.shape[:2], clip.embed_dim)
    valid = torch.zeros(masks.shape[:2], dtype=torch.bool, device=masks.device)
    for image, of_image, found, has_one in zip(images, masks, embeddings, valid, strict=True):
        regions = views.regions(of_image, (images.shape[2], images.shape[3]))
        has_one[:] = regions.flatten(1).any(dim=1)
        shown = views.cut(image, regions[has_one], clip.image_size, clip.mean[0])
        found[has_one] = clip.encode_views(shown[None])[0]
    return RegionEmbeddings(embeddings, valid)
