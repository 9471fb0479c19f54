"""Weights that a trunk starts from, by timm's names."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import timm
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.timm_models import Origin, TimmModel, TimmViTTrunk
from zeroseg.models.timm_trunk import create
from zeroseg.models.trunk import Trunk
from zeroseg.models.vit import ViTTrunk


@dataclass(frozen=True, kw_only=True)
class TrunkWeights:
    """Where the trunk starts from."""

    source: str = ""
    """A timm model name such as `vit_base_patch16_224.mae`, or a file (.safetensors, .pth, .pt). Empty
    is the name of the trunk, of one that is timm's."""
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
    module, origin, grid = _target(trunk, weights)
    source = weights.source or (origin.name if origin else "")
    if not source:
        raise InputError("method.start.source is empty: name a timm model or a file")
    state = _read_state(source, origin)
    own = module.state_dict()
    if grid and "pos_embed" in own.keys() & state.keys():
        prefix = own["pos_embed"].shape[1] - grid[0] * grid[1]
        state["pos_embed"] = _resampled(state["pos_embed"], grid, prefix)
    left_out = origin.left_out if origin else frozenset()
    missing = _not_allowed(own.keys() - state.keys(), weights.allow_missing)
    unexpected = _not_allowed(state.keys() - own.keys() - left_out, weights.allow_unexpected)
    shared = own.keys() & state.keys()
    misfits = [
        f"{k} is {tuple(state[k].shape)}, needs {tuple(own[k].shape)}"
        for k in sorted(shared)
        if state[k].shape != own[k].shape
    ]
    if missing or unexpected or misfits:
        raise InputError(
            f"weights {source!r} do not fit the trunk: missing {missing}, unexpected "
            f"{unexpected}, wrong shape {misfits[:3]}; choose a trunk of that size, or name what "
            "may differ in allow_missing / allow_unexpected"
        )
    module.load_state_dict({k: state[k] for k in shared}, strict=False)


def _target(
    trunk: Trunk, weights: TrunkWeights
) -> tuple[nn.Module, Origin | None, tuple[int, int] | None]:
    """What has timm's names in a trunk, what it was made of, and the grid of its positions."""
    if isinstance(trunk, ViTTrunk):
        return trunk, None, (trunk.grid, trunk.grid)
    if isinstance(trunk, TimmModel):
        grid = trunk.model.patch_embed.grid_size if isinstance(trunk, TimmViTTrunk) else None
        return trunk.model, trunk.origin, grid
    raise InputError(
        f"method.start is {weights}: only a ViT of our own or a TimmTrunk starts from such weights"
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a file (.safetensors, .pth, .pt) by name, also of one that wraps them.

    Raises InputError when it cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return dict(state.get("model", state.get("state_dict", state)))
    except Exception as error:  # whatever the two formats make of a file that is neither
        raise InputError(f"weights {str(path)!r} cannot be read: {error}") from error


def _read_state(source: str, origin: Origin | None) -> dict[str, Tensor]:
    if Path(source).is_file():
        return read_weights(Path(source))
    try:
        with torch.random.fork_rng(devices=[]):  # timm draws the weights that it then replaces
            if origin is not None:
                return dict(create(source, origin.image_size, pretrained=True).state_dict())
            return dict(timm.create_model(source, pretrained=True, num_classes=0).state_dict())
    except Exception as error:  # unknown name, no such tag, no network: timm and the hub raise many
        raise InputError(
            f"trunk weights {source!r} are neither a file nor a timm model that can be had: {error}"
        ) from error


def _resampled(
    positions: Float[Tensor, "1 token width"], grid: tuple[int, int], prefix: int
) -> Float[Tensor, "1 _ width"]:
    """Positions of a square grid as those of another, with those of prefix tokens or without.

    As they are where they are none of a square grid.
    """
    side = int((positions.shape[1] - prefix) ** 0.5)
    if not prefix:
        positions = positions[:, positions.shape[1] - side * side :]
    if positions.shape[1] != prefix + side * side:
        return positions
    return resample_abs_pos_embed(positions, list(grid), [side, side], num_prefix_tokens=prefix)


def _not_allowed(names: Sequence[str] | set[str], patterns: tuple[str, ...]) -> list[str]:
    return sorted(n for n in names if not any(fnmatchcase(n, p) for p in patterns))
