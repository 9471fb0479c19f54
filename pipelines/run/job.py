"""One process of a training job: everything built, ready for its steps."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.run.folder import RunFolder
from pipelines.run.trackers import check_trackers, log_picture
from zeroseg.config import RunConfig
from zeroseg.data.global_batch import divide_batch
from zeroseg.data.stream import TrainingStream
from zeroseg.errors import InputError
from zeroseg.evaluation.watching import Watcher
from zeroseg.models.flops import training_flops
from zeroseg.models.vit import load_trunk
from zeroseg.models.zeroseg import ZeroSeg
from zeroseg.training.average import WeightAverage
from zeroseg.training.checkpoints import checkpoint_name
from zeroseg.training.distillation import Distillation
from zeroseg.training.meter import Meter, matrix_rate
from zeroseg.training.objectives import Losses
from zeroseg.training.optimization import Optimization
from zeroseg.training.processes import make_accelerator
from zeroseg.training.schedule import parameter_groups
from zeroseg.training.state import TrainingState
from zeroseg.training.teacher import OnlineTeacher, Teacher, open_teacher
from zeroseg.training.tensors import student_tensors

PROGRESS = {
    "loss": ("loss", "{:.3f}"),
    "gradient_norm": ("gradient", "{:.2g}"),
    "learning_rate": ("rate", "{:.1e}"),
    "segments_used": ("segments", "{:.1f}"),
    "images_per_second": ("images/s", "{:.3g}"),
    "data_wait": ("waiting", "{:.0%}"),
    "mfu": ("MFU", "{:.0%}"),
    "memory_gb": ("GB", "{:.1f}"),
    "lost": ("lost", "{:.0f}"),
    "skipped_steps": ("skipped", "{:.0f}"),
}
"""Metrics that the progress bar shows, by what names and how."""


@dataclass
class Job:
    """What `train` and its rehearsal need."""

    config: RunConfig
    accelerator: Accelerator
    teacher: Teacher
    model: nn.Module
    """The student as it is called in training; `state.student` is the bare one."""
    objective: Distillation
    state: TrainingState
    optimization: Optimization
    folder: RunFolder
    meter: Meter
    flops: float | None
    """Of an image's share of a step; none if not known."""
    peak: float
    """FLOP/s of one device."""
    watcher: Watcher | None = None

    def log(self, step: int, losses: Losses, rate: float) -> dict[str, str]:
        """Write a row of metrics; return what the progress bar shows. Waits for the device."""
        self._note_skipped()
        values = {"loss": sum_of(losses)} | losses | self.objective.health()
        row = {k: v.item() for k, v in self.accelerator.reduce(values, "mean").items()}
        rates = self.rates()
        row |= {"learning_rate": rate, "skipped_steps": self.state.skipped_steps} | rates
        row |= self._reading()
        self.record(step, row)
        return shown(row)

    def rates(self) -> dict[str, float]:
        """Speed since the last call."""
        images, processes = self.config.data.batch_size, self.accelerator.num_processes
        return self.meter.rates(images, processes, self.flops, self.peak)

    def record(self, step: int, row: Mapping[str, float]) -> None:
        """Append a row to metrics.jsonl and to the trackers."""
        self.accelerator.log({k: v for k, v in row.items() if v == v}, step=step)
        if self.accelerator.is_main_process:
            self.folder.add("metrics.jsonl", {"step": step} | dict(row))

    def watch(self, watcher: Watcher, step: int) -> None:
        """Score the student, by its averaged weights if there are any, and draw what it says."""
        average = self.state.average
        tensors = average.tensors() if average else student_tensors(self.state.student)
        student = student_of(self.config, tensors).to(self.accelerator.device)
        self.record(step, watcher.scores(student))
        if self.accelerator.is_main_process:
            picture = watcher.pictures(student)
            folder = self.config.output / "watch"
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / f"{checkpoint_name(step)}.png")
            log_picture(self.accelerator, "watch", picture, step)
        self.meter.restart()

    def checkpoint(self, step: int) -> None:
        """Take a copy of everything; it is written while training goes on."""
        self._note_skipped()
        content = self.state.content(step)
        if content is not None:
            self.folder.checkpoints.begin(step, self.folder.signed(content))

    def _reading(self) -> dict[str, float]:
        """Where the data is, and what could not be had of it, over all processes."""
        lost, place = self.state.lost(), self.state.stream.position
        counts = {f"lost/{cause}": float(n) for cause, n in sorted(lost.items())}
        return {"epoch": place.epoch, "left_out": place.left_out, "lost": lost.total()} | counts

    def _note_skipped(self) -> None:
        """Name the images of skipped steps; raises InputError when there are too many of those."""
        skipped = self.optimization.skipped()
        if not skipped:
            return
        rank = self.accelerator.process_index
        rows = [{"step": s.step + 1, "process": rank, "keys": s.keys} for s in skipped]
        rows = gather_object(rows)
        self.state.skipped_steps += len(skipped)
        count, file = self.state.skipped_steps, self.config.output / "non_finite.jsonl"
        if self.accelerator.is_main_process:
            for row in rows:
                self.folder.add(file.name, row)
            steps = ", ".join(str(s.step + 1) for s in skipped[:5])
            tqdm.write(f"loss or gradient not finite, skipped: step {steps}", file=sys.stderr)
        if count > self.config.most_skipped:
            raise InputError(
                f"{count} steps had a loss or gradient that is not finite: look at the images that "
                f"{file} names, lower --learning-rate, or raise --most-skipped"
            )


