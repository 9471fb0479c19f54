"""The learning rate as a function of the step."""

import math
from dataclasses import dataclass

from zeroseg.errors import InputError


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
