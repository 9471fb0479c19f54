"""Jobs of real processes that begin with everything imported: forked from a server that has.

A new interpreter spends seconds on imports, and tests start processes by the dozen. What depends on
how a process was launched is tested with the launchers themselves (`training_runs.launched`).
"""

import atexit
import multiprocessing
import os
import runpy
import socket
import sys
import time
from collections.abc import Callable, Sequence
from tempfile import NamedTemporaryFile

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["pipelines.curate", "pipelines.embed", "pipelines.evaluate", "pipelines.shards"]
    + ["pipelines.train", "torch.utils.tensorboard"]
)


class Job:
    """Processes that each call `target(*arguments)`: the ranks of one job if there are several.

    They have this process's environment.
    """

    def __init__(self, target: Callable[..., object], *arguments: object, ranks: int = 1) -> None:
        self._said = NamedTemporaryFile("r", encoding="utf-8")  # noqa: SIM115  open as long as the job is looked at
        self.processes = []
        for place in places(ranks):
            started = (target, arguments, self._said.name, os.environ | place)
            self.processes.append(FORKS.Process(target=run, args=started))
        for process in self.processes:
            process.start()
        atexit.register(self.kill)

    @property
    def statuses(self) -> list[int | None]:
        """Exit statuses, none of those still at work; a signal counts as -n."""
        return [process.exitcode for process in self.processes]

    @property
    def running(self) -> bool:
        return None in self.statuses

    def send(self, number: int, rank: int = 0) -> None:
        os.kill(self.processes[rank].pid, number)

    def said(self) -> str:
        """What they have printed so far."""
        self._said.seek(0)
        return self._said.read()

    def ended(self, seconds: float = 240) -> str:
        """Wait until all have ended and return what they said; none may hang."""
        until = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0, until - time.monotonic()))
        if self.running:
            self.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.said()[-3000:]}")
        return self.said()

    def kill(self) -> None:
        """All at once, as when a machine loses its power."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()


def run(
    target: Callable[..., object],
    arguments: tuple[object, ...],
    output: str,
    environment: dict[str, str],
) -> None:
    """What a process of a job does."""
    os.environ.clear()
    os.environ |= environment
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    target(*arguments)


def program(module: str, arguments: Sequence[str]) -> None:
    """What `python -m module` does."""
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def places(ranks: int) -> list[dict[str, str]]:
    """The environment by which each rank of a job knows its place; empty for a single one."""
    if ranks == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    return [meeting | {"RANK": rank, "LOCAL_RANK": rank} for rank in map(str, range(ranks))]


def done(target: Callable[..., object], *arguments: object, ranks: int = 1) -> str:
    """Run a job to its end and return what it said."""
    job = Job(target, *arguments, ranks=ranks)
    said = job.ended()
    assert job.statuses == [0] * ranks, said[-4000:]
    return said