def accelerator_for(config: RunConfig) -> Accelerator:
    """The process's place in the job. Raises InputError if the job is not the one launched, or a
    tracker is unknown or not installed."""
    check_trackers(config.trackers)
    return make_accelerator(
        config.precision,
        timeout=config.timeout,
        log_with=list(config.trackers),
        project_dir=config.output / "tensorboard",
    )


def build_job(config: RunConfig, accelerator: Accelerator) -> Job:
    """Build everything from a config; nothing is written. Raises InputError for what is wrong."""
    _, passes = divide_batch(config.data.batch_size, accelerator.num_processes, config.micro_batch)
    teacher = open_teacher(config.teacher, config.data.cache, accelerator.device)
    # Already dealt to processes: handed to accelerator.prepare, the batches would be split again.
    stream = TrainingStream(
        config.data,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        seed=config.seed,
        stored=teacher.stored,
    )
    set_seed(config.seed)
    student = ZeroSeg(config.model)
    if config.start is not None:
        load_trunk(student.trunk, config.start)
    if teacher.embed_dim != config.model.embed_dim:
        raise InputError(
            f"the teacher embeds in {teacher.embed_dim} dimensions: set model.embed_dim to that"
        )
    objective = Distillation(teacher, config.objective, config.model.patch_size)
    if config.activation_checkpointing:
        student.checkpoint_activations()
    if config.compile:
        student.compile()
    # Fused is ten times faster on a CPU too (ViT-B: 0.16 s in place of 1.7), and skips on demand.
    groups = parameter_groups(student, config.weight_decay, config.layer_decay)
    optimizer = torch.optim.AdamW(groups, betas=config.betas, fused=True)
    model, optimizer = accelerator.prepare(student, optimizer)
    watcher = None
    if config.watch is not None:
        watcher = Watcher(config.watch, teacher.clip, config.model, accelerator)
    average = WeightAverage(student, config.ema_decay) if config.ema_decay else None
    optimization = Optimization(
        accelerator,
        model,
        optimizer,
        objective,
        passes=passes,
        clip_norm=config.clip_norm,
        average=average,
    )
    dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    peak = 1e12 * config.peak_tflops or matrix_rate(accelerator.device, dtype)
    online = isinstance(config.teacher, OnlineTeacher)
    views = sum(grid * grid for grid in teacher.grids)
    flops = training_flops(config.model, teacher.clip if online else None, views)
    return Job(
        config=config,
        accelerator=accelerator,
        teacher=teacher,
        model=model,
        objective=objective,
        state=TrainingState(accelerator, student, optimizer, stream, average),
        optimization=optimization,
        folder=RunFolder.of(config),
        meter=Meter(accelerator.device),
        flops=flops,
        peak=peak,
        watcher=watcher,
    )


def student_of(config: RunConfig, tensors: Mapping[str, Tensor]) -> ZeroSeg:
    """A student with these weights, whoever holds the one in training."""
    with torch.random.fork_rng():
        student = ZeroSeg(config.model)
    student.load_state_dict(dict(tensors))
    return student


def sum_of(losses: Losses) -> Tensor:
    """The loss that was differentiated."""
    return torch.stack([v for k, v in losses.items() if k != "gradient_norm"]).sum()


def shown(row: Mapping[str, float]) -> dict[str, str]:
    """What a progress bar has room for; losses of images and steps only where there are any."""
    return {
        label: form.format(row[name])
        for name, (label, form) in PROGRESS.items()
        if name in row and (row[name] or name not in ("lost", "skipped_steps"))
    }
