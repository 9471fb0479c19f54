"""A CLIP's own image tower as a module: a trunk that may start where the teacher is.

A patch's embedding is the tower's MaskCLIP path (`dense.py`), so that a student that starts from the
teacher's weights reads images exactly as that dense reading does, until it learns (ours; PH-Reg, NeurIPS
2025, and SPAR, CVPR 2026, distil into the same tower).
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP
from zeroseg.models.dense import (
    check_transformer,
    feature_map,
    last_block_embeddings,
    patch_size,
    patch_tokens,
    place_embeddings,
    positions,
    resampled_positions,
    token_embeddings,
)
from zeroseg.models.timm_models import TimmViTTrunk
from zeroseg.models.trunk import Part, Trunk, TrunkOutput
from zeroseg.models.vit import gather_tokens

EMBEDDING_SCALE = 8.0
"""Ours: of unit patch embeddings beside layers of unit variance in what the neck reads."""


class Tower(Trunk):
    """An open_clip image tower, under the names that it has there."""

    def __init__(self, visual: Any) -> None:
        super().__init__(OPENAI_CLIP_MEAN, OPENAI_CLIP_STD, persistent=True)
        self.visual, self.patch_size = visual, patch_size(visual)

    def start_from(self, clip: CLIP) -> None:
        """Take over a CLIP's image tower and pixel statistics.

        Raises InputError for a tower of another shape, or one in bfloat16.
        """
        if clip.dtype != torch.float32:
            raise InputError(
                "a trunk starts from a tower in float32: load the CLIP with precision fp32"
            )
        state = self._as_here(clip.model.visual.state_dict())
        try:
            self.visual.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                f"the tower of {clip.config} does not fit the trunk: set method.student.trunk.clip to it"
            ) from error
        for name in ("mean", "std"):
            getattr(self, name).copy_(getattr(clip, name))

    def _as_here(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return state


class TransformerTower(Tower):
    """A vision transformer of open_clip, its positions resampled to the student's grid."""

    def __init__(self, visual: VisionTransformer, image_size: int, registers: int) -> None:
        super().__init__(visual)
        check_transformer(visual)
        blocks: Any = visual.transformer.resblocks
        self.depth, self.width = len(blocks), visual.class_embedding.shape[0]
        self.num_heads, self.embed_dim = blocks[0].attn.num_heads, visual.output_dim
        self.feature_width = 2 * self.width + self.embed_dim
        self.grid = (image_size // self.patch_size,) * 2
        table = positions(visual, self.grid).detach().clone()
        visual.positional_embedding, visual.grid_size = nn.Parameter(table), self.grid
        self.registers = None
        if registers:
            self.registers = nn.Parameter(0.02 * torch.randn(1, registers, self.width))
        self.recompute = False

    def _as_here(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        table = state["positional_embedding"]
        side = round((len(table) - 1) ** 0.5)
        return state | {"positional_embedding": resampled_positions(table, (side, side), self.grid)}

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"] | None = None,
    ) -> TrunkOutput:
        """The tokens before the last block and after it, and their MaskCLIP embeddings."""
        tokens, grid = patch_tokens(self.visual, (images - self.mean) / self.std)
        first, patches = tokens[:, :1], tokens[:, 1:]
        if visible is not None:
            patches = gather_tokens(patches, visible)
        prefix = [first]
        if self.registers is not None:
            prefix.append(self.registers.to(first.dtype).expand(first.shape[0], -1, -1))
        tokens = torch.cat([*prefix, patches], dim=1)
        *blocks, last = self.visual.transformer.resblocks
        for block in blocks:
            tokens = self._block(block, tokens)
        embeddings = last_block_embeddings(self.visual, tokens, "maskclip", grid)
        skipped = tokens.shape[1] - patches.shape[1]
        layers = (tokens[:, skipped:], self._block(last, tokens)[:, skipped:])
        return _output(layers, embeddings[:, skipped:])

    def checkpoint_activations(self) -> None:
        """Of each block but the last, which is read inside."""
        self.recompute = True

    def _block(self, block: nn.Module, tokens: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, tokens, use_reentrant=False, preserve_rng_state=False)
        return block(tokens)

    def part(self, name: str) -> Part:
        """By open_clip's names."""
        for start, part in _TRANSFORMER_PARTS.items():
            if name.startswith(start):
                return part
        return "rest"

    def layer(self, name: str) -> int:
        """By open_clip's names."""
        if self.part(name) == "block":
            return int(name.split(".")[3]) + 1
        return self.depth + 1 if name.startswith(("visual.ln_post", "visual.proj")) else 0


_TRANSFORMER_PARTS: dict[str, Part] = {
    "visual.conv1": "patch_embedding",
    "visual.positional_embedding": "positions",
    "registers": "registers",
    "visual.transformer.resblocks": "block",
}


class AttentionPooledTower(Tower):
    """A vision transformer of timm that pools by attention, as SigLIP's do."""

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        # In a tuple, so that its weights have the names that they have in the tower, and no others.
        self._trunks = (TimmViTTrunk(visual.trunk, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),)
        trunk = self._trunks[0]
        self.depth, self.width, self.num_heads = trunk.depth, trunk.width, trunk.num_heads
        with torch.no_grad():
            self.embed_dim = token_embeddings(visual, torch.zeros(1, 1, self.width)).shape[-1]
        self.feature_width = self.width + self.embed_dim

    def checkpoint_activations(self) -> None:
        """By timm."""
        self._trunks[0].checkpoint_activations()

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"] | None = None,
    ) -> TrunkOutput:
        """The tokens after the last block, and the head's embedding of each alone."""
        tokens = self._trunks[0]((images - self.mean) / self.std, visible).tokens
        return _output((tokens,), token_embeddings(self.visual, tokens))

    def part(self, name: str) -> Part:
        """By timm's names."""
        inside = name.removeprefix("visual.trunk.")
        return "rest" if inside == name else self._trunks[0].part(f"model.{inside}")

    def layer(self, name: str) -> int:
        """By timm's groups; the head is after all of them."""
        inside = name.removeprefix("visual.trunk.")
        return self.depth + 1 if inside == name else self._trunks[0].layer(f"model.{inside}")


