"""DeepLabv3+ (Chen et al., ECCV 2018): a segmenter whose last layer is one linear map of its features.

Its norms are GroupNorm of 8 channels a group (ours): the paper's batch statistics would make an image's
loss depend on the images beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.backbone import Backbone, FeatureMaps

GROUP = 8
"""Channels that a norm averages over together."""


@dataclass(frozen=True, kw_only=True)
class DeepLabConfig:
    """The network but for its classes. Raises InputError for widths that norms cannot divide."""

    backbone: Backbone
    width: int = 256
    """Of the features that are classified."""
    low_level_width: int = 48
    """Of the backbone's map at stride 4, as the decoder reads it."""
    rates: tuple[int, ...] = (6, 12, 18)
    """Dilations of the pyramid, for a backbone of stride 16."""
    dropout: tuple[float, float, float] = (0.5, 0.5, 0.1)
    """After the pyramid and after each of the decoder's two layers (the authors' code)."""

    def __post_init__(self) -> None:
        for name in ("width", "low_level_width"):
            value = getattr(self, name)
            if value < GROUP or value % GROUP:
                raise InputError(f"deeplab.{name} is {value}: choose a multiple of {GROUP}")


class DeepLabLayers(nn.Module):
    """Images to features at stride 4, and a linear classifier of them."""

    def __init__(self, config: DeepLabConfig, classes: int) -> None:
        super().__init__()
        self.config = config
        self.backbone: FeatureMaps = config.backbone.build()
        low, deep = self.backbone.channels[0], self.backbone.channels[-1]
        self.aspp = Pyramid(deep, config.width, config.rates, config.dropout[0])
        self.decoder = Decoder(low, config)
        self.classifier = nn.Conv2d(config.width, classes, 1)

    def features(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch feature rows columns"]:
        """What the classifier reads of images in [0, 1], at stride 4."""
        maps = self.backbone(images)
        return self.decoder(maps[0], self.aspp(maps[-1]))

    def logits(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch class rows columns"]:
        """Of every class, at stride 4."""
        return self.classifier(self.features(images))


class DeepLabV3Plus(DeepLabLayers):
    """The network as it is trained on label maps."""

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch class rows columns"]:
        """Logits of every class of images in [0, 1], at stride 4."""
        return self.logits(images)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: one map read at several dilations and as its own mean."""

    def __init__(self, channels: int, width: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [layer(channels, width, 1), *(layer(channels, width, 3, rate) for rate in rates)]
        )
        self.pooled = layer(channels, width, 1)
        self.project = layer(width * (len(rates) + 2), width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, features: Float[Tensor, "batch channel rows columns"]
    ) -> Float[Tensor, "batch feature rows columns"]:
        """The branches side by side, brought to the width."""
        mean = self.pooled(features.mean(dim=(2, 3), keepdim=True))
        read = [*(branch(features) for branch in self.branches)]
        return self.dropout(self.project(torch.cat([*read, mean.expand_as(read[0])], dim=1)))


class Decoder(nn.Module):
    """The pyramid, enlarged to stride 4 and read together with the backbone's map there."""

    def __init__(self, low_level: int, config: DeepLabConfig) -> None:
        super().__init__()
        width = config.width
        self.low_level = layer(low_level, config.low_level_width, 1)
        self.layers = nn.Sequential(
            layer(width + config.low_level_width, width, 3),
            nn.Dropout(config.dropout[1]),
            layer(width, width, 3),
            nn.Dropout(config.dropout[2]),
        )

    def forward(
        self,
        low_level: Float[Tensor, "batch channel rows columns"],
        pyramid: Float[Tensor, "batch width coarse_rows coarse_columns"],
    ) -> Float[Tensor, "batch feature rows columns"]:
        """Features at the low level's stride."""
        enlarged = F.interpolate(pyramid, low_level.shape[2:], mode="bilinear")
        return self.layers(torch.cat([enlarged, self.low_level(low_level)], dim=1))


def layer(channels: int, width: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, GroupNorm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(
            channels,
            width,
            kernel,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        ),
        nn.GroupNorm(width // GROUP, width),
        nn.ReLU(),
    )
