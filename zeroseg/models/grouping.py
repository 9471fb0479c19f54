"""Grouping: learnable segment tokens that divide patches among themselves, stage by stage.

ZeroSeg (section 3.2) describes its segmentation head in GroupViT's terms: tokens run beside the
patches through transformer layers, then a grouping block assigns every patch to a segment token by
similarity. Two stages, 32 and then 8 segments; the product of their assignments says which of the 8
owns a patch.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.models.vit import Blocks

Assignment = Literal["hard", "soft"]


class Grouped(NamedTuple):
    """What one grouping block returns."""

    segments: Float[Tensor, "batch segment width"]
    assignment: Float[Tensor, "batch segment token"]
    """Sums to one over segments for every token."""


def assign(
    logits: Float[Tensor, "batch segment token"], how: Assignment
) -> Float[Tensor, "batch segment token"]:
    """Give every token to segments: softly, or to one of them by Gumbel softmax, straight through."""
    if how == "soft":
        return logits.softmax(dim=1)
    return F.gumbel_softmax(logits, tau=1.0, hard=True, dim=1)


class TokenMixer(nn.Module):
    """An MLP across tokens: makes `num_out` tokens of `num_in` (GroupViT's mixer projection)."""

    def __init__(self, num_in: int, num_out: int, width: int) -> None:
        super().__init__()
        hidden = max(num_in // 2, num_out)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(num_in, hidden), nn.GELU(), nn.Linear(hidden, num_out))

    def forward(
        self, tokens: Float[Tensor, "batch num_in width"]
    ) -> Float[Tensor, "batch num_out width"]:
        """Mix along the token axis."""
        return self.mlp(self.norm(tokens).mT).mT


class Grouping(nn.Module):
    """Grouping block after GroupViT (Xu et al., CVPR 2022, section 3.2).

    Segment tokens read the patch tokens by cross attention, every patch token is assigned to a
    segment by similarity, and each segment adds the mean of what it was given.
    """

    def __init__(self, width: int, num_heads: int, num_segments: int, cosine: bool) -> None:
        super().__init__()
        self.norm_segments, self.norm_tokens = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = TokenMixer(num_segments, num_segments, width)
        self.read = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.norm_read = nn.LayerNorm(width)
        self.read_mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.norm_query = nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        # One number in a row: FSDP2 divides parameters by their first axis, so each needs one.
        self.scale = nn.Parameter(torch.tensor([10.0])) if cosine else width**-0.5
        self.cosine = cosine

    def logits(
        self,
        segments: Float[Tensor, "batch segment width"],
        tokens: Float[Tensor, "batch token width"],
    ) -> Float[Tensor, "batch segment token"]:
        """Similarity of each segment to each token, in float32."""
        query, key = self.query(segments).float(), self.key(tokens).float()
        with torch.autocast(tokens.device.type, enabled=False):
            if self.cosine:
                query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
            return self.scale * (query @ key.mT)

    def forward(
        self,
        tokens: Float[Tensor, "batch token width"],
        segments: Float[Tensor, "batch segment width"],
        how: Assignment,
    ) -> Grouped:
        """Divide the tokens among the segments."""
        tokens = self.norm_tokens(tokens)
        segments = self.mix(self.norm_segments(segments))
        segments = self.norm_read(
            segments + self.read(segments, tokens, tokens, need_weights=False)[0]
        )
        segments = self.norm_query(segments + self.read_mlp(segments))
        assignment = assign(self.logits(segments, tokens), how)
        given = assignment / (assignment.sum(dim=-1, keepdim=True) + 1)
        segments = segments + self.out(given.to(tokens.dtype) @ self.value(tokens))
        return Grouped(segments + self.mlp(self.norm_out(segments)), assignment)


class SegmentationHead(nn.Module):
    """Five layers with grouping after the second and the fourth (paper, section 4.1)."""

    def __init__(
        self,
        *,
        width: int,
        num_heads: int,
        layers: tuple[int, int, int],
        segment_tokens: tuple[int, int],
        token_std: float,
        cosine: bool,
    ) -> None:
        super().__init__()
        first, second = segment_tokens
        self.tokens_1 = nn.Parameter(torch.randn(1, first, width) * token_std)
        self.tokens_2 = nn.Parameter(torch.randn(1, second, width) * token_std)
        self.hand_on = TokenMixer(first, second, width)
        self.layers_1, self.layers_2, self.layers_3 = (Blocks(n, width, num_heads) for n in layers)
        self.grouping_1 = Grouping(width, num_heads, first, cosine)
        self.grouping_2 = Grouping(width, num_heads, second, cosine)
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Float[Tensor, "batch patch width"], how: Assignment) -> Grouped:
        """Group patches into the last stage's segments; assignment is the product of both stages."""
        batch, count = patches.shape[:2]
        tokens = self.layers_1(torch.cat([patches, self.tokens_1.expand(batch, -1, -1)], dim=1))
        patches, segments = tokens[:, :count], tokens[:, count:]
        first = self.grouping_1(patches, segments, how)
        second_tokens = self.tokens_2 + self.hand_on(segments)
        tokens = self.layers_2(torch.cat([first.segments, second_tokens], dim=1))
        count = first.segments.shape[1]
        second = self.grouping_2(tokens[:, :count], tokens[:, count:], how)
        segments = self.norm(self.layers_3(second.segments))
        return Grouped(segments, second.assignment @ first.assignment)
