"""Our own trunk: timm's ViT blocks, with random masking and positions for any image size.

Parameters carry timm's names, so that MAE, DINO and DeiT weights load as they are.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import LayerNorm, PatchEmbed, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeroseg.models.trunk import Part, Trunk, TrunkOutput

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


@dataclass(frozen=True, kw_only=True)
class ViT:
    """Our own trunk: a plain ViT without class token, from scratch or from weights by timm's names.

    The defaults are ViT-Base.
    """

    patch_size: int = 16
    """Not stated in the paper; that of ViT-B in MAE."""
    width: int = 768
    depth: int = 12
    num_heads: int = 12

    def build(self, image_size: int) -> "ViTTrunk":
        """A new one."""
        return ViTTrunk(self, image_size)


class ViTTrunk(Trunk):
    """Patch embedding, absolute positions, blocks, norm. No class token: segment tokens come later."""

    def __init__(self, config: ViT, image_size: int) -> None:
        super().__init__(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.width = self.feature_width = width = config.width
        self.depth, self.num_heads = config.depth, config.num_heads
        self.patch_size, self.grid = config.patch_size, image_size // config.patch_size
        self.patch_embed = PatchEmbed(
            image_size, config.patch_size, embed_dim=width, strict_img_size=False
        )
        self.pos_embed = nn.Parameter(sin_cos_positions(width, self.grid, self.grid))
        self.blocks = Blocks(config.depth, width, config.num_heads)
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
    ) -> TrunkOutput:
        """Encode the patches named by `visible`, or all of them, of images in [0, 1]."""
        rows, columns = (side // self.patch_size for side in images.shape[2:])
        tokens = self.patch_embed((images - self.mean) / self.std) + self.positions(rows, columns)
        if visible is not None:
            tokens = gather_tokens(tokens, visible)
        return TrunkOutput(self.norm(self.blocks(tokens)))

    def part(self, name: str) -> Part:
        """By timm's names."""
        parts: dict[str, Part] = {
            "patch_embed": "patch_embedding",
            "pos_embed": "positions",
            "blocks": "block",
        }
        return parts.get(name.partition(".")[0], "rest")

    def layer(self, name: str) -> int:
        """By timm's names."""
        match self.part(name):
            case "block":
                return int(name.split(".")[1]) + 1
            case "rest":
                return self.depth + 1
            case _:
                return 0
