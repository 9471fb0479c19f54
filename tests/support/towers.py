"""Small image towers with random weights, and pixels for them."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn

from zeroseg.models.clip import CLIPConfig

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


def saved_clip(folder: Path, vision, embed_dim=6) -> CLIPConfig:
    """A CLIP with random weights in a folder, as open_clip's `local-dir:` wants it."""
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim, SMALL | vision, TEXT | {"vocab_size": 49408})
    for parameter in model.visual.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)
    folder.mkdir(parents=True)
    text = TEXT | {"vocab_size": 49408}
    cfg = {"embed_dim": embed_dim, "vision_cfg": SMALL | vision, "text_cfg": text}
    statistics = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    record = {"model_cfg": cfg, "preprocess_cfg": statistics}
    (folder / "open_clip_config.json").write_text(json.dumps(record))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return CLIPConfig(architecture=f"local-dir:{folder}", weights="")
