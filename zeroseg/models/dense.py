"""Dense features of a frozen CLIP without training: an embedding of every patch, not of the image.

All methods change how the last block of a vision transformer mixes its tokens, then apply the last
norm and the projection to every patch token. The class token takes part as in CLIP and is dropped
at the end. Beside `clip.py` the only file that knows open_clip.

Equations were checked against the authors' public code (SCLIP, NACLIP, ClearCLIP, and MaskCLIP's in
forks). None of them met layer scale or norms inside attention; we keep what the block itself applies
to its attention (ours).
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import Attention, VisionTransformer
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.timm_models import make_dynamic

Dense = Literal["raw", "maskclip", "sclip", "naclip", "clearclip"]
"""`raw` is CLIP's own last block. The others replace its attention by the function of their name and,
but for `sclip`, leave out the residual and the feed-forward. Convolutional towers have `maskclip`
only: their head applied at every place of their last map."""

GAUSSIAN_STD = 5.0
"""In patches; the default of NACLIP's code."""

Heads = Float[Tensor, "batch head token dim"]


def maskclip(query: Heads, key: Heads, value: Heads, grid: tuple[int, int]) -> Heads:
    """Every token attends to itself alone (MaskCLIP: Zhou et al., "Extract Free Dense Labels from
    CLIP", ECCV 2022, section 3: value embedding and last linear layer as 1x1 convolutions).

    For a ViT the authors' code keeps the residual and the feed-forward on top. Like ClearCLIP's code,
    which compares with it, we take the value path alone.
    """
    return value


def sclip(query: Heads, key: Heads, value: Heads, grid: tuple[int, int]) -> Heads:
    """Correlative self-attention (Wang et al., "SCLIP", ECCV 2024, section 3): softmax(q q' s) plus
    softmax(k k' s), in a block that is else CLIP's own.

    That the sum is not halved and s is one over the root of a head's width is the authors' code.
    """
    attention = F.scaled_dot_product_attention
    return attention(query, query, value) + attention(key, key, value)


def naclip(
    query: Heads, key: Heads, value: Heads, grid: tuple[int, int], std: float = GAUSSIAN_STD
) -> Heads:
    """Neighbour attention (NACLIP: Hajimiri et al., "Pay Attention to Your Neighbours", WACV 2025,
    section 3): softmax(k k' s + a Gaussian of the patches' distance), their "reduced" architecture.

    That the Gaussian peaks at 1 and is 0 from and to the class token is the authors' code.
    """
    nearness = neighbourhood(grid, std).to(key)
    return F.scaled_dot_product_attention(key, key, value, attn_mask=nearness)


def clearclip(query: Heads, key: Heads, value: Heads, grid: tuple[int, int]) -> Heads:
    """Query-query attention, softmax(q q' s), in a last block without residual and feed-forward (Lan
    et al., "ClearCLIP", ECCV 2024, section 3)."""
    return F.scaled_dot_product_attention(query, query, value)


ATTENTION = {"maskclip": maskclip, "sclip": sclip, "naclip": naclip, "clearclip": clearclip}


def neighbourhood(grid: tuple[int, int], std: float) -> Float[Tensor, "token token"]:
    """exp(-d^2 / (2 std^2)) of the distance d between patches, row by row; 0 for the class token."""
    near = []
    for side in grid:
        place = torch.arange(side, dtype=torch.float32)
        near.append(torch.exp(-((place[:, None] - place) ** 2) / (2 * std**2)))
    down, across = near
    both = rearrange(down, "r s -> r 1 s 1") * rearrange(across, "c d -> 1 c 1 d")
    return F.pad(both.flatten(2).flatten(0, 1), (1, 0, 1, 0))


def patch_size(tower: nn.Module) -> int:
    """Pixels a side of what one dense embedding stands for; a convolutional tower's total stride.

    Raises InputError for towers that do not say.
    """
    if isinstance(tower, VisionTransformer):
        side, _ = tower.patch_size
        return side
    if isinstance(tower, ModifiedResNet):
        return 32
    stages = getattr(getattr(tower, "trunk", None), "feature_info", None)
    if not stages:
        raise InputError(f"no dense features are known for an image tower like {_kind(tower)}")
    return stages[-1]["reduction"]


