"""ZegCLIP: a light decoder on a frozen CLIP, whose queries are words and whose masks are attention.

Zhou et al., "ZegCLIP: Towards Adapting CLIP for Zero-shot Semantic Segmentation", CVPR 2023. Where the paper
is silent its code is followed (ZiqinZhou66/ZegCLIP, commit daf2853).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.models.deep_prompts import PromptedTower

Masks = Float[Tensor, "layer batch class rows columns"]
"""Logits of whether a patch shows a class, after every layer; the last layer's are the answer."""


class MaskLayer(nn.Module):
    """Cross-attention of class queries to patches, whose logits, the mean over heads, are masks.

    Queries do not attend to each other, so that a class's mask does not depend on what else is asked
    for. Post-norm, and no norm before the attention, as the code has it. The last layer gives masks and
    no queries: of the code's, the rest is never read.
    """

    def __init__(self, width: int, heads: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = None if last else nn.Linear(width, width)
        if not last:
            self.output, self.drop = nn.Linear(width, width), nn.Dropout(dropout)
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.feed_forward = nn.Sequential(
                nn.Linear(width, 4 * width),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4 * width, width),
                nn.Dropout(dropout),
            )

    def forward(
        self,
        queries: Float[Tensor, "batch class width"],
        patches: Float[Tensor, "batch patch width"],
    ) -> tuple[Float[Tensor, "batch class width"], Float[Tensor, "batch class patch"]]:
        """The next queries, and the masks of these."""
        asked, keys = self.query(queries), self.key(patches)
        # The mean over heads of their scaled products is the whole product, scaled by so much more.
        head_width = asked.shape[-1] // self.heads
        masks = asked @ keys.mT / (self.heads * head_width**0.5)
        if self.value is None:
            return queries, masks
        of_heads = (
            rearrange(tokens, "b t (h d) -> b h t d", h=self.heads)
            for tokens in (asked, keys, self.value(patches))
        )
        dropped = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(*of_heads, dropout_p=dropped)
        found = self.output(rearrange(found, "b h t d -> b t (h d)"))
        queries = self.norm1(queries + self.drop(found))
        return self.norm2(queries + self.feed_forward(queries)), masks


class MaskDecoder(nn.Module):
    """Queries from words and the image, and masks of them over its patches."""

    def __init__(
        self,
        embed_dim: int,
        *,
        width: int = 0,
        layers: int = 3,
        heads: int = 8,
        dropout: float = 0.1,
        descriptor: bool = True,
        initial_std: float = 0.02,
    ) -> None:
        """`width` 0 is `embed_dim`, and patches enter as they are; otherwise through a linear layer and a
        norm. `initial_std` 0 draws weights by one over the root of their layer's inputs."""
        super().__init__()
        self.descriptor, inner = descriptor, width or embed_dim
        self.query = nn.Linear((2 if descriptor else 1) * embed_dim, inner)
        self.patch = nn.Identity()
        if width:
            self.patch = nn.Sequential(nn.Linear(embed_dim, inner), nn.LayerNorm(inner))
        self.layers = nn.ModuleList(
            MaskLayer(inner, heads, dropout, last=index == layers - 1) for index in range(layers)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = initial_std or module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=std)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        classes: Float[Tensor, "class embed"],
        image: Float[Tensor, "batch embed"],
        patches: Float[Tensor, "batch embed rows columns"],
    ) -> Masks:
        """Masks of classes, all embeddings of length 1.

        The relationship descriptor of a class t in an image g is [t * g ; t]: which of the
        dimensions the two share. Without it a query is t alone.
        """
        words = classes.expand(image.shape[0], -1, -1)
        if self.descriptor:
            words = torch.cat([words * image[:, None], words], dim=-1)
        queries, tokens = self.query(words), self.patch(patches.flatten(2).mT)
        masks = []
        for layer in self.layers:
            queries, found = layer(queries, tokens)
            masks.append(found)
        return torch.stack(masks).unflatten(-1, patches.shape[2:])


class ZegCLIPModel(nn.Module):
    """The frozen tower with its prompts, and the decoder: all that a picture passes."""

    def __init__(self, tower: PromptedTower, decoder: MaskDecoder, zoom: float = 1.0) -> None:
        """`zoom`: pictures are enlarged by it before the tower, in training and at test (ours)."""
        super().__init__()
        self.tower, self.decoder, self.zoom = tower, decoder, zoom

    def checkpoint_activations(self) -> None:
        """Of the tower's blocks."""
        self.tower.checkpoint_activations()

    def enlarged(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 larger_height larger_width"]:
        """Images as the tower sees them."""
        if self.zoom == 1:
            return images
        patch = self.tower.patch_size
        sides = [max(1, round(side * self.zoom / patch)) * patch for side in images.shape[2:]]
        return F.interpolate(images, sides, mode="bicubic", antialias=True).clamp(0, 1)

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        classes: Float[Tensor, "class embed"],
    ) -> Masks:
        """Masks of classes, unit text embeddings, in images in [0, 1]."""
        seen = self.tower(self.enlarged(images))
        return self.decoder(classes, seen.image, seen.patches)
