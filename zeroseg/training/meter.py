"""How fast a run goes: measured between two logs, so that nothing is waited for in between."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Meter:
    """Counts steps and the time spent waiting for data."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Begin to measure anew."""
        self._since, self._waited, self._steps = time.perf_counter(), 0.0, 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for a step's batch."""
        begun = time.perf_counter()
        yield
        self._waited += time.perf_counter() - begun
        self._steps += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around what is no part of a step."""
        begun = time.perf_counter()
        yield
        self._since += time.perf_counter() - begun

    def rates(
        self, images: int, processes: int, flops: float | None, peak: float
    ) -> dict[str, float]:
        """Figures since the last call; call when the device has finished its work.

        `images` of a step over all processes, `flops` for one image, `peak` of one device in FLOP/s;
        without `flops` no MFU.
        """
        seconds = (time.perf_counter() - self._since) / max(1, self._steps)
        waited = self._waited / max(1, self._steps)
        self.restart()
        share = {} if flops is None else {"mfu": images / processes * flops / seconds / peak}
        return share | {
            "images_per_second": images / seconds,
            "images_per_second_per_device": images / seconds / processes,
            "step_seconds": seconds,
            "data_wait": waited / seconds,
            "memory_gb": memory(self.device) / 1e9,
        }


def memory(device: torch.device) -> int:
    """Most bytes in use so far: of the GPU's memory, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = 0) -> float:
    """FLOP/s of the device in products of square matrices: the most that a model can come near to.

    `size` is their side; 0 takes what fills the device.
    """
    size = size or (8192 if device.type == "cuda" else 1024)
    a = torch.ones(size, size, device=device, dtype=dtype)
    rates = []
    for _ in range(4):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begun = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        rates.append(2 * size**3 / (time.perf_counter() - begun))
    return max(rates)
