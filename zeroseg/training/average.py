"""A moving average of a model's weights, often better than the weights themselves."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from zeroseg.training.tensors import Tensors, load_model, model_tensors


class WeightAverage:
    """Exponential moving average (EMA) of all parameters, in float32, wherever they are."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        # Names of parameters without the dots that torch allows in none of a module.
        self._parameters = {k.replace(".", "/"): p for k, p in model.named_parameters()}
        # A module, so that torch gathers and divides it as it does the model.
        self._average = nn.ParameterDict()
        for name, parameter in self._parameters.items():
            copy = parameter.detach().float().clone()
            self._average[name] = nn.Parameter(copy, requires_grad=False)

    @torch.no_grad()
    def update(self, skip: Bool[Tensor, ""] | None = None) -> None:
        """Move towards the weights by 1 - decay of the distance; not at all where told to skip."""
        step = 1 - self.decay
        weight = step if skip is None else torch.where(skip, 0.0, step)
        for name, parameter in self._parameters.items():
            self._average[name].lerp_(parameter.float(), weight)

    def tensors(self, *, everywhere: bool = False) -> Tensors:
        """The averaged parameters by name, as `model_tensors` gives the weights."""
        tensors = model_tensors(self._average, everywhere=everywhere)
        return {k.replace("/", "."): v for k, v in tensors.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The reverse. Raises KeyError for a parameter that is not in them."""
        load_model(self._average, {k: tensors[k.replace("/", ".")] for k in self._average})
