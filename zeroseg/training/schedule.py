"""The learning rate as a function of the step and of the layer."""

import math
from typing import Any

from torch import nn

from zeroseg.models.zeroseg import ZeroSeg


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine down to zero at `total`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def parameter_groups(
    model: ZeroSeg, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Groups of parameters for an optimizer: `params`, `weight_decay` and `scale`.

    Matrices decay; biases, norms, tokens, scalars and position embeddings do not. `scale` is to
    multiply the learning rate: `layer_decay` for the trunk's last block, its square for the block
    before, and so on down to the embeddings of patches and positions; 1 for all that follows the
    blocks (layer-wise decay of BEiT, arXiv 2106.08254, and of MAE's fine-tuning). Groups that decay
    come first, of each kind those of the largest scale.
    """
    depth = len(model.trunk.blocks)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        is_table = "token" in name.rsplit(".", 1)[-1] or name.endswith("pos_embed")
        decays = parameter.ndim >= 2 and not is_table
        scale = layer_decay ** (depth + 1 - _layer(name, depth))
        groups.setdefault((decays, scale), []).append(parameter)
    return [
        {"params": groups[key], "weight_decay": weight_decay if key[0] else 0.0, "scale": key[1]}
        for key in sorted(groups, reverse=True)
    ]


def _layer(name: str, depth: int) -> int:
    """0 for the embeddings, i + 1 for the trunk's block i, `depth` + 1 for all that follows."""
    if name.startswith(("trunk.patch_embed.", "trunk.pos_embed")):
        return 0
    if name.startswith("trunk.blocks."):
        return int(name.split(".")[2]) + 1
    return depth + 1
