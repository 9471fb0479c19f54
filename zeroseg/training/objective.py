"""Objective: a model and a batch in, losses and watched figures out. All that the loop knows of one."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.data.batch import Batch

Figures = dict[str, Float[Tensor, ""]]


class Step(NamedTuple):
    """What an objective says of one batch."""

    losses: Figures
    """Weighted losses by name; their sum is differentiated."""
    figures: Figures
    """What is only watched, never differentiated; what stands before a `/` is its chart."""


@runtime_checkable
class Objective(Protocol):
    """Stateless function of a model and a batch; every loss is a mean over images."""

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Losses and figures of one batch in a step of the run, counted from 0."""
        ...
