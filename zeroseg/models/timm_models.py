"""Models of timm as trunks: plain vision transformers, and all else as a map of features.

Tokens are those of timm's own `forward_features`, to the last bit. Parameters keep timm's names below
`model.`, and timm's own groups of them say which layer is which.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from timm.layers import Format
from timm.models._manipulate import group_with_matcher
from timm.models.eva import Eva
from timm.models.hiera import Hiera
from timm.models.hieradet_sam2 import HieraDet
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zeroseg.errors import InputError
from zeroseg.models.trunk import Part, Statistics, Trunk, TrunkOutput
from zeroseg.models.vit import gather_tokens

Images = Float[Tensor, "batch 3 height width"]
Visible = Int[Tensor, "batch visible"] | None
Kept = Float[Tensor, "batch kept width"]

PARTS: Mapping[str, Part] = {
    "patch_embed": "patch_embedding",
    "pos_embed": "positions",
    "rope": "positions",
    "reg_token": "registers",
    "blocks": "block",
}
"""By how timm's names of parameters begin, where all families agree."""


class Origin(NamedTuple):
    """What a trunk was made of."""

    name: str
    image_size: int
    left_out: frozenset[str]
    """timm's names of the weights that a trunk has no use for: of heads, and of deeper maps."""


class TimmModel(Trunk):
    """A model of timm as a trunk. Its batch norms stay in eval mode.

    What timm has no groups of layers for is one block.
    """

    origin: Origin | None = None
    """Of one that was made by name."""

    def __init__(self, model: Any, mean: Statistics, std: Statistics) -> None:
        super().__init__(mean, std)
        self.model = model
        names = [name for name, _ in model.named_parameters()]
        self.depth, self.groups = 1, dict.fromkeys(names, 1)
        if hasattr(model, "group_matcher"):
            # timm puts what none of its patterns matches, as it does this name, after all layers.
            pairs = iter((name, None) for name in [*names, "?"])
            groups: Any = group_with_matcher(pairs, model.group_matcher(), reverse=True)
            self.depth, self.groups = groups.pop("?") - 1, groups

    def train(self, mode: bool = True) -> "TimmModel":
        """Training mode for all but batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def checkpoint_activations(self) -> None:
        """By timm. Raises InputError for a model that it cannot do so."""
        try:
            self.model.set_grad_checkpointing(True)
        except (AssertionError, AttributeError) as error:
            kind = type(self.model).__name__
            raise InputError(
                f"activation_checkpointing: timm's {kind} cannot, leave it off"
            ) from error

    def part(self, name: str) -> Part:
        """By timm's names, then by its groups."""
        inside = name.removeprefix("model.")
        if part := PARTS.get(inside.partition(".")[0]):
            return part
        if self.can_mask or self.groups[inside] > self.depth:
            return "rest"
        return "block" if self.groups[inside] else "patch_embedding"

    def layer(self, name: str) -> int:
        """By timm's groups, which put the last norm beside the last block."""
        if self.part(name) == "positions":
            return 0
        return self.groups[name.removeprefix("model.")]


class TimmViTTrunk(TimmModel):
    """A plain vision transformer (timm's `VisionTransformer` or `Eva`), for images of any size.

    Positions, absolute or rotary, are those of the grid, and hidden patches are dropped after they
    learnt their places. Class, distillation and register tokens take part and are not given out. `model`
    is made dynamic in its image size where it is not yet.
    """

    def __init__(self, model: Any, mean: Statistics, std: Statistics) -> None:
        super().__init__(model, mean, std)
        self.width = self.feature_width = model.embed_dim
        self.patch_size = model.patch_embed.feat_ratio()
        first = model.blocks[0]
        self.num_heads = getattr(getattr(first, "attn", first), "num_heads", None)
        if not model.dynamic_img_size:
            make_dynamic(model)
        self.kept = KeptPatches(model.num_prefix_tokens, rotary=isinstance(model, Eva))
        model.patch_drop = self.kept

    def forward(self, images: Images, visible: Visible = None) -> TrunkOutput:
        """Encode the patches named by `visible`, or all of them, of images in [0, 1]."""
        self.kept.visible = visible
        tokens = self.model.forward_features((images - self.mean) / self.std)
        self.kept.visible = None
        return TrunkOutput(tokens[:, self.model.num_prefix_tokens :])


class KeptPatches(nn.Module):
    """What stands where timm drops patches at random: it keeps those that it is told to."""

    visible: Visible = None
    """All of them if None."""

    def __init__(self, prefix: int, *, rotary: bool) -> None:
        """`rotary`: timm asks for the indices too, for its rotary embeddings."""
        super().__init__()
        self.prefix, self.rotary = prefix, rotary

    def forward(self, tokens: Float[Tensor, "batch token width"]) -> Kept | tuple[Kept, Visible]:
        """The prefix tokens, then the visible patches."""
        if self.visible is not None:
            patches = gather_tokens(tokens[:, self.prefix :], self.visible)
            tokens = torch.cat([tokens[:, : self.prefix], patches], dim=1)
        return (tokens, self.visible) if self.rotary else tokens


def make_dynamic(model: Any) -> None:
    """What `dynamic_img_size=True` makes of a plain vision transformer."""
    model.dynamic_img_size = True
    model.patch_embed.strict_img_size = model.patch_embed.flatten = False
    model.patch_embed.output_fmt = Format.NHWC
    if hasattr(getattr(model, "rope", None), "_use_cached_embed"):
        model.rope._use_cached_embed = False


class TimmMapTrunk(TimmModel):
    """A map of features of any model of timm, row by row: its deepest of at most `stride` pixels.

    timm's last norm is applied where the last map is taken. What lies deeper, and the head, are removed
    from `model`. Raises InputError for a model that has no such map.
    """

    can_mask = False

    def __init__(self, model: Any, mean: Statistics, std: Statistics, *, stride: int = 0) -> None:
        kind = type(model).__name__
        maps = list(getattr(model, "feature_info", None) or [])
        if not maps or not hasattr(model, "forward_intermediates"):
            raise InputError(f"timm's {kind} has no map of features: name another model")
        strides = [level["reduction"] for level in maps]
        fit = [i for i, reduction in enumerate(strides) if not stride or reduction <= stride]
        if not fit:
            raise InputError(
                f"trunk.stride is {stride}: timm's {kind} has {sorted(set(strides))}, choose one of them"
            )
        self.level = fit[-1]
        model.prune_intermediate_layers(
            [self.level], prune_norm=self.level < len(maps) - 1, prune_head=True
        )
        super().__init__(model, mean, std)
        self.norm = not isinstance(model, Hiera | HieraDet)  # which have none before their heads
        self.patch_size = strides[self.level]
        self.width = self.feature_width = maps[self.level]["num_chs"]

    def forward(self, images: Images, visible: Visible = None) -> TrunkOutput:
        """Encode images in [0, 1]; all patches are visible.

        Raises InputError for a size that the model was not made for.
        """
        assert visible is None
        height, width = images.shape[2:]
        try:
            [features] = self.model.forward_intermediates(
                (images - self.mean) / self.std,
                indices=[self.level],
                norm=self.norm,
                intermediates_only=True,
            )
            rows, columns = features.shape[2:]
            assert (rows, columns) == (height // self.patch_size, width // self.patch_size), (
                f"its map is {rows} x {columns}"
            )
        except AssertionError as error:
            raise InputError(
                f"timm's {type(self.model).__name__} does not take images of {height} x {width} "
                f"pixels: {error}"
            ) from error
        return TrunkOutput(rearrange(features, "b c h w -> b (h w) c"))
