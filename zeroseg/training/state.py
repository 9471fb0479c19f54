"""Everything that a run needs to go on as if it had never stopped."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from torch import nn

from zeroseg.data.stream import TrainingStream
from zeroseg.training.average import WeightAverage
from zeroseg.training.checkpoints import Content
from zeroseg.training.tensors import (
    load_model,
    load_optimizer,
    model_tensors,
    optimizer_tensors,
    random_tensors,
    set_random,
)


@dataclass
class TrainingState:
    """Of one run, on one process."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    stream: TrainingStream
    average: WeightAverage | None = None
    skipped_steps: int = 0
    """Steps that changed no weight, so far."""
    lost_before: Counter[str] = field(default_factory=Counter)
    """Samples that could not be had before this process began, by cause, over all processes."""

    def lost(self) -> Counter[str]:
        """Samples that could not be had so far, by cause; every process must ask."""
        return sum(map(Counter, gather_object([dict(self.stream.lost)])), Counter(self.lost_before))

    def content(self, step: int) -> Content | None:
        """A copy of it after a step; every process must ask, the main one gets it."""
        processes = gather_object([random_tensors()])
        plain = {
            "step": step,
            "place": self.stream.state_dict(),
            "lost": dict(self.lost()),
            "skipped_steps": self.skipped_steps,
            "processes": len(processes),
        }
        tensors = {
            "student": model_tensors(self.model),
            "optimizer": optimizer_tensors(self.model, self.optimizer),
            "random": {f"{i}/{k}": v for i, of in enumerate(processes) for k, v in of.items()},
        }
        if self.average is not None:
            tensors["ema"] = self.average.tensors()
        return Content(tensors, plain) if self.accelerator.is_main_process else None

    def load(self, content: Content, seed: int) -> int:
        """Take it all over; return the step. A number of processes other than before draws its
        random numbers anew, from the seed and the step."""
        plain, step = content.state, int(content.state["step"])
        load_model(self.model, content.tensors["student"])
        load_optimizer(self.model, self.optimizer, content.tensors["optimizer"])
        if self.average is not None:  # one that begins only now begins at the weights
            self.average.load(content.tensors.get("ema", content.tensors["student"]))
        self.stream.load_state_dict(plain["place"])
        self.lost_before = Counter(plain["lost"])
        self.skipped_steps = int(plain["skipped_steps"])
        if plain["processes"] == self.accelerator.num_processes:
            mine = f"{self.accelerator.process_index}/"
            own = content.tensors["random"].items()
            set_random({k.removeprefix(mine): v for k, v in own if k.startswith(mine)})
        else:
            set_seed(seed + step, device_specific=True)
        return step
