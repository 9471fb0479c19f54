"""A moving average of the student's weights, often better than the weights themselves."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from zeroseg.training.tensors import Tensors, part_of, whole


class WeightAverage:
    """Exponential moving average (EMA) of all parameters, in float32, wherever they are."""

    def __init__(self, student: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(student.named_parameters())
        self._average = {k: p.detach().float().clone() for k, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the weights by 1 - decay of the distance."""
        now = [p.detach().float() for p in self._parameters.values()]
        torch._foreach_lerp_(list(self._average.values()), now, 1 - self.decay)

    def tensors(self) -> Tensors:
        """The averaged weights by name; every process must ask."""
        return {name: whole(value) for name, value in self._average.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The reverse. Raises KeyError for a parameter that is not in them."""
        self._average = {k: part_of(tensors[k], v) for k, v in self._average.items()}
