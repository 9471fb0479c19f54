"""What this machine has: each fact is looked up, none is measured; None is what nothing here says."""

import importlib
import os
import platform
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from pipelines.machine.cgroup import memory_limit, quota_of_cores
from pipelines.machine.packages import Extra, Package, extras, required
from zeroseg.models.precision import has_fast_bfloat16

SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Device:
    """What a model may be computed on; `bfloat16` is "fast", "slow" (slower than float32) or "none"."""

    name: str
    model: str
    memory_bytes: int | None
    bfloat16: str


@dataclass(frozen=True)
class Space:
    """A file system: its folder, its size and what is free, in bytes; whether one may write there."""

    folder: str
    total_bytes: int
    free_bytes: int
    writable: bool


@dataclass(frozen=True)
class Faiss:
    """faiss as it was found; `error` says why it cannot be imported."""

    version: str | None
    gpu: bool
    gpus: int
    threads: int | None
    error: str = ""


@dataclass(frozen=True)
class Facts:
    """A machine as a process finds it. Sizes are in bytes."""

    system: str
    python: str
    torch: str
    cuda_of_torch: str | None
    nvidia_driver: str | None
    devices: list[Device]
    cpu_instructions: str
    amx: bool
    cores: int
    usable_cores: int
    core_quota: float | None
    torch_threads: int
    memory_bytes: int | None
    memory_available_bytes: int | None
    memory_limit_bytes: int | None
    shared_memory: Space | None
    open_files: int | None
    open_files_at_most: int | None
    disk: Space
    faiss: Faiss
    packages: list[Package]
    extras: list[Extra]


def look(folder: Path) -> Facts:
    """The facts of this machine; `folder` is where one works."""
    memory, available = _memory()
    files, files_at_most = map(_finite, resource.getrlimit(resource.RLIMIT_NOFILE))
    return Facts(
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        cuda_of_torch=torch.version.cuda,
        nvidia_driver=_nvidia_driver(),
        devices=[*_accelerators(), _cpu(memory)],
        cpu_instructions=torch.backends.cpu.get_cpu_capability(),
        amx=torch.cpu._is_amx_tile_supported(),
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        core_quota=quota_of_cores(),
        torch_threads=torch.get_num_threads(),
        memory_bytes=memory,
        memory_available_bytes=available,
        memory_limit_bytes=memory_limit(memory),
        shared_memory=_space(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None,
        open_files=files,
        open_files_at_most=files_at_most,
        disk=_space(folder),
        faiss=_faiss(),
        packages=required(),
        extras=extras(),
    )


def _finite(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def _memory() -> tuple[int | None, int | None]:
    try:
        memory = psutil.virtual_memory()
    except OSError:  # Linux without /proc
        return None, None
    return memory.total, memory.available


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _space(folder: Path) -> Space:
    usage = shutil.disk_usage(folder)
    return Space(str(folder), usage.total, usage.free, os.access(folder, os.W_OK))


def _cpu(memory: int | None) -> Device:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        described = ""
    model = re.search(r"^model name\s*:\s*(.+)$", described, re.M)
    fast = has_fast_bfloat16(torch.device("cpu"))
    name = model[1] if model else platform.processor() or platform.machine()
    return Device("cpu", name, memory, "fast" if fast else "slow")


def _accelerators() -> list[Device]:
    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return []
    if kind.type != "cuda":
        return [Device(kind.type, kind.type, None, "slow")]
    return [_gpu(torch.device("cuda", index)) for index in range(torch.cuda.device_count())]


def _gpu(device: torch.device) -> Device:
    properties = torch.cuda.get_device_properties(device)
    with torch.cuda.device(device):
        slow = "slow" if torch.cuda.is_bf16_supported() else "none"
    bfloat16 = "fast" if has_fast_bfloat16(device) else slow
    return Device(str(device), properties.name, properties.total_memory, bfloat16)


def _nvidia_driver() -> str | None:
    """The driver's version, also where torch cannot use it."""
    try:
        told = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
        version = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", told)
    except OSError:
        version = None
    if version or not shutil.which("nvidia-smi"):
        return version[0] if version else None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=2, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.split("\n")[0].strip() or None


def _faiss() -> Faiss:
    try:
        faiss: Any = importlib.import_module("faiss")
    except Exception as error:  # a library that is not there, or whatever a broken one raises
        return Faiss(None, gpu=False, gpus=0, threads=None, error=str(error))
    gpu = hasattr(faiss, "StandardGpuResources")
    return Faiss(
        faiss.__version__, gpu, faiss.get_num_gpus() if gpu else 0, faiss.omp_get_max_threads()
    )