def dense_features(
    tower: nn.Module, pixels: Float[Tensor, "batch 3 height width"], method: Dense
) -> Float[Tensor, "batch embed rows columns"]:
    """Embeddings of patches in CLIP's space, of any length, from normalised pixels.

    Raises InputError for sides that are no multiples of the tower's patch, for towers without dense
    features, and for a method that a convolutional tower does not have.
    """
    patch = patch_size(tower)
    height, width = pixels.shape[2:]
    if height % patch or width % patch:
        raise InputError(f"image of {height} x {width} pixels: sides must be multiples of {patch}")
    if isinstance(tower, VisionTransformer):
        return _transformer_map(tower, pixels, method)
    if method != "maskclip":
        raise InputError(
            f"dense features {method!r} need a plain vision transformer; {_kind(tower)} has 'maskclip'"
        )
    if pools_by_attention(tower):
        trunk: Any = tower.trunk
        make_dynamic(trunk)
        tokens = trunk.forward_features(pixels)[:, trunk.num_prefix_tokens :]
        embeddings = token_embeddings(tower, tokens)
        return rearrange(embeddings, "b (h w) e -> b e h w", h=height // patch)
    return place_embeddings(tower, feature_map(tower, pixels))


def _transformer_map(
    tower: Any, pixels: Tensor, method: Dense
) -> Float[Tensor, "batch embed rows columns"]:
    *blocks, _ = tower.transformer.resblocks
    check_transformer(tower)
    tokens, grid = patch_tokens(tower, pixels)
    for block in blocks:
        tokens = block(tokens)
    embeddings = last_block_embeddings(tower, tokens, method, grid)[:, 1:]
    return rearrange(embeddings, "b (h w) e -> b e h w", h=grid[0])


def check_transformer(tower: Any) -> None:
    """Raises InputError for an open_clip vision transformer whose last block is not CLIP's."""
    last = tower.transformer.resblocks[-1]
    if tower.attn_pool is not None or getattr(last.attn, "logit_scale", None) is not None:
        raise InputError(
            "no dense features are known for a vision transformer with attentional pooling or cosine "
            "attention"
        )


def patch_tokens(
    tower: Any, pixels: Float[Tensor, "batch 3 height width"]
) -> tuple[Float[Tensor, "batch token feature"], tuple[int, int]]:
    """What enters the blocks of a vision transformer, the class token first, and the patches' grid."""
    patches = tower.conv1(pixels)
    grid = (patches.shape[2], patches.shape[3])
    first = tower.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
    tokens = torch.cat([first, patches.flatten(2).mT], dim=1)
    return tower.ln_pre(tokens + positions(tower, grid).to(tokens.dtype)), grid


def last_block_embeddings(
    tower: Any,
    tokens: Float[Tensor, "batch token width"],
    method: Dense,
    grid: tuple[int, int],
) -> Float[Tensor, "batch token embed"]:
    """Embeddings of every token that enters the last block of a vision transformer."""
    last = tower.transformer.resblocks[-1]
    return tower.ln_post(_last_block(last, tokens, method, grid)) @ tower.proj


def positions(tower: Any, grid: tuple[int, int]) -> Float[Tensor, "token width"]:
    """Position embeddings of a vision transformer for a grid of any size, that of the class token first."""
    return resampled_positions(tower.positional_embedding, tower.grid_size, grid)


def resampled_positions(
    table: Float[Tensor, "token width"], native: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "other_token width"]:
    """Position embeddings of another grid: bicubic, antialiased, as open_clip and timm load weights.

    The authors' codes interpolate without antialiasing, by a factor that is slightly off (DINO's).
    """
    if grid == tuple(native):
        return table
    patches = rearrange(table[1:].float(), "(h w) d -> 1 d h w", h=native[0])
    resized = F.interpolate(patches, grid, mode="bicubic", antialias=True)
    return torch.cat([table[:1], rearrange(resized, "1 d h w -> (h w) d").to(table.dtype)])


def _last_block(
    block: Any, tokens: Float[Tensor, "batch token width"], method: Dense, grid: tuple[int, int]
) -> Float[Tensor, "batch token width"]:
    if method == "raw":
        return block(tokens)
    attention, extended = block.attn, isinstance(block.attn, Attention)
    joined = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = rearrange(joined, "b t (n h d) -> n b h t d", n=3, h=attention.num_heads)
    if extended:
        query, key = attention.ln_q(query), attention.ln_k(key)
    mixed = ATTENTION[method](query, key, value, grid)
    if extended and attention.head_scale is not None:
        mixed = mixed * attention.head_scale
    mixed = rearrange(mixed, "b h t d -> b t (h d)")
    mixed = attention.out_proj(attention.ln_inner(mixed) if extended else mixed)
    mixed = block.ls_1(block.ln_attn(mixed) if extended else mixed)
    if method != "sclip":
        return mixed
    tokens = tokens + mixed
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))


def pools_by_attention(tower: nn.Module) -> bool:
    """Whether a tower is a vision transformer of timm whose head is attention over its patches, as
    SigLIP's is."""
    trunk = getattr(tower, "trunk", None)
    return isinstance(trunk, TimmVisionTransformer) and trunk.attn_pool is not None


def token_embeddings(
    tower: Any, tokens: Float[Tensor, "batch token feature"]
) -> Float[Tensor, "batch token embed"]:
    """The head of a tower that pools by attention, over every token alone: its values, as in MaskCLIP
    (ours for these towers)."""
    alone = tokens.flatten(0, 1)[:, None]
    return tower.head(tower.trunk.forward_head(alone)).unflatten(0, tokens.shape[:2])


def feature_map(
    tower: Any, pixels: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch feature rows columns"]:
    """The last map of a convolutional tower."""
    if isinstance(tower, ModifiedResNet):
        stages = tower.forward_intermediates(pixels, indices=1, intermediates_only=True)
        return stages["image_intermediates"][0]
    features = tower.trunk.forward_features(pixels)
    if features.ndim != 4 or getattr(tower.trunk, "output_fmt", "NCHW") != "NCHW":
        raise InputError(
            f"dense features of timm's towers need a convolutional one, not {_kind(tower)}"
        )
    return features


def place_embeddings(
    tower: Any, features: Float[Tensor, "batch feature rows columns"]
) -> Float[Tensor, "batch embed rows columns"]:
    """A convolutional tower's head at every place of its last map alone."""
    if isinstance(tower, ModifiedResNet):
        places = features.permute(0, 2, 3, 1)
        return tower.attnpool.c_proj(tower.attnpool.v_proj(places)).permute(0, 3, 1, 2)
    batch, _, rows, _ = features.shape
    places = rearrange(features, "b c h w -> (b h w) c 1 1")
    embeddings = tower.head(tower.trunk.forward_head(places))
    return rearrange(embeddings, "(b h w) e -> b e h w", b=batch, h=rows)


def _kind(tower: nn.Module) -> str:
    """What a message calls a tower: timm's by its trunk."""
    return type(tower.trunk if isinstance(tower, TimmModel) else tower).__name__
