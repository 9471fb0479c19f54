"""Weights, optimizer and random numbers as tensors that stand for themselves: whole, named, on the CPU.

A checkpoint so holds for any number of processes, whether each has all of the student (DDP) or a part
(FSDP2), and nothing in it is pickled.
"""

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import (  # noqa: TID251  Accelerate saves parts; these are made whole
    DTensor,
    distribute_tensor,
)

Tensors = dict[str, Tensor]


def whole(tensor: Tensor) -> Tensor:
    """A copy on the CPU, put together from the processes if each has a part; all must ask for it."""
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.detach().to("cpu", copy=True).contiguous()


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """The reverse: a copy on the device of `like`, divided over the processes as it is."""
    if isinstance(like, DTensor):
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device, copy=True)


def student_tensors(student: nn.Module) -> Tensors:
    """Its weights by name."""
    return {name: whole(value) for name, value in student.state_dict().items()}


def load_student(student: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The reverse. Raises RuntimeError naming what is missing or too much."""
    own = student.state_dict()
    student.load_state_dict({k: part_of(v, own.get(k, v)) for k, v in tensors.items()})


def optimizer_tensors(student: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """What the optimizer keeps of each parameter, as `parameter/value`."""
    return {
        f"{name}/{key}": whole(value)
        for name, parameter in student.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    student: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """The reverse. Raises KeyError for a parameter that the student does not have."""
    parameters = dict(student.named_parameters())
    for place, value in tensors.items():
        name, _, key = place.rpartition("/")
        parameter = parameters[name]
        # The count of steps is of the parameter as a whole, and no process has a part of it.
        kept = value.to(parameter.device, copy=True) if key == "step" else part_of(value, parameter)
        optimizer.state[parameter][key] = kept


def random_tensors() -> Tensors:
    """State of this process's random generators: torch's on CPU and GPU, numpy's and Python's."""
    _, numbers, *others = np.random.get_state()  # noqa: NPY002  a library may use the global one
    python = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        # Every number of both fits a float64 exactly; a spare Gaussian that is not there is NaN.
        "numpy": torch.tensor([*np.asarray(numbers), *others], dtype=torch.float64),
        "python": torch.tensor([*python[1], _number(python[2])], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random(tensors: Mapping[str, Tensor]) -> None:
    """The reverse."""
    torch.set_rng_state(tensors["torch"])
    *numbers, place, has_spare, spare = tensors["numpy"].tolist()
    keys = np.array(numbers, dtype=np.uint32)
    np.random.set_state(("MT19937", keys, int(place), int(has_spare), spare))  # noqa: NPY002
    *state, gauss = tensors["python"].tolist()
    random.setstate((3, tuple(map(int, state)), None if gauss != gauss else gauss))
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
