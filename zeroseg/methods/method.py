"""The contract of a method: all that the loop, the evaluation and a saved model know of one.

A method is one frozen dataclass below `MethodConfig`. Its fields say what distinguishes it; its three
functions give a model, what trains it, and how it answers. A new method is such a class, the model and the
objective that it names, and a file under configs/.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from zeroseg.data.transforms import Transform
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.segmenter import Answers, Segmenter
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.objective import Objective


def same_rate(name: str) -> float:
    """Every parameter learns at the optimizer's rate."""
    return 1.0


class Training(NamedTuple):
    """What trains a model, ready to be called."""

    objective: Objective
    transform: Transform
    """What an epoch shows of a sample."""
    text: CLIPConfig
    """Whose class embeddings the model answers to."""
    rate_scale: Callable[[str], float] = same_rate
    """Share of the learning rate by parameter name."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig(ABC):
    """A method: a class below this one."""

    @abstractmethod
    def model(self) -> nn.Module:
        """A new model with random weights; also what the weights of a saved one are loaded into."""

    @abstractmethod
    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """What trains the model, which takes over the weights that it is to start from, if any.

        Raises InputError for whatever does not fit, before anything expensive.
        """

    @abstractmethod
    def segmenter(self, model: nn.Module, readout: str = "", clip: CLIP | None = None) -> Segmenter:
        """The model as it answers, read in one of `readouts`; empty takes the first.

        `clip` is that of `Training.text`, where the caller holds it; a method that asks a CLIP at test
        loads it otherwise. Raises InputError for a readout that it does not have.
        """

    def corrected(
        self, model: nn.Module, readout: str, clip: CLIP, correction: Correction
    ) -> Segmenter:
        """The model as it answers with the teacher at test, whose views of an image correct it; empty
        `readout` takes the first. Without a correction, `kind="none"`, it is `segmenter`'s.

        Raises InputError for a readout that it does not have, and for a method without corrections.
        """
        if correction.kind != "none":
            raise InputError(f"{self.label} has no correction: leave it out, or say none")
        return self.segmenter(model, readout, clip)

    @property
    def label(self) -> str:
        """What rows of tables call its models."""
        return type(self).__name__

    @property
    def readouts(self) -> tuple[str, ...]:
        """Ways in which the model can be read, the best by validation first; one, or none to name."""
        return ()

    @property
    def answers(self) -> Answers:
        """What its segmenters answer; see `Segmenter`."""
        return "cosines"

    @property
    def image_size(self) -> int:
        """Side of the images that the model was trained on, in pixels: the size that pictures are
        brought to where nothing else says."""
        return 448
