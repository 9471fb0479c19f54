"""A trunk of timm, by name."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import timm
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_arch_pretrained_cfgs
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from zeroseg.errors import InputError
from zeroseg.models.timm_models import Origin, TimmMapTrunk, TimmModel, TimmViTTrunk


@dataclass(frozen=True, kw_only=True)
class TimmTrunk:
    """A model of timm as the trunk, with its own mean and deviation of pixels.

    Plain vision transformers (DeiT, MAE, DINO to DINOv3, CLIP, SigLIP, TIPS, EVA ...) can mask and keep
    their class and register tokens to themselves. Of all others, convolutional and hierarchical, a map
    of features is taken, and the student's `mask_ratio` must be 0. Statistics of batch norms are frozen,
    in training too. Raises InputError for a name that timm does not have.
    """

    name: str
    """As in `timm.list_models()`, with or without a tag, which `start` loads by default."""
    stride: int = 0
    """Pixels a side of a token, of a model that is no plain vision transformer: the deepest map with at
    most that many. 0 takes its last."""

    def __post_init__(self) -> None:
        check_name(self.name)

    def build(self, image_size: int) -> "TimmModel":
        """A new one, with random weights. Raises InputError for a model that does not fit."""
        model = create(self.name, image_size)
        names = set(model.state_dict())
        of = model.pretrained_cfg or {}
        mean, std = of.get("mean", IMAGENET_DEFAULT_MEAN), of.get("std", IMAGENET_DEFAULT_STD)
        if isinstance(model, VisionTransformer | Eva):
            patch = model.patch_embed.feat_ratio()
            if self.stride not in (0, patch):
                raise InputError(
                    f"trunk.stride is {self.stride}, but {self.name} has patches of {patch} pixels: "
                    "leave it 0"
                )
            model.prune_intermediate_layers(1, prune_head=True)
            trunk = TimmViTTrunk(model, mean, std)
        else:
            trunk = TimmMapTrunk(model, mean, std, stride=self.stride)
        trunk.origin = Origin(self.name, image_size, frozenset(names - set(model.state_dict())))
        return trunk


def check_name(name: str) -> None:
    """Raises InputError for a name that timm does not have, with the nearest that it has."""
    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture):
        known = get_arch_pretrained_cfgs(architecture)
        if not tag or name in known:
            return
        raise InputError(f"timm's {architecture} has no tag {tag!r}: name {' or '.join(known)}")
    near = get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
    raise InputError(
        f"timm has no model {architecture!r}: "
        + (f"did you mean {', '.join(near)}?" if near else "see timm.list_models()")
    )


def create(name: str, image_size: int, *, pretrained: bool = False) -> Any:
    """timm's model at an image size, where it is made for one. Raises InputError where it cannot be."""
    size: dict[str, Any] = {"img_size": image_size}
    for options in (size | {"dynamic_img_size": True}, size, {}):
        try:
            return timm.create_model(name, pretrained=pretrained, **options)
        except TypeError as error:
            if not options or "unexpected keyword" not in str(error):
                raise
        except (AssertionError, ValueError) as error:
            raise InputError(
                f"timm's {name} cannot be made for images of {image_size} pixels: {error}"
            ) from error
    raise AssertionError
