"""What is chosen on validation data after training, and the student that it makes (ours)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zeroseg.errors import InputError
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIPConfig

TRUNK = "trunk."
"""How names of the trunk's weights begin."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Values that no gradient finds; the defaults leave a student as it was trained."""

    interpolation: float = 1.0
    """Share of the trained weights of the trunk; the rest is what it started from (Wortsman et al.,
    "Robust fine-tuning of zero-shot models", CVPR 2022)."""
    zoom: float = 1.0
    """`ZeroSegConfig.zoom`."""
    regrouping: float = 0.0
    """`ZeroSegConfig.regrouping`."""
    context: tuple[float, float] = (0.0, 0.0)
    """`ZeroSegConfig.context`."""
    readout: str = ""
    """The one that is taken where nobody asks for another; empty is the method's first."""
    chosen_on: str = ""
    """The benchmark and the shards on which they were chosen."""

    def __post_init__(self) -> None:
        if not 0 <= self.interpolation <= 1:
            raise InputError(f"interpolation is {self.interpolation}: it must lie in [0, 1]")

    def method(self, trained: Distillation) -> Distillation:
        """The method of the student that this makes of a trained one."""
        student = replace(
            trained.student, zoom=self.zoom, regrouping=self.regrouping, context=self.context
        )
        return replace(trained, student=student)


def started_trunk(method: Distillation, teacher: CLIPConfig) -> dict[str, Tensor]:
    """The weights that the trunk of a student started from, by the student's names.

    Raises InputError for a student that started from scratch.
    """
    if method.start is None:
        raise InputError(
            "this student started from scratch: there is nothing to interpolate to, leave "
            "--interpolations at 1"
        )
    with torch.random.fork_rng(devices=[]):
        model = method.model()
    method.start_trunk(model.trunk, teacher)
    return {TRUNK + name: value for name, value in model.trunk.state_dict().items()}


def interpolated(
    trained: Mapping[str, Tensor], start: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """share * trained + (1 - share) * start for every weight of the start; all others as trained."""
    mixed = {
        name: torch.lerp(value, trained[name], share)
        for name, value in start.items()
        if value.is_floating_point()
    }
    return {**trained, **mixed}
