"""The student's trunk: timm's ViT blocks, with random masking and positions for any image size.

Parameters carry timm's names, so that MAE, DINO and DeiT weights load as they are.
"""

import torch
from jaxtyping import Float, Int
from timm.layers import LayerNorm, PatchEmbed, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Tokens = Float[Tensor, "batch token width"]


def sin_cos_positions(width: int, rows: int, columns: int) -> Float[Tensor, "1 patch width"]:
    """Two-dimensional sine-cosine position embeddings, as MAE initialises them."""
    frequency = 10_000 ** (-torch.arange(width // 4) / (width / 4))
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in (x, y)]
    return torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], dim=1)[None]


class Blocks(nn.Sequential):
    """A stack of timm's pre-norm transformer blocks."""

    recompute = False
    """Keep only the input of each block and compute the rest again in the backward pass (Chen et
    al., 2016, arXiv 1604.06174)."""

    def __init__(self, depth: int, width: int, num_heads: int) -> None:
        super().__init__(
            *(Block(width, num_heads, qkv_bias=True, norm_layer=LayerNorm) for _ in range(depth))
        )

    def forward(self, input: Tokens) -> Tokens:
        """One block after the other."""
        if not (self.recompute and torch.is_grad_enabled()):
            return super().forward(input)
        tokens = input
        for block in self:
            # A block draws nothing at random, so there is no random state to keep for it.
            tokens = checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
        return tokens


def random_patches(
    batch: int, patches: int, mask_ratio: float, device: torch.device
) -> Int[Tensor, "batch visible"]:
    """Indices of the patches that stay visible, drawn anew for each image, in rising order."""
    visible = max(1, round(patches * (1 - mask_ratio)))
    return torch.rand(batch, patches, device=device).argsort(dim=1)[:, :visible].sort(dim=1).values


def gather_tokens(
    tokens: Float[Tensor, "batch token width"], indices: Int[Tensor, "batch chosen"]
) -> Float[Tensor, "batch chosen width"]:
    """Pick tokens by index, each image its own."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))


class Trunk(nn.Module):
    """Patch embedding, absolute positions, blocks, norm. No class token: segment tokens come later."""

    def __init__(
        self, *, image_size: int, patch_size: int, width: int, depth: int, num_heads: int
    ) -> None:
        super().__init__()
        self.patch_size, self.grid = patch_size, image_size // patch_size
        self.patch_embed = PatchEmbed(
            image_size, patch_size, embed_dim=width, strict_img_size=False
        )
        self.pos_embed = nn.Parameter(sin_cos_positions(width, self.grid, self.grid))
        self.blocks = Blocks(depth, width, num_heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def positions(self, rows: int, columns: int) -> Float[Tensor, "1 patch width"]:
        """Position embeddings for a grid of any size."""
        return resample_abs_pos_embed(
            self.pos_embed, [rows, columns], [self.grid, self.grid], num_prefix_tokens=0
        )

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"] | None = None,
    ) -> Float[Tensor, "batch token feature"]:
        """Encode the patches named by `visible`, or all of them."""
        rows, columns = (side // self.patch_size for side in images.shape[2:])
        tokens = self.patch_embed(images) + self.positions(rows, columns)
        if visible is not None:
            tokens = gather_tokens(tokens, visible)
        return self.norm(self.blocks(tokens))
