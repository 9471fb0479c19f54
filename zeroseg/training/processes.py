"""The processes of a job: how they find each other and agree.

`python`, `torchrun`, `accelerate launch` and `srun` all run the same function; what differs is in the
environment, and is read here.
"""

import ctypes
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Literal, TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedType,
    GradientAccumulationPlugin,
    TorchDynamoPlugin,
    broadcast_object_list,
    gather_object,
    parse_flag_from_env,
)

from zeroseg.errors import InputError
from zeroseg.models.precision import has_fast_bfloat16
from zeroseg.training.environment import check_environment, full_float32, say

Precision = Literal["auto", "no", "bf16"]
Found = TypeVar("Found")


def follow_launcher() -> None:
    """Ask Linux to stop this process as by SIGTERM when the launcher dies, which starts its workers in
    sessions of their own and so would leave them training."""
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def process_state(timeout: float = 600.0) -> PartialState:
    """This process's place in its job, without more of Accelerate than that.

    `timeout` in seconds is how long a process waits for the others before it gives up. Raises
    InputError when the job is not as large as it was launched, or the environment asks for other numbers.
    """
    check_environment(os.environ, gpu=torch.cuda.is_available())
    adopt_slurm()
    follow_launcher()
    # Accelerate would wait to be told, and take each process of a machine without GPU for the only one.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    os.environ["ACCELERATE_USE_CPU"] = str(cpu).lower()
    state = PartialState(cpu=cpu, timeout=timedelta(seconds=timeout))
    check_world(state.num_processes)
    if full_float32() and state.is_main_process:
        say("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE is not followed: float32 stays float32")
    return state


def make_accelerator(
    precision: Precision = "auto", *, timeout: float = 600.0, **options: object
) -> Accelerator:
    """The same, with all of Accelerate; `options` are the Accelerator's.

    A program may train in one precision and then score in another: one made before is not to be used
    any more. Raises InputError also when FSDP was asked for and cannot be had.
    """
    device = torch.device(process_state(timeout).device or "cpu")
    bf16 = has_fast_bfloat16(device) if precision == "auto" else precision == "bf16"
    AcceleratorState._reset_state()  # which would refuse another precision than the first
    accelerator = Accelerator(
        mixed_precision="bf16" if bf16 else "no",
        # What is not passed is taken from the environment.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        dynamo_plugin=TorchDynamoPlugin(
            backend="no",  # type: ignore[arg-type]
            mode="default",
            fullgraph=False,
            dynamic=False,
            use_regional_compilation=False,
        ),
        **options,  # type: ignore[arg-type]
    )
    wished = os.environ.get("ACCELERATE_MIXED_PRECISION", "")
    if wished not in {"", accelerator.mixed_precision} and accelerator.is_main_process:
        found = "bf16" if bf16 else "float32"
        say(f"ACCELERATE_MIXED_PRECISION={wished} is not followed: this is computed in {found}")
    sharded = parse_flag_from_env("ACCELERATE_USE_FSDP")
    if sharded != (accelerator.distributed_type == DistributedType.FSDP):
        raise InputError("FSDP was asked for and needs several GPUs: launch with another config")
    if sharded and not accelerator.is_fsdp2:
        raise InputError("FSDP version 1 is not supported: set fsdp_version: 2")
    return accelerator


def adopt_slurm() -> None:
    """Under srun, give torch the names by which it knows what srun has said to each task.

    Raises InputError when nothing says where the processes are to meet.
    """
    environment = os.environ
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == 1 or "RANK" in environment:
        return
    if "MASTER_ADDR" not in environment or "MASTER_PORT" not in environment:
        raise InputError(
            f"srun started {tasks} tasks, which need MASTER_ADDR and MASTER_PORT to meet: export "
            "them as configs/slurm/train.sbatch does"
        )
    environment["WORLD_SIZE"] = str(tasks)
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["LOCAL_RANK"] = environment["SLURM_LOCALID"]


def check_world(found: int) -> None:
    """Raises InputError if the job is not as large as it was launched."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if found != launched:
        raise InputError(
            f"{launched} processes were launched but this one sees {found}: "
            "without GPUs, set ACCELERATE_USE_CPU=true"
        )


def processes_on_a_machine(accelerator: Accelerator) -> int:
    """The most processes of the job that share one machine; the same answer on all of them."""
    hosts: list[object] = gather_object([socket.gethostname()])
    return max(Counter(hosts).values())


def broadcast_from_main(accelerator: Accelerator, find: Callable[[], Found]) -> Found:
    """What the main process finds, on every process; an InputError of it is raised on every one."""
    answer: list[object] = [None]
    if accelerator.is_main_process:
        try:
            answer = [find()]
        except InputError as error:
            answer = [error]
    broadcast_object_list(answer)
    if isinstance(answer[0], InputError):
        raise answer[0]
    return answer[0]  # type: ignore[return-value]
