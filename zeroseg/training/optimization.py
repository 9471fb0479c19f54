"""One step: gradients of the whole batch, clipped; and an update, unless they are not finite.

Nothing here waits for the device: losses, norms and verdicts stay tensors until somebody asks.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor  # noqa: TID251  what clipping returns under FSDP2

from zeroseg.data.batch import Batch
from zeroseg.training.average import WeightAverage
from zeroseg.training.objective import Figures, Objective, Step


class SkippedStep(NamedTuple):
    """A step whose loss or gradient was not finite: no weight changed."""

    step: int
    keys: tuple[str, ...]
    """Of this process's images."""


class Optimization:
    """Makes the steps of one run."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: AcceleratedOptimizer,
        objective: Objective,
        *,
        passes: int,
        clip_norm: float,
        average: WeightAverage | None = None,
    ) -> None:
        """`passes`: into how many parts a batch is divided, whose gradients are summed."""
        self.accelerator, self.model, self.optimizer = accelerator, model, optimizer
        self.objective, self.passes, self.clip_norm = objective, passes, clip_norm
        self.average = average
        self._unread: list[tuple[SkippedStep, Tensor]] = []

    def __call__(self, batch: Batch, step: int, rate: float) -> Step:
        """Make the step at a learning rate; its figures include the norm of the gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        made = self._backward(batch, step)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        assert isinstance(norm, Tensor)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        skip = (~norm.isfinite()).float()
        # The optimizer's own way to skip an update on the device: made for loss scaling.
        self.optimizer.optimizer.found_inf = skip  # type: ignore[attr-defined]
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(skip.bool())
        self._unread.append((SkippedStep(step, batch.keys), skip))
        return made._replace(figures=made.figures | {"gradient_norm": norm})

    def skipped(self) -> list[SkippedStep]:
        """Steps since the last call that changed nothing; the same steps on every process. Waits
        for the device."""
        if not self._unread:
            return []
        verdicts = torch.stack([skip for _, skip in self._unread]).tolist()
        steps = [made for (made, _), skip in zip(self._unread, verdicts, strict=True) if skip]
        self._unread = []
        return steps

    def _backward(self, batch: Batch, step: int) -> Step:
        losses: Figures = {}
        figures: Figures = {}
        parts = batch.split(self.passes)
        for number, part in enumerate(parts, start=1):
            share = len(part.keys) / len(batch.keys)
            last = number == len(parts)
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                said = self.objective(self.model, part, step)
                weighted = {name: share * loss for name, loss in said.losses.items()}
                self.accelerator.backward(poisoned(torch.stack(list(weighted.values())).sum()))
            losses = {k: losses.get(k, 0) + v.detach() for k, v in weighted.items()}
            figures = {k: figures.get(k, 0) + share * v for k, v in said.figures.items()}
        return Step(losses, figures)


def poisoned(loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The same loss; but where it is not finite its gradient is not either, on any process."""
    return loss * torch.where(loss.detach().isfinite(), 1.0, float("nan"))
