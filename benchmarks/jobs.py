"""A training job as its launcher and the processes under it: started, watched, hurt."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

GOES_ON = re.compile(r"going on from \S*step-(\d+)")


@dataclass(frozen=True)
class Run:
    """A run folder and the one command that fills it, however often it is started."""

    arguments: Sequence[str]
    output: Path
    processes: int = 2

    def start(self, log: Path) -> "Job":
        """The same command every time; both its outputs go to `log`."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(self.processes), "-m", "pipelines.train"]
        command += [*self.arguments, "--output", str(self.output)]
        settings = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, env=os.environ | settings, stdout=file, stderr=subprocess.STDOUT
            )
        return Job(process, self, log)

    def rows(self) -> list[dict]:
        """Of metrics.jsonl; a line that is being written does not count."""
        file = self.output / "metrics.jsonl"
        lines = file.read_text().split("\n")[:-1] if file.is_file() else []
        return [json.loads(line) for line in lines]

    def step(self) -> int:
        """Steps made and logged."""
        rows = self.rows()
        return rows[-1]["step"] if rows else 0

    def checkpoints(self) -> list[Path]:
        """Oldest first."""
        return sorted((self.output / "checkpoints").glob("step-*"))

    def weights(self) -> bytes:
        """The trained student's file."""
        return (self.output / "model/model.safetensors").read_bytes()


@dataclass(frozen=True)
class Job:
    """One start of a run's command."""

    process: subprocess.Popen
    run: Run
    log: Path

    def said(self) -> str:
        """All output so far."""
        return self.log.read_text(errors="replace")

    def continued(self) -> int:
        """The step that it went on from."""
        found = GOES_ON.search(self.said())
        return int(found[1]) if found else 0

    def wait_for(self, step: int) -> bool:
        """Until it has made a step of its own and is at `step`; False if it has ended by then."""
        while self.process.poll() is None:
            made = self.run.step()
            if made >= step and made > self.continued() and "train:" in self.said():
                return True
            time.sleep(0.05)
        return False

    def ended(self, seconds: float) -> float | None:
        """Seconds until the launcher and all under it had ended; none, and it is killed, after so many."""
        begun, family = time.monotonic(), self.family()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        _, left = psutil.wait_procs(family, timeout=seconds)
        for process in left:
            process.kill()
        return None if left else time.monotonic() - begun

    def family(self) -> list[psutil.Process]:
        """The processes under the launcher."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Those that train, by their rank."""
        children = psutil.Process(self.process.pid).children()
        return sorted(children, key=lambda worker: int(worker.environ()["RANK"]))

    def kill(self) -> None:
        """SIGKILL to the launcher and all under it, as when a machine loses its power.

        torchrun's workers have process groups of their own, which the launcher's does not reach.
        """
        family = [psutil.Process(self.process.pid), *self.family()]
        for sign in (signal.SIGSTOP, signal.SIGKILL):  # none may act on the death of another
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(sign)
        self.process.wait()
        psutil.wait_procs(family)
