"""What a training costs on many GPUs, predicted.

    uv run python -m benchmarks.scaling configs/zeroseg_vitb16.py --gpus 8 64 512 --images 1e8 1e9

Every assumption is an option and is printed. A step takes as long as its operations at `peak` times `mfu`,
and what of the gradients' all-reduce is left when the backward pass is done; loader processes and storage
must keep up with it. The optimizer, latency and stragglers are not in it.
"""

import sys
from dataclasses import asdict, dataclass, replace

import open_clip
import torch
import tyro
from timm.layers import to_2tuple

from zeroseg.config import RunConfig, read_config
from zeroseg.data.embeddings import Storage, TeacherRecord, bytes_per_image
from zeroseg.errors import InputError
from zeroseg.methods import Distillation
from zeroseg.models.clip import EMBEDDED, CLIPConfig
from zeroseg.training.flops import flop_counter
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
    each: int = 512
    """Images of a step on each GPU."""
    batch: int = 0
    """Images of a step in the whole job; 0 takes `each` for each GPU."""


@dataclass(frozen=True)
class Costs:
    """What a step of one training moves and computes."""

    forward: int
    """The student's operations an image, forward."""
    student: int
    """The same, forward and backward."""
    teacher: int
    """Operations an image, all views."""
    views: int
    parameters: int
    pixels: int
    """Bytes of an image on its way to the GPU."""
    embeddings: dict[Storage, int]
    """Bytes of an image's embeddings in their shard."""


def costs(config: RunConfig) -> Costs:
    """Count them; no weights are read. Raises InputError for a config without an online teacher."""
    method = config.method
    if not isinstance(method, Distillation) or not isinstance(method.teacher, OnlineTeacher):
        raise InputError("name a config of Distillation with an OnlineTeacher")
    model, side = method.model(), method.student.image_size
    with flop_counter() as counter:
        output = model(torch.empty(1, 3, side, side))
        forward = counter.get_total_flops()
        outputs = [t for t in output if isinstance(t, torch.Tensor) and t.requires_grad]
        loss = torch.stack([t.mean() for t in outputs]).sum()
        torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    record = TeacherRecord(
        teacher={},
        weights_sha256="",
        preprocessing={},
        precision="",
        embed_dim=method.student.embed_dim,
        views=method.teacher.views,
        crops=method.crops,
        side=method.view_side,
        storage="float16",
    )
    return Costs(
        forward=forward,
        student=counter.get_total_flops(),
        teacher=record.views.count * view_flops(method.teacher.clip),
        views=record.views.count,
        parameters=sum(p.numel() for p in model.parameters()),
        pixels=3 * method.image_size**2,
        embeddings={s: bytes_per_image(replace(record, storage=s)) for s in ("float16", "int8")},
    )


def view_flops(clip: CLIPConfig) -> int:
    """One view through a teacher's image tower, whose weights may be any."""
    folder = EMBEDDED.get(clip.architecture)
    name = f"local-dir:{folder}" if folder else clip.architecture
    tower = open_clip.create_model(name, load_weights=False).visual
    side, _ = to_2tuple(tower.image_size)
    with flop_counter() as counter:
        tower.eval()(torch.empty(1, 3, side, side))
    return counter.get_total_flops()


@dataclass(frozen=True)
class Step:
    """Seconds of a step, and the images a second that each part of the job can handle."""

    student: float
    teacher: float
    all_reduce: float
    waited: float
    """Of the all-reduce, what is left when the backward pass is done."""
    read: float
    """Bytes of an image, and of its embeddings if they are cached."""
    limits: dict[str, float]

    @property
    def first(self) -> str:
        """What the job ends at first."""
        return min(self.limits, key=self.limits.__getitem__)

    @property
    def speed(self) -> float:
        """Images a second of the job."""
        return self.limits[self.first]


