"""What a training costs on many GPUs, from formulas; and what two CPU processes really do.

    uv run python -m benchmarks.scaling configs/zeroseg_vitb16.py --gpus 8 64 512 --images 1e8 1e9
    OMP_NUM_THREADS=1 uv run python -m benchmarks.scaling configs/quickstart.py --measure

The first predicts: every assumption is an option and is printed. A step takes as long as its operations at
`peak` times `mfu`, and what of the gradients' all-reduce does not fit beside the backward pass; loader
processes and storage must keep up with it. The optimizer, latency and stragglers are not in it. The second
trains on scenes with `accelerate launch`, with one process and with two.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import tyro

from shards.build import Limits, build
from shards.scenes import scenes
from zeroseg.config import RunConfig, read_config
from zeroseg.data.embeddings import Storage, TeacherRecord, bytes_per_image
from zeroseg.errors import InputError
from zeroseg.models.flops import clip_image_flops, student_flops, training_flops
from zeroseg.models.zeroseg import ZeroSeg
from zeroseg.training.teacher import OnlineTeacher


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """The machine and the data. Defaults are of H100 or H200 GPUs, and are not measured but where said."""

    peak: float = 989e12
    """Operations a second of a GPU: bf16, dense, as its maker says."""
    mfu: float = 0.4
    """Share of the peak that a step reaches."""
    node: int = 8
    """GPUs of a machine."""
    inside: float = 300e9
    """Bytes a second that a GPU passes on in an all-reduce inside a machine."""
    between: float = 40e9
    """The same between machines: a 400 Gbit/s card for each GPU."""
    loaders: int = 8
    """Loader processes of a GPU, each with a core."""
    decoded: float = 588.0
    """Images a second of a loader process (measured on a CPU core, docs/benchmarks/data.md)."""
    photo: float = 33.9e3
    """Bytes of a photo in its shard (measured, ImageNet at 288 pixels, docs/shards.md)."""
    storage: float = 20e9
    """Bytes a second that the storage hands to the whole job."""


@dataclass(frozen=True, kw_only=True)
class ScalingConfig(Assumptions):
    """Which training, on how much."""

    config: tyro.conf.Positional[str]
    gpus: tuple[int, ...] = (8, 64, 512)
    images: tuple[float, ...] = (1e8, 1e9)
    """In the set; hours are of one pass over them."""
    batch: int = 0
    """Of the whole job; 0 takes the config's for each GPU."""
    measure: bool = False
    """Train with one and two CPU processes instead."""
    steps: int = 60
    """Of a measurement."""
    rounds: int = 3
    """Of a measurement."""


@dataclass(frozen=True)
class Costs:
    """What a step of one training moves and computes."""

    student: float
    """Operations an image, forward and backward."""
    teacher: float
    """Operations an image, all views."""
    views: int
    parameters: int
    pixels: int
    """Bytes of an image on its way to the GPU."""
    embeddings: dict[Storage, int]
    """Bytes of an image's embeddings in their shard."""


def costs(config: RunConfig) -> Costs:
    """Count them. Raises InputError for a teacher whose operations are not known."""
    teacher, student = config.teacher, config.model
    view = clip_image_flops(teacher.clip) if isinstance(teacher, OnlineTeacher) else None
    if teacher.grids is None or view is None:
        raise InputError("name a config with an OnlineTeacher that is a plain ViT")
    with torch.device("meta"):
        parameters = sum(p.numel() for p in ZeroSeg(student).parameters())
    record = TeacherRecord(
        teacher={},
        weights_sha256="",
        preprocessing={},
        precision="",
        embed_dim=student.embed_dim,
        grids=teacher.grids,
        crops=config.data.crops,
        side=config.data.view_side,
        storage="float16",
    )
    return Costs(
        student=training_flops(student) or 0.0,
        teacher=record.views * view,
        views=record.views,
        parameters=parameters,
        pixels=3 * config.data.image_size**2,
        embeddings={s: bytes_per_image(replace(record, storage=s)) for s in ("float16", "int8")},
    )


@dataclass(frozen=True)
class Step:
    """Seconds of a step, and the images a second that each part of the job can handle."""

    student: float
    teacher: float
    all_reduce: float
    limits: dict[str, float]

    @property
    def first(self) -> str:
        """Where the job ends first."""
        return min(self.limits, key=self.limits.__getitem__)


def step(config: ScalingConfig, cost: Costs, gpus: int, batch: int, *, cached: bool) -> Step:
    """A step of `batch` images in all."""
    rate = config.peak * config.mfu * gpus / batch
    student, teacher = cost.student / rate, 0.0 if cached else cost.teacher / rate
    wire = config.inside if gpus <= config.node else config.between
    all_reduce = 2 * (gpus - 1) / gpus * 4 * cost.parameters / wire
    # Gradients travel while earlier layers are computed: the backward pass is two thirds.
    exposed = max(0.0, all_reduce - student * 2 / 3)
    read = config.photo + (cost.embeddings["float16"] if cached else 0)
    limits = {
        "all-reduce" if exposed else "arithmetic": batch / (student + teacher + exposed),
        "loaders": gpus * config.loaders * config.decoded,
        "storage": config.storage / read,
    }
    return Step(student, teacher, all_reduce, limits)


