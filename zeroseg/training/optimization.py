"""Schedules, optimizers, and one step: gradients of the whole batch, clipped; and an update, unless they
are not finite.

Nothing in a step waits for the device: losses, norms and verdicts stay tensors until somebody asks.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor  # noqa: TID251  what clipping returns under FSDP2

from zeroseg.data.batch import Batch
from zeroseg.errors import InputError
from zeroseg.training.average import WeightAverage
from zeroseg.training.objective import Figures, Objective, Step


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Linear warm-up to the peak, then a fall over the rest of the steps; see the classes below."""

    warmup: int = 0
    """Steps of linear warm-up."""

    def __post_init__(self) -> None:
        if self.warmup < 0:
            raise InputError(f"schedule.warmup is {self.warmup}: it must be at least 0")

    def __call__(self, step: int, *, peak: float, total: int) -> float:
        """The rate of a step, counted from 0, of `total`."""
        if step < self.warmup:
            return peak * (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, total - self.warmup))
        return self.fall(peak, done)

    def fall(self, peak: float, done: float) -> float:
        """The rate when this share of the steps after warm-up is done."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine down to zero (MAE's)."""

    def fall(self, peak: float, done: float) -> float:
        """Half a cosine."""
        return peak * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True, kw_only=True)
class Polynomial(Schedule):
    """A power of what is left, down to zero (DeepLab's "poly")."""

    power: float = 0.9

    def fall(self, peak: float, done: float) -> float:
        """A power of the share that is left."""
        return peak * (1 - done) ** self.power


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """AdamW (Loshchilov and Hutter, ICLR 2019), fused."""

    learning_rate: float
    """Peak, for the batch in use: no rate holds for every batch, so there is no default. MAE's, which
    ZeroSeg takes, is 1.5e-4 for each 256 images of a step."""
    weight_decay: float = 0.05
    """Not stated in ZeroSeg; MAE's."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Not stated in ZeroSeg; MAE's."""

    def __post_init__(self) -> None:
        _check_rate(self.learning_rate)

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of these groups."""
        # Fused is ten times faster on a CPU too (ViT-B: 0.16 s in place of 1.7), and skips on demand.
        return torch.optim.AdamW(groups, betas=self.betas, fused=True)


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Gradient descent with momentum, fused."""

    learning_rate: float
    """Peak, for the batch in use."""
    weight_decay: float = 1e-4
    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        _check_rate(self.learning_rate)

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The optimizer of these groups."""
        return torch.optim.SGD(
            groups,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=True,
        )


TABLES = ("pos_embed", "positional_embedding", "registers")
"""Last names of parameters that look like matrices and are rows of vectors, as are those of tokens."""


def parameter_groups(
    model: nn.Module, weight_decay: float, rate_scale: Callable[[str], float]
) -> list[dict[str, Any]]:
    """Groups of parameters for an optimizer: `params`, `weight_decay` and `scale`.

    Matrices decay; biases, norms, tokens, scalars and position embeddings do not. `scale` multiplies
    the learning rate: `rate_scale` of the parameter's name. A frozen parameter is in no group. Groups
    that decay come first, of each kind those of the largest scale.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        last = name.rsplit(".", 1)[-1]
        is_table = "token" in last or last in TABLES
        decays = parameter.ndim >= 2 and not is_table
        groups.setdefault((decays, rate_scale(name)), []).append(parameter)
    return [
        {"params": groups[key], "weight_decay": weight_decay if key[0] else 0.0, "scale": key[1]}
        for key in sorted(groups, reverse=True)
    ]


def _check_rate(rate: float) -> None:
    if rate <= 0:
        raise InputError(f"optimizer.learning_rate is {rate}: it must be positive")


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