def step(config: ScalingConfig, cost: Costs, gpus: int, batch: int, *, cached: bool) -> Step:
    """A step of `batch` images in all."""
    rate = config.peak * config.mfu * gpus / batch
    student, teacher = cost.student / rate, 0.0 if cached else cost.teacher / rate
    wire = config.inside if gpus <= config.node else config.between
    all_reduce = 2 * (gpus - 1) / gpus * 4 * cost.parameters / wire
    # Gradients travel while earlier layers are computed: the backward pass is two thirds.
    waited = max(0.0, all_reduce - student * 2 / 3)
    computed = student + teacher
    read = config.photo + (cost.embeddings["float16"] if cached else 0)
    limits = {
        "all-reduce" if waited > computed else "arithmetic": batch / (computed + waited),
        "loaders": gpus * config.loaders * config.decoded,
        "storage": config.storage / read,
    }
    return Step(student, teacher, all_reduce, waited, read, limits)


def print_costs(config: ScalingConfig, cost: Costs) -> None:
    """What does not depend on the number of GPUs."""
    assumed = {k: v for k, v in asdict(config).items() if k in Assumptions.__annotations__}
    print("assumed:", ", ".join(f"{k} {v:g}" for k, v in assumed.items()), end="\n\n")
    rows = {
        "student, forward": f"{cost.forward / 1e9:.4g} GFLOP an image",
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


def print_steps(steps: dict[tuple[str, int], Step], config: ScalingConfig) -> None:
    """What a step takes, and what it waits for."""
    print("\n| teacher | GPUs | batch a GPU | student ms | teacher ms | all-reduce ms | ", end="")
    print("waited for ms | images/s | reads GB/s | first limit | the others allow |")
    print("|---" * 11 + "|")
    for (teacher, gpus), done in steps.items():
        each = config.batch / gpus if config.batch else config.each
        others = {k: v / done.speed for k, v in done.limits.items() if k != done.first}
        times = (done.student, done.teacher, done.all_reduce, done.waited)
        print(f"| {teacher} | {gpus} | {each:g} | ", end="")
        print(*(f"{1e3 * t:,.3g}" for t in times), f"{done.speed:,.0f}", sep=" | ", end=" | ")
        print(f"{done.speed * done.read / 1e9:.2g} | {done.first} | ", end="")
        print(", ".join(f"{k} {v:.2g}x" for k, v in others.items()) + " |")


def print_hours(steps: dict[tuple[str, int], Step], config: ScalingConfig, cost: Costs) -> None:
    """What a pass over the set takes, and what must be stored."""
    print("\n| images | teacher | stored TB | embedding once, GPU-hours | ", end="")
    print(" | ".join(f"hours on {g} GPUs (GPU-hours)" for g in config.gpus) + " |")
    print("|---" * (4 + len(config.gpus)) + "|")
    once = cost.teacher / (config.peak * config.mfu) / 3600
    for images in config.images:
        for teacher in ("cached", "online"):
            mine = {gpus: steps[teacher, gpus] for gpus in config.gpus}
            stored = images * mine[config.gpus[0]].read / 1e12
            before = f"{images * once:,.0f}" if teacher == "cached" else "none"
            hours = {gpus: images / done.speed / 3600 for gpus, done in mine.items()}
            cells = [f"{h:.3g} ({h * gpus:,.0f})" for gpus, h in hours.items()]
            print(f"| {images:.0e} | {teacher} | {stored:.3g} | {before} | ", end="")
            print(" | ".join(cells) + " |")


def predict(config: ScalingConfig) -> None:
    """Print the tables."""
    cost = costs(read_config(config.config))
    print_costs(config, cost)
    steps = {
        (teacher, n): step(
            config, cost, n, config.batch or n * config.each, cached=teacher == "cached"
        )
        for teacher in ("cached", "online")
        for n in config.gpus
    }
    print_steps(steps, config)
    print_hours(steps, config, cost)


if __name__ == "__main__":
    predict(tyro.cli(ScalingConfig, args=sys.argv[1:]))
