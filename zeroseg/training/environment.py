"""Settings that libraries read from the environment, where a run is what its config says.

A shell, a container or the config file of `accelerate launch` may have left variables that change the
numbers. Those are refused in a line that names the config's own field; what has no effect here is said.
"""

import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

import torch
from tqdm import tqdm

from zeroseg.errors import InputError

OFF = frozenset({"", "0", "false", "no", "off", "n", "f", "none"})
FLAGS = OFF | {"1", "true", "yes", "on", "y", "t"}
WHENCE = "is set in the environment or by the config of `accelerate launch`"


class Setting(NamedTuple):
    """What a variable may say, in lower case, and what to do in place of another value."""

    harmless: frozenset[str]
    instead: str


ALWAYS: Mapping[str, Setting] = {
    "ACCELERATE_USE_DEEPSPEED": Setting(OFF, "take configs/accelerate/fsdp.yaml to share a model"),
    "ACCELERATE_USE_MEGATRON_LM": Setting(
        OFF, "take configs/accelerate/fsdp.yaml to share a model"
    ),
    "ACCELERATE_USE_PARALLELISM_CONFIG": Setting(
        OFF, "processes divide data.batch_size alone, or the model by configs/accelerate/fsdp.yaml"
    ),
    "ACCELERATE_USE_SAGEMAKER": Setting(OFF, "launch with torchrun"),
    "ACCELERATE_USE_IPEX": Setting(OFF, "--precision says how numbers are computed"),
    "ACCELERATE_FP8_BACKEND": Setting(OFF, "--precision is bf16 or no"),
    "ACCELERATE_DOWNCAST_BF16": Setting(OFF, "--precision bf16"),
    "XLA_USE_BF16": Setting(OFF, "--precision bf16"),
    "XLA_DOWNCAST_BF16": Setting(OFF, "--precision bf16"),
    "ONEDNN_DEFAULT_FPMATH_MODE": Setting(OFF | {"strict"}, "--precision bf16"),
    "DNNL_DEFAULT_FPMATH_MODE": Setting(OFF | {"strict"}, "--precision bf16"),
}
"""Of every program that computes with a model."""
TRAINING: Mapping[str, Setting] = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": Setting(
        OFF | {"1"}, "--micro-batch divides a step into passes"
    ),
    "ACCELERATE_MIXED_PRECISION": Setting(OFF | {"bf16"}, "--precision is bf16 or no"),
    "ACCELERATE_DYNAMO_BACKEND": Setting(OFF, "--compile compiles the model"),
    "FSDP_IGNORED_MODULES": Setting(OFF, "every part of a model is kept alike on all processes"),
}
UNUSED: Mapping[str, str] = {
    "ACCELERATE_GRADIENT_CLIPPING": "--clip-norm says where gradients are clipped",
    "ACCELERATE_SPLIT_BATCHES": "--data.batch-size is of all processes",
    "ACCELERATE_DISPATCH_BATCHES": "each process reads its own part",
    "ACCELERATE_EVEN_BATCHES": "each process reads its own part",
}
"""Wishes that have no effect on a training, and what has."""


def check_environment(environment: Mapping[str, str], gpu: bool) -> None:
    """Raises InputError for a variable that would change what any program here computes.

    `gpu`: whether NVIDIA's libraries compute.
    """
    for name in ("ACCELERATE_USE_CPU", "ACCELERATE_USE_FSDP", "ACCELERATE_DEBUG_MODE"):
        if environment.get(name, "").lower() not in FLAGS:
            raise InputError(f"{name}={environment[name]} {WHENCE}: it is true or false")
    _check(ALWAYS, environment)
    if gpu and environment.get("NVIDIA_TF32_OVERRIDE"):
        raise InputError(
            f"NVIDIA_TF32_OVERRIDE={environment['NVIDIA_TF32_OVERRIDE']} {WHENCE} and overrides how "
            "every matrix product is rounded: unset it; --precision says how numbers are computed"
        )
    try:
        torch.device(environment.get("ACCELERATE_TORCH_DEVICE", "cpu"))
    except RuntimeError as error:
        device = environment["ACCELERATE_TORCH_DEVICE"]
        raise InputError(f"ACCELERATE_TORCH_DEVICE={device} {WHENCE}: no such device") from error


def check_training_environment(environment: Mapping[str, str], *, main: bool) -> None:
    """Raises InputError for a variable that asks for another training; one process, the `main` one, says
    which have no effect."""
    _check(TRAINING, environment)
    for name, instead in UNUSED.items():
        if main and environment.get(name, "").lower() not in OFF:
            say(f"{name}={environment[name]} {WHENCE}, and has no effect: {instead}")


def full_float32() -> bool:
    """Take back what TORCH_ALLOW_TF32_CUBLAS_OVERRIDE set when torch was imported; whether it had."""
    if os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "").lower() in OFF:
        return False
    torch.set_float32_matmul_precision("highest")
    return True


def say(text: str) -> None:
    """Print a line once."""
    if text not in _said:
        tqdm.write(text, file=sys.stderr)
    _said.add(text)


_said: set[str] = set()


def _check(settings: Mapping[str, Setting], environment: Mapping[str, str]) -> None:
    for name, setting in settings.items():
        if (value := environment.get(name, "")).strip().lower() not in setting.harmless:
            raise InputError(
                f"{name}={value} {WHENCE}, and is not what the config says: unset it; "
                f"{setting.instead}"
            )
