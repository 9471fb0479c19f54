"""Backbones of supervised methods: the maps of features of a model of timm, one a stride."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from jaxtyping import Float
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import GroupNorm
from timm.models import is_model_pretrained
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zeroseg.errors import InputError
from zeroseg.models.clip_loading import run_register
from zeroseg.models.timm_trunk import check_name
from zeroseg.models.trunk import Statistics
from zeroseg.models.trunk_weights import read_weights

GROUPS = 8
"""Of each group norm."""
STRIDES = (4, 8, 16, 32)


class FeatureMaps(nn.Module):
    """The last map of each stride of a model of timm, for images of any size.

    Nothing is padded here: a map of stride s has ceil(side / s) cells a side, and those of the last row
    and column lie partly outside where s does not divide the side. Batch norms stay in eval mode with
    their affine parameters frozen, as DETR's (Carion et al., ECCV 2020).
    """

    mean: Float[Tensor, "1 3 1 1"]
    std: Float[Tensor, "1 3 1 1"]

    def __init__(self, model: Any, strides: tuple[int, ...], mean: Statistics, std: Statistics):
        """Takes timm's model, whose head is removed. Raises InputError where it lacks a stride."""
        super().__init__()
        known = list(getattr(model, "feature_info", None) or [])
        levels = {level["reduction"]: i for i, level in enumerate(known)}
        if missing := [s for s in strides if s not in levels]:
            kind = type(model).__name__
            raise InputError(
                f"timm's {kind} has maps of strides {sorted(levels) or 'none'}, but not of "
                f"{', '.join(map(str, missing))}: name another in backbone.name"
            )
        self.levels = [levels[s] for s in strides]
        self.strides = strides
        self.channels: tuple[int, ...] = tuple(known[i]["num_chs"] for i in self.levels)
        model.prune_intermediate_layers(self.levels, prune_norm=True, prune_head=True)
        self.model = model
        for name, values in (("mean", mean), ("std", std)):
            buffer = torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, buffer, persistent=False)
        for norm in self._batch_norms():
            norm.requires_grad_(False)

    def _batch_norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, _BatchNorm)]

    def train(self, mode: bool = True) -> "FeatureMaps":
        """Training mode for all but batch norms."""
        super().train(mode)
        for norm in self._batch_norms():
            norm.eval()
        return self

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """Maps of images in [0, 1], the finest first.

        Raises InputError for a size that the model was not made for.
        """
        try:
            return self.model.forward_intermediates(
                (images - self.mean) / self.std,
                indices=self.levels,
                norm=False,
                intermediates_only=True,
            )
        except AssertionError as error:
            height, width = images.shape[2:]
            raise InputError(
                f"timm's {type(self.model).__name__} does not take images of {height} x {width} "
                f"pixels: {error}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A model of timm as a pyramid of maps: which, and the weights it starts from."""

    name: str = "resnet50"
    """As in `timm.list_models()`, with or without a tag."""
    weights: str = "timm"
    """`timm` takes timm's own of that name, through the hub; a file (.safetensors, .pth, .pt) its own;
    empty starts from random ones."""
    prefix: str = ""
    """How names of the backbone's weights begin in that file: `visual.trunk.` in an open_clip model."""
    register: str = ""
    """A Python file to run first, which makes a custom name known to timm."""
    norm: Literal["frozen", "group"] = "frozen"
    """`frozen` keeps the statistics and the affine parameters of batch norms as they are loaded; `group`
    (ours) has group norms of 8 groups in their place, which learn from scratch."""
    output_stride: int = 32
    """Of the last map; 16 and 8 dilate what lies deeper (DeepLab)."""
    mean: tuple[float, float, float] | None = None
    """Pixel mean; none takes timm's for that name."""
    std: tuple[float, float, float] | None = None
    """Pixel standard deviation; none takes timm's for that name."""

    def __post_init__(self) -> None:
        if self.output_stride not in STRIDES[1:]:
            raise InputError(f"backbone.output_stride is {self.output_stride}: choose 8, 16 or 32")
        if self.norm == "group" and self.weights == "timm":
            raise InputError(
                "backbone.norm is group, but timm's weights are of its own norms: set "
                "backbone.weights to '' or to a file, or backbone.norm to frozen"
            )

    def build(self) -> FeatureMaps:
        """A new one with random weights. Raises InputError for a model that does not fit."""
        model = self._create()
        of = getattr(model, "pretrained_cfg", None) or {}
        mean = self.mean or of.get("mean", IMAGENET_DEFAULT_MEAN)
        std = self.std or of.get("std", IMAGENET_DEFAULT_STD)
        return FeatureMaps(model, STRIDES[: STRIDES.index(self.output_stride) + 1], mean, std)

    def load(self, maps: FeatureMaps) -> None:
        """Copy the weights that it starts from into maps that it built.

        Raises InputError naming what is missing or misshapen. What else the source has is left out.
        """
        if not self.weights:
            return
        state = self._pretrained() if self.weights == "timm" else self._file()
        own = maps.model.state_dict()
        needed = [name for name in own if not name.endswith("num_batches_tracked")]
        missing = [name for name in needed if name not in state]
        misfits = [
            f"{name} is {tuple(state[name].shape)}, needs {tuple(own[name].shape)}"
            for name in needed
            if name in state and state[name].shape != own[name].shape
        ]
        batch_norms = [
            name
            for name in state
            if name.endswith(".running_mean") and name not in own and f"{name[:-13]}.weight" in own
        ]
        if missing or misfits or batch_norms:
            raise InputError(
                f"backbone.weights {self.weights!r} do not fit timm's {self.name}: {len(missing)} "
                f"missing below {self.prefix!r} {missing[:3]}, wrong shape {misfits[:3]}, batch norms "
                f"for group norms {batch_norms[:3]}; see backbone.name, backbone.prefix and backbone.norm"
            )
        maps.model.load_state_dict({name: state[name] for name in needed}, strict=False)

    def _create(self, *, pretrained: bool = False) -> Any:
        if self.register:
            run_register(self.register)
        check_name(self.name)
        options: dict[str, Any] = {}
        if self.output_stride != 32:
            options["output_stride"] = self.output_stride
        if self.norm == "group":
            with torch.device("meta"):
                if not any(
                    isinstance(m, _BatchNorm) for m in timm.create_model(self.name).modules()
                ):
                    raise InputError(
                        f"backbone.norm is group, but timm's {self.name} has no batch norm: "
                        "set it to frozen"
                    )
            options["norm_layer"] = partial(GroupNorm, num_groups=GROUPS)
        try:
            return timm.create_model(self.name, pretrained=pretrained, **options)
        except (AssertionError, TypeError, ValueError) as error:
            asked = f"output_stride {self.output_stride} and norm {self.norm}"
            raise InputError(
                f"timm's {self.name} cannot be made with {asked}: {error}; name another in "
                "backbone.name, or leave these as they are by default"
            ) from error

    def _pretrained(self) -> Mapping[str, Tensor]:
        if self.register:
            run_register(self.register)
        if not is_model_pretrained(self.name):
            raise InputError(
                f"timm has no weights of {self.name}: name a file in backbone.weights, or leave it empty"
            )
        try:
            with torch.random.fork_rng(devices=[]):  # timm draws the weights that it then replaces
                return self._create(pretrained=True).state_dict()
        except Exception as error:  # no network, no such tag: timm and the hub raise many
            raise InputError(
                f"timm's weights of {self.name} cannot be had: {error}; name a file in backbone.weights"
            ) from error

    def _file(self) -> Mapping[str, Tensor]:
        path = Path(self.weights)
        if not path.is_file():
            raise InputError(f"backbone.weights {self.weights!r} is no file")
        state = read_weights(path)
        size = len(self.prefix)
        return {name[size:]: value for name, value in state.items() if name.startswith(self.prefix)}