class ConvolutionalTower(Tower):
    """A convolutional tower: its last map, and its head at every place.

    Batch norm keeps the statistics that it came with, in training too: batches of crops are not what
    they were taken from.
    """

    can_mask = False

    def __init__(self, visual: nn.Module) -> None:
        super().__init__(visual)
        names = [name for name, _ in visual.named_parameters()]
        self._stages = list(dict.fromkeys(filter(None, map(_stage, names))))
        self.depth = len(self._stages)
        with torch.no_grad():
            features = feature_map(visual.eval(), torch.zeros(1, 3, *[2 * self.patch_size] * 2))
            self.embed_dim = place_embeddings(visual, features).shape[1]
        self.width = features.shape[1]
        self.feature_width = self.width + self.embed_dim
        if isinstance(visual, ModifiedResNet):  # of the attention pooling its values alone are used
            for name in ("q_proj", "k_proj"):
                getattr(visual.attnpool, name).requires_grad_(False)
            visual.attnpool.positional_embedding.requires_grad_(False)

    def train(self, mode: bool = True) -> "ConvolutionalTower":
        """Training mode, but for batch norm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        visible: Int[Tensor, "batch visible"] | None = None,
    ) -> TrunkOutput:
        """The places of the last map, row by row, and their embeddings."""
        features = feature_map(self.visual, (images - self.mean) / self.std)
        embeddings = place_embeddings(self.visual, features)
        tokens, embeddings = (rearrange(m, "b c h w -> b (h w) c") for m in (features, embeddings))
        return _output((tokens,), embeddings)

    def part(self, name: str) -> Part:
        """A stage is a block; what comes before all of them embeds patches."""
        if _stage(name) is not None:
            return "block"
        return "patch_embedding" if self.layer(name) == 0 else "rest"

    def layer(self, name: str) -> int:
        """By the stage."""
        stage = _stage(name)
        if stage is not None:
            return self._stages.index(stage) + 1
        last = ("head", "attnpool", "conv_head", "bn2", "norm", "final")
        inner = name.removeprefix("visual.").removeprefix("trunk.")
        return self.depth + 1 if inner.startswith(last) else 0


def _stage(name: str) -> str | None:
    """The stage of a convolutional tower that a parameter is in: `layer1`, `stages.0`, `blocks.3`."""
    inner = name.removeprefix("visual.").removeprefix("trunk.").split(".")
    if inner[0] in ("stages", "blocks") and len(inner) > 1:
        return ".".join(inner[:2])
    return inner[0] if inner[0].startswith("layer") else None


def _output(layers: tuple[Tensor, ...], embeddings: Tensor) -> TrunkOutput:
    """What the neck reads: layers of unit variance, and unit embeddings enlarged to match."""
    normed = [F.layer_norm(tokens, tokens.shape[-1:]) for tokens in layers]
    unit = F.normalize(embeddings, dim=-1)
    scaled = EMBEDDING_SCALE * unit.to(normed[0].dtype)
    return TrunkOutput(torch.cat([*normed, scaled], dim=-1), embeddings)
