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
from torch import Tensor

from zeroseg.errors import InputError
from zeroseg.models.trunk import Trunk
from zeroseg.models.vit import ViTTrunk


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
    if not isinstance(trunk, ViTTrunk):
        raise InputError(
            f"method.start is {weights}: only a ViT of our own starts from such weights"
        )
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
