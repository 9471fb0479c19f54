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
        self._parameters = {_key(name): p for name, p in model.named_parameters()}
        # A module, so that torch gathers and divides it as it does the model.
        self._average = nn.ParameterDict(
            {
                k: nn.Parameter(p.detach().float().clone(), requires_grad=False)
                for k, p in self._parameters.items()
            }
        )

    @torch.no_grad()
    def update(self, skip: Bool[Tensor, ""] | None = None) -> None:
        """Move towards the weights by 1 - decay of the distance; not at all where told to skip."""
        averages = [self._average[k] for k in self._parameters]
        now = [p.float() for p in self._parameters.values()]
        if skip is not None:
            now = [torch.where(skip, a, p) for a, p in zip(averages, now, strict=True)]
        torch._foreach_lerp_(averages, now, 1 - self.decay)

    def tensors(self, *, everywhere: bool = False) -> Tensors:
        """The averaged parameters by name, as `model_tensors` gives the weights."""
        tensors = model_tensors(self._average, everywhere=everywhere)
        return {k.replace("/", "."): v for k, v in tensors.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The reverse. Raises KeyError for a parameter that is not in them."""
        load_model(self._average, {k: tensors[k.replace("/", ".")] for k in self._average})


def _key(name: str) -> str:
    """A parameter's name without the dots that torch does not allow here."""
    return name.replace(".", "/")
