"""Small image towers with random weights, and pixels for them."""

import open_clip
import torch
from torch import nn

TEXT = {"context_length": 8, "vocab_size": 8, "width": 16, "heads": 2, "layers": 1}
SMALL = {"image_size": 24, "patch_size": 8, "width": 16, "head_width": 8, "layers": 2}


def tower(vision, embed_dim=6, **others) -> nn.Module:
    """An image tower of open_clip whose every parameter matters."""
    torch.manual_seed(0)
    visual = open_clip.CLIP(embed_dim, SMALL | vision, TEXT, **others).visual
    for parameter in visual.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.5)
    return visual.eval().requires_grad_(False)


def pixels(height=24, width=24, batch=2) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def close(got, expected):
    """But for rounding: features of a hundred and less, sums in float32 through two layers."""
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
