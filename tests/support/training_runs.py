"""Real training runs in processes of their own, small enough to be killed many times."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pipelines.embed import EmbedConfig, embed
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import Job, done, program
from zeroseg import CLIPConfig

ROOT = Path(__file__).parents[2]
SMALL = [
    "--method.student.trunk.width",
    "32",
    "--method.student.trunk.depth",
    "1",
    "--method.student.trunk.num-heads",
    "2",
]
SMALL += ["--method.student.head-layers", "0", "0", "0"]
TIMED = {"images_per_second", "images_per_second_per_device", "step_seconds", "data_wait"}
TIMED |= {"mfu", "memory_gb"}
IMAGES = 48


def data(folder: Path) -> Path:
    """Scenes and their embeddings: with those a step takes milliseconds."""
    build(
        scenes.Scenes("train", IMAGES).source(),
        str(folder / "train"),
        Limits(images_per_shard=12, workers=0),
    )
    clip = CLIPConfig(architecture="zeroseg-scenes", weights="")
    embed(
        EmbedConfig(
            shards=f"{folder}/train",
            output=f"{folder}/embeddings",
            teacher=clip,
            side=112,
            workers=0,
        )
    )
    return folder


def arguments(data: Path, output: Path, steps: int, *more: str) -> list[str]:
    """Of a run of 4 images a step that logs every step."""
    config = [str(ROOT / "configs/scenes_scratch.py"), "--data.shards", f"{data}/train"]
    config += ["--embeddings", f"{data}/embeddings", "--data.batch-size", "4", *SMALL]
    return [*config, "--steps", str(steps), "--log-every", "1", "--output", str(output), *more]


def started(arguments: list[str], ranks: int = 1) -> Job:
    """Begin to train."""
    return Job(program, "pipelines.train", arguments, ranks=ranks)


def trained(arguments: list[str], ranks: int = 1) -> str:
    """Train to the end; return what was said."""
    return done(program, "pipelines.train", arguments, ranks=ranks)


def launched(arguments: list[str], processes: int) -> subprocess.Popen:
    """Begin to train under torchrun, in a process group of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*command, "--nproc-per-node", str(processes), "-m", "pipelines.train", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen, seconds: float = 240) -> str:
    """Wait for a launcher to end and return what it said; none may hang."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        raise AssertionError(f"still running after {seconds} s:\n{said[-3000:]}") from None
    return said


def wait_for(job: Job | subprocess.Popen, output: Path, step: int) -> None:
    """Until a step is logged."""
    while job.running if isinstance(job, Job) else job.poll() is None:
        if any(row["step"] >= step for row in rows(output)):
            return
        time.sleep(0.02)


def rows(output: Path) -> list[dict]:
    """Of metrics.jsonl, without what depends on the clock; a line being written does not count."""
    file = output / "metrics.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.is_file() else []
    return [{k: v for k, v in json.loads(line).items() if k not in TIMED} for line in lines]


def workers_of(process: subprocess.Popen) -> list[int]:
    """Process ids of the training processes that a launcher started, in the order of their ranks."""
    import psutil

    found = {}
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            environment = child.environ()
            if "RANK" in environment and "pipelines.train" in child.cmdline():
                found[int(environment["RANK"])] = child.pid
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [pid for _, pid in sorted(found.items())]
