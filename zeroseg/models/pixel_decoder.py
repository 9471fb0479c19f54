"""Pixel decoder: a pyramid of maps as one map of features at its finest stride.

MaskFormer's (Cheng et al., NeurIPS 2021, section 3.2), a feature pyramid network (Lin et al., CVPR 2017)
with group norms.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GROUP = 8
"""Channels of a group of the norms: 32 groups of 256, as the paper has."""


def convolution(inputs: int, width: int, kernel: int, *, activation: bool = False) -> nn.Sequential:
    """A convolution without bias, a group norm, and a ReLU where there is an activation."""
    layer = nn.Conv2d(inputs, width, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    parts: list[nn.Module] = [layer, nn.GroupNorm(width // GROUP, width)]
    return nn.Sequential(*parts, nn.ReLU()) if activation else nn.Sequential(*parts)


def projection(inputs: int, width: int, kernel: int) -> nn.Conv2d:
    """A convolution alone, whose bias starts from zero."""
    layer = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
    nn.init.kaiming_uniform_(layer.weight, a=1)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class PixelDecoder(nn.Module):
    """From maps, the finest first, to pixel features of the finest one's size.

    The last map passes a 3x3 convolution; then at every finer one its 1x1 projection and the nearest
    neighbours of what came before are added, and pass another. A last 3x3 convolution has no norm.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        """`channels` of the maps; `width` is a multiple of 8."""
        super().__init__()
        *finer, last = channels
        self.last = convolution(last, width, 3, activation=True)
        self.lateral = nn.ModuleList(convolution(c, width, 1) for c in finer)
        self.merged = nn.ModuleList(convolution(width, width, 3, activation=True) for _ in finer)
        self.features = projection(width, width, 3)

    def forward(
        self, maps: Sequence[Float[Tensor, "batch _ _ _"]]
    ) -> Float[Tensor, "batch width rows columns"]:
        """Pixel features."""
        features = self.last(maps[-1])
        for level in reversed(range(len(maps) - 1)):
            above = F.interpolate(features, maps[level].shape[2:], mode="nearest")
            features = self.merged[level](self.lateral[level](maps[level]) + above)
        return self.features(features)
