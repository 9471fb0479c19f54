"""Weights, optimizer and random numbers as named tensors on the CPU.

A checkpoint so holds for any number of processes, whether each has all of the model (DDP) or a part
(FSDP2), and nothing in it is pickled. Every process must ask for tensors; the main one gets them.
"""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (  # noqa: TID251  Accelerate saves parts
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

Tensors = dict[str, Tensor]

ON_MAIN = StateDictOptions(full_state_dict=True, cpu_offload=True)
"""Parts are put together one by one, and only the main process keeps them."""
EVERYWHERE = StateDictOptions(full_state_dict=True)
"""Parts are put together on every process, and divided again from there."""


def model_tensors(model: nn.Module, *, everywhere: bool = False) -> Tensors:
    """A copy of its weights by name. On the CPU of the main process and empty on others; or, if they
    are wanted `everywhere`, on the device of each."""
    options = EVERYWHERE if everywhere else ON_MAIN
    return _copies(get_model_state_dict(model, options=options))


def load_model(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The reverse; every process must have them. Raises RuntimeError naming what is missing."""
    set_model_state_dict(model, dict(tensors), options=EVERYWHERE)


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """A copy of what the optimizer keeps of each parameter, as `parameter/value`."""
    # Torch's own flat form has tuples in it, which are no tensors; the config has those.
    kept: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=ON_MAIN)
    states = kept.get("state", {}).items()
    return _copies({f"{name}/{key}": v for name, state in states for key, v in state.items()})


def load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """The reverse, which may take the tensors over; learning rates and the like stay as they are."""
    if not tensors:  # it keeps nothing, or has made no step
        return
    states: dict[str, Any] = {}
    for path, value in tensors.items():
        name, _, key = path.rpartition("/")
        states.setdefault(name, {})[key] = value
    whole = get_optimizer_state_dict(model, optimizer) | {"state": states}
    set_optimizer_state_dict(model, optimizer, whole, options=EVERYWHERE)


def _copies(tensors: Mapping[str, Any]) -> Tensors:
    """Of its own: on a CPU torch hands out the very tensors that training goes on to change."""
    return {k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}


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
