"""The learning rate as a function of the step."""

import math

from torch import nn


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine down to zero at `total`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Decay matrices; leave biases, norms, tokens and position embeddings alone."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        is_table = "token" in name.rsplit(".", 1)[-1] or name.endswith("pos_embed")
        (free if parameter.ndim < 2 or is_table else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
