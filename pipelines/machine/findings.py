"""What of a machine stops a training, or slows it, or leaves something out; each with its remedy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tqdm import tqdm

from pipelines.machine.facts import Facts
from pipelines.machine.packages import FAISS_GPU
from zeroseg.errors import InputError
from zeroseg.training.environment import (
    OFF,
    UNUSED,
    check_environment,
    check_training_environment,
)

MIB, GIB = 1 << 20, 1 << 30
FULL = 64 * MIB
"""Bytes below which nothing of use can be written."""
OPEN_FILES = 1024
"""What Linux gives a process unless told otherwise."""


@dataclass(frozen=True)
class Finding:
    """One thing to know of a machine; `stops` when no training can run with it."""

    stops: bool
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def findings(facts: Facts, environment: Mapping[str, str]) -> list[Finding]:
    """All there is to say, what stops a training first."""
    found = [
        *_environment(environment, gpu=_has_gpu(facts)),
        *_packages(facts),
        *_device(facts, environment),
        *_processor(facts, environment),
        *_memory(facts),
        *_files(facts),
        *_faiss(facts),
    ]
    return sorted(found, key=lambda finding: not finding.stops)


def size(count: int | None) -> str:
    """Bytes as one reads them, 23.5GiB; "unknown" where nothing says."""
    return "unknown" if count is None else tqdm.format_sizeof(count, "iB", divisor=1024)


def _has_gpu(facts: Facts) -> bool:
    return any(device.name.startswith("cuda") for device in facts.devices)


def _environment(environment: Mapping[str, str], gpu: bool) -> Iterator[Finding]:
    """One variable after another, as each check ends at the first it refuses."""
    for name, value in environment.items():
        try:
            check_environment({name: value}, gpu)
            check_training_environment({name: value}, main=False)
        except InputError as error:
            what, _, remedy = str(error).rpartition(": ")
            yield Finding(True, what, remedy)
        if name in UNUSED and value.lower() not in OFF:
            yield Finding(False, f"{name}={value} has no effect on a training", UNUSED[name])


def _packages(facts: Facts) -> Iterator[Finding]:
    for package in facts.packages:
        if package.name == "faiss-cpu" and facts.faiss.gpu:
            continue  # faiss-gpu is in its place
        if package.version is None:
            yield Finding(True, f"{package.name} is not installed", "run `uv sync`")
        elif not package.fits:
            what = f"{package.name} {package.version} is not {package.needed}, which is needed"
            yield Finding(False, what, "run `uv sync`")


def _device(facts: Facts, environment: Mapping[str, str]) -> Iterator[Finding]:
    device = facts.devices[0]
    if device.name == "cpu" and facts.nvidia_driver:
        what = f"NVIDIA's driver {facts.nvidia_driver} is here but torch {facts.torch} uses no GPU"
        remedy = "install a torch of a CUDA that the driver knows, and see CUDA_VISIBLE_DEVICES"
        yield Finding(False, what, remedy)
    elif device.name == "cpu":
        remedy = (
            "train small students here (`zeroseg quickstart`) and the configs of papers on GPUs"
        )
        yield Finding(False, "there is no GPU, all is computed on the CPU", remedy)
    elif environment.get("ACCELERATE_USE_CPU", "").lower() not in OFF:
        what = f"ACCELERATE_USE_CPU keeps trainings off {device.model}"
        yield Finding(False, what, "unset it")
    if device.bfloat16 != "fast":
        how = "is slower than float32" if device.bfloat16 == "slow" else "cannot be had"
        what = f"bfloat16 {how} on {device.model}"
        remedy = "leave --precision auto, which takes float32; CPUs with AMX and GPUs from Ampere on are faster"
        yield Finding(False, what, remedy)


def _processor(facts: Facts, environment: Mapping[str, str]) -> Iterator[Finding]:
    cores = facts.usable_cores
    if facts.core_quota is not None and facts.core_quota < cores:
        what = f"{cores} cores are seen but the time of {facts.core_quota:g} is allowed"
        remedy = "set OMP_NUM_THREADS and --workers to what is allowed, or raise the quota"
        yield Finding(False, what, remedy)
    elif facts.torch_threads < cores and "OMP_NUM_THREADS" in environment:
        what = f"torch computes on {facts.torch_threads} of {cores} cores"
        yield Finding(False, what, "unset OMP_NUM_THREADS, or set it higher")
    if cores < facts.cores:
        what = f"this process may use {cores} of {facts.cores} cores"
        yield Finding(False, what, "ask taskset or the batch system for more")


def _memory(facts: Facts) -> Iterator[Finding]:
    told = (facts.memory_bytes, facts.memory_available_bytes, facts.memory_limit_bytes)
    room = min((count for count in told if count is not None), default=None)
    if room is not None and room < 4 * GIB:
        what = f"{size(room)} of memory are to be had"
        yield Finding(
            False, what, "set --micro-batch and --data.workers lower, or end other programs"
        )
    shared = facts.shared_memory
    give = "give it room (docker run --shm-size 8g, or --ipc=host), or set --data.workers 0"
    if shared is None and facts.system.startswith("Linux"):
        yield Finding(
            True, "/dev/shm, through which loader processes hand batches, is missing", give
        )
    elif shared and (shared.free_bytes < MIB or not shared.writable):
        yield Finding(True, f"{shared.folder}, where loader processes put batches, is full", give)
    elif shared and shared.free_bytes < GIB:
        what = f"{shared.folder}, where loader processes put batches, has {size(shared.free_bytes)}"
        yield Finding(False, f"{what} free", give)


def _files(facts: Facts) -> Iterator[Finding]:
    if facts.open_files is not None and facts.open_files < OPEN_FILES:
        most = facts.open_files_at_most
        what = (
            f"{facts.open_files} files may be open at once, loader processes and shards need more"
        )
        at_most = "" if most is None else f" (the hard limit is {most})"
        yield Finding(False, what, f"run `ulimit -n {OPEN_FILES}` or more{at_most}")
    disk = facts.disk
    if not disk.writable:
        what = f"{disk.folder} may not be written to"
        yield Finding(True, what, "work in a folder of yours, or name one with --output")
    elif disk.free_bytes < 10 * GIB:
        what = f"{size(disk.free_bytes)} of disk are free in {disk.folder}"
        remedy = "free some, checkpoints and embeddings need it, or name another --output"
        yield Finding(disk.free_bytes < FULL, what, remedy)


def _faiss(facts: Facts) -> Iterator[Finding]:
    if facts.faiss.error:
        what = f"faiss cannot be imported ({facts.faiss.error}), no curate, find or --index"
        yield Finding(False, what, "run `uv sync`")
    elif _has_gpu(facts) and not facts.faiss.gpus:
        what = "faiss searches on the CPU though there is a GPU"
        yield Finding(False, what, f"run `{FAISS_GPU}`")