def print_costs(config: ScalingConfig, run: RunConfig, cost: Costs) -> None:
    """What does not depend on the number of GPUs."""
    assumed = {k: v for k, v in asdict(config).items() if k in Assumptions.__annotations__}
    print("assumed:", ", ".join(f"{k} {v:g}" for k, v in assumed.items()), end="\n\n")
    rows = {
        "student, forward": f"{student_flops(run.model) / 1e9:.4g} GFLOP an image",
        "student, forward and backward": f"{cost.student / 1e9:.4g} GFLOP an image",
        f"teacher, {cost.views} views": f"{cost.teacher / 1e9:.4g} GFLOP an image",
        "parameters": f"{cost.parameters / 1e6:.4g} million",
        "gradients to reduce (float32)": f"{4 * cost.parameters / 1e6:.4g} MB a step",
        "checkpoint (weights, two moments)": f"{12 * cost.parameters / 1e9:.3g} GB",
        "photo in its shard": f"{config.photo / 1e3:.1f} kB",
        "pixels from loader to GPU": f"{cost.pixels / 1e3:.1f} kB an image",
    }
    rows |= {f"embeddings, {s}": f"{b / 1e3:.1f} kB an image" for s, b in cost.embeddings.items()}
    print("| | |\n|---|---|", *(f"| {k} | {v} |" for k, v in rows.items()), sep="\n")


def predict(config: ScalingConfig) -> None:
    """Print the tables."""
    run = read_config([config.config])
    cost = costs(run)
    print_costs(config, run, cost)
    print("\n| teacher | GPUs | batch a GPU | student ms | teacher ms | all-reduce ms | ", end="")
    print("images/s | reads GB/s | first limit | the others allow |" + "\n" + "|---" * 10 + "|")
    speeds: dict[tuple[str, int], float] = {}
    for teacher in ("cached", "online"):
        for gpus in config.gpus:
            batch = config.batch or gpus * run.data.batch_size
            done = step(config, cost, gpus, batch, cached=teacher == "cached")
            speed = speeds[teacher, gpus] = done.limits[done.first]
            read = config.photo + (cost.embeddings["float16"] if teacher == "cached" else 0)
            others = {k: v / speed for k, v in done.limits.items() if k != done.first}
            times = (done.student, done.teacher, done.all_reduce)
            print(f"| {teacher} | {gpus} | {batch / gpus:g} | ", end="")
            print(*(f"{1e3 * t:.3g}" for t in times), f"{speed:.3g}", sep=" | ", end=" | ")
            print(f"{speed * read / 1e9:.2g} | {done.first} | ", end="")
            print(", ".join(f"{k} {v:.2g}x" for k, v in others.items()) + " |")
    print("\n| images | shards TB | embeddings TB | embedding once, GPU-hours | ", end="")
    ways = [f"{teacher}, {gpus} GPUs: hours (GPU-hours)" for teacher, gpus in speeds]
    print(" | ".join(ways) + " |\n" + "|---" * (4 + len(ways)) + "|")
    for images in config.images:
        once = images * cost.teacher / (config.peak * config.mfu) / 3600
        stored = (images * config.photo / 1e12, images * cost.embeddings["float16"] / 1e12)
        hours = {key: images / speed / 3600 for key, speed in speeds.items()}
        cells = [f"{h:.3g} ({h * gpus:.3g})" for (_, gpus), h in hours.items()]
        print(f"| {images:g} | {stored[0]:.3g} | {stored[1]:.3g} | {once:.3g} | ", end="")
        print(" | ".join(cells) + " |")


def images_per_second(config: ScalingConfig, processes: int, folder: str) -> float:
    """Train, and read how fast it said it was."""
    command = [sys.executable, "-m", "accelerate.commands.launch"]
    command += ["--config_file", "configs/accelerate/cpu.yaml"]
    command += ["--num_processes", str(processes), "-m", "pipelines.train", config.config]
    with tempfile.TemporaryDirectory() as output:
        command += ["--data.shards", folder, "--output", f"{output}/run", "--log-every", "10"]
        command += ["--steps", str(config.steps), "--warmup", "0"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        rows = Path(output, "run/metrics.jsonl").read_text().splitlines()
        return json.loads(rows[-1])["images_per_second"]


def measure(config: ScalingConfig) -> None:
    """Print images a second of one process and of two, which take turns."""
    print("| round | 1 process, images/s | 2 processes, images/s | ratio |\n|---|---|---|---|")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        build(scenes("train", 800), f"{folder}/set", Limits(images_per_shard=100))
        for turn in range(config.rounds):
            one, two = (images_per_second(config, n, f"{folder}/set") for n in (1, 2))
            ratios.append(two / one)
            print(f"| {turn + 1} | {one:.1f} | {two:.1f} | {two / one:.2f} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.2f}, of {os.cpu_count()} cores")


if __name__ == "__main__":
    chosen = tyro.cli(ScalingConfig, args=sys.argv[1:])
    (measure if chosen.measure else predict)(chosen)
