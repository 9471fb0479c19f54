"""A frozen CLIP image tower with prompts: learnt tokens beside the patches, new ones in every block.

Deep visual prompt tuning (VPT-deep: Jia et al., ECCV 2022) as ZegCLIP has it (Zhou et al.,
CVPR 2023): nothing of the tower learns, so that what it knows of unseen classes stays.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP
from zeroseg.models.dense import (
    check_transformer,
    dense_features,
    last_block_embeddings,
    patch_size,
    patch_tokens,
    pools_by_attention,
)
from zeroseg.models.timm_models import make_dynamic

Patches = Literal["raw", "maskclip"]
"""How the last block makes embeddings of patches: as CLIP's own does, which prompts bring into the space
of words (ZegCLIP), or by its value path alone, which is there without them (MaskCLIP; ours)."""


class ImageEmbeddings(NamedTuple):
    """An image and its patches in CLIP's space, all of length 1."""

    image: Float[Tensor, "batch embed"]
    """The class token's; the pooled embedding of a tower that has none."""
    patches: Float[Tensor, "batch embed rows columns"]


class DeepPrompts(nn.Module):
    """Prompts of all blocks: tokens through one linear layer that they share, as ZegCLIP's code has them.

    `norm` follows the last block, before CLIP's own (its code; the paper is silent).
    """

    def __init__(self, depth: int, count: int, width: int, patch_size: int, dropout: float) -> None:
        """`patch_size` is in pixels: VPT draws tokens as Xavier would a layer from a patch to `width`."""
        super().__init__()
        bound = math.sqrt(6 / (3 * patch_size**2 + width))
        self.prompt_tokens = nn.Parameter(torch.empty(depth, count, width))
        nn.init.uniform_(self.prompt_tokens, -bound, bound)
        self.projection = nn.Linear(width, width)
        nn.init.kaiming_normal_(self.projection.weight, mode="fan_out")
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self) -> Float[Tensor, "block prompt width"]:
        """What is set beside the patches before each block."""
        # A view: torch's counter of operations cannot have a leaf as what enters a module.
        return self.dropout(self.projection(self.prompt_tokens.view_as(self.prompt_tokens)))


class PromptedTower(nn.Module):
    """A frozen image tower of open_clip and its prompts, for images of any size.

    Raises InputError for prompts in a tower that is no vision transformer, and where no embeddings of
    patches are known.
    """

    mean: Float[Tensor, "1 3 1 1"]
    std: Float[Tensor, "1 3 1 1"]

    def __init__(
        self, visual: nn.Module, prompts: int, patches: Patches = "raw", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.visual: Any = visual.requires_grad_(False).eval()
        self.path, self.patch_size, self.recompute = patches, patch_size(visual), False
        self.prompts = None
        if isinstance(visual, VisionTransformer):
            check_transformer(visual)
            if visual.pool_type != "tok":
                raise InputError(
                    f"a CLIP that pools its image tower by {visual.pool_type!r} has no embedding of an "
                    "image beside those of its patches: name one with a class token"
                )
            if prompts:
                depth, width = len(visual.transformer.resblocks), visual.class_embedding.shape[0]
                self.prompts = DeepPrompts(depth, prompts, width, self.patch_size, dropout)
        elif prompts:
            raise InputError(
                f"method.prompts is {prompts}, and the CLIP's image tower is no vision transformer of "
                "open_clip: set it to 0"
            )
        for name, values in (("mean", OPENAI_CLIP_MEAN), ("std", OPENAI_CLIP_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))
        with torch.no_grad():
            one_patch = torch.zeros(1, 3, self.patch_size, self.patch_size)
            self.embed_dim: int = dense_features(visual, one_patch, "maskclip").shape[1]

    def start_from(self, clip: CLIP) -> None:
        """Take over a CLIP's image tower and pixel statistics.

        Raises InputError for a tower of another shape, or one in bfloat16.
        """
        if clip.dtype != torch.float32:
            raise InputError("prompts are learnt in a tower in float32: load the CLIP with fp32")
        try:
            self.visual.load_state_dict(clip.model.visual.state_dict())
        except RuntimeError as error:
            raise InputError(f"the tower of {clip.config} does not fit method.clip") from error
        for name in ("mean", "std"):
            getattr(self, name).copy_(getattr(clip, name))

    def train(self, mode: bool = True) -> "PromptedTower":
        """Training mode, but for the tower."""
        super().train(mode)
        self.visual.eval()
        return self

    def checkpoint_activations(self) -> None:
        """From now on blocks compute their activations again in the backward pass."""
        self.recompute = True

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> ImageEmbeddings:
        """Embeddings of images in [0, 1], whose sides are multiples of `patch_size`."""
        pixels = (images - self.mean) / self.std
        if isinstance(self.visual, VisionTransformer):
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.prompts is not None):
                image, patches = self._transformer(pixels)
        else:
            with torch.no_grad():
                patches = dense_features(self.visual, pixels, "maskclip")
                image = self._pooled(pixels, patches)
        return ImageEmbeddings(F.normalize(image, dim=-1), F.normalize(patches, dim=1))

    def _transformer(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tokens, grid = patch_tokens(self.visual, pixels)
        prompts = None if self.prompts is None else self.prompts()
        skipped = 1 if prompts is None else 1 + prompts.shape[1]
        tokens, patches = tokens[:, :1], tokens[:, 1:]
        entering = tokens
        for index, block in enumerate(self.visual.transformer.resblocks):
            parts = [tokens[:, :1], patches]
            if prompts is not None:
                parts.insert(1, prompts[index].to(tokens.dtype).expand(tokens.shape[0], -1, -1))
            entering = torch.cat(parts, dim=1)
            tokens = self._block(block, entering)
            patches = tokens[:, skipped:]
        left = tokens if self.prompts is None else self.prompts.norm(tokens)
        embeddings = self.visual.ln_post(left) @ self.visual.proj
        image, patches = embeddings[:, 0], embeddings[:, skipped:]
        if self.path == "maskclip":
            patches = last_block_embeddings(self.visual, entering[:, skipped:], "maskclip", grid)
        return image, rearrange(patches, "b (h w) e -> b e h w", h=grid[0])

    def _block(self, block: nn.Module, tokens: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
        return block(tokens)

    def _pooled(self, pixels: Tensor, patches: Tensor) -> Tensor:
        """A tower's own pooling; of a ModifiedResNet, whose positions hold for one size, the mean over
        places (ours)."""
        if isinstance(self.visual, ModifiedResNet):
            return F.normalize(patches, dim=1).mean(dim=(2, 3))
        if pools_by_attention(self.visual):
            make_dynamic(self.visual.trunk)
        return self.visual(pixels)
