"""The student's trunk: timm's ViT blocks, with random masking and positions for any image size.

Parameters carry timm's names, so that MAE, DINO and DeiT weights load as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import timm
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from timm.layers import LayerNorm, PatchEmbed, resample_abs_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeroseg.errors import InputError

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


@dataclass(frozen=True, kw_only=True)
class TrunkWeights:
    """Where the trunk starts from."""

    source: str
    """A timm model name such as `vit_base_patch16_224.mae`, or a file (.safetensors, .pth, .pt)."""
    allow_missing: tuple[str, ...] = ()
    """Trunk parameters that may be absent from the source (shell patterns)."""
    allow_unexpected: tuple[str, ...] = (
        "cls_token",
        "dist_token",
        "head.*",
        "head_dist.*",
        "fc_norm.*",
    )
    """Source parameters that the trunk does not have and that may be dropped (shell patterns)."""


def load_trunk(trunk: Trunk, weights: TrunkWeights) -> None:
    """Copy timm weights into the trunk by name; positions are resampled to its grid.

    Raises InputError naming every missing, unexpected or misshapen parameter that is not allowed.
    """
    state = _read_state(weights.source)
    own = trunk.state_dict()
    if "pos_embed" in state:
        state["pos_embed"] = _patch_positions(state["pos_embed"], trunk.grid)
    missing = _not_allowed(own.keys() - state.keys(), weights.allow_missing)
    unexpected = _not_allowed(state.keys() - own.keys(), weights.allow_unexpected)
    shared = own.keys() & state.keys()
    misfits = [
        f"{k} is {tuple(state[k].shape)}, needs {tuple(own[k].shape)}"
        for k in sorted(shared)
        if state[k].shape != own[k].shape
    ]
    if missing or unexpected or misfits:
        raise InputError(
            f"weights {weights.source!r} do not fit the trunk: missing {missing}, unexpected "
            f"{unexpected}, wrong shape {misfits[:3]}; choose a trunk of that size, or name what "
            "may differ in allow_missing / allow_unexpected"
        )
    trunk.load_state_dict({k: state[k] for k in shared}, strict=False)


def _read_state(source: str) -> dict[str, Tensor]:
    path = Path(source)
    if path.is_file():
        try:
            if path.suffix == ".safetensors":
                return load_file(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            return dict(state.get("model", state.get("state_dict", state)))
        except Exception as error:  # whatever the two formats make of a file that is neither
            raise InputError(f"trunk weights {source!r} cannot be read: {error}") from error
    try:
        return dict(timm.create_model(source, pretrained=True, num_classes=0).state_dict())
    except Exception as error:  # unknown name, no such tag, no network: timm and the hub raise many
        raise InputError(
            f"trunk weights {source!r} are neither a file nor a timm model that can be had: {error}"
        ) from error


def _patch_positions(
    positions: Float[Tensor, "1 token width"], grid: int
) -> Float[Tensor, "1 patch width"]:
    side = int(positions.shape[1] ** 0.5)
    patches = positions[:, positions.shape[1] - side * side :]
    return resample_abs_pos_embed(patches, [grid, grid], [side, side], num_prefix_tokens=0)


def _not_allowed(names: Sequence[str] | set[str], patterns: tuple[str, ...]) -> list[str]:
    return sorted(n for n in names if not any(fnmatchcase(n, p) for p in patterns))
