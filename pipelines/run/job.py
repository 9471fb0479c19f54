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
from zeroseg.data.batch import Batch
from zeroseg.data.global_batch import divide_batch
from zeroseg.data.stream import TrainingStream
from zeroseg.errors import InputError
from zeroseg.evaluation.watching import Watcher
from zeroseg.methods.method import Training
from zeroseg.training.average import WeightAverage
from zeroseg.training.checkpoints import checkpoint_name
from zeroseg.training.flops import StepFlops
from zeroseg.training.meter import Meter, matrix_rate
from zeroseg.training.objective import Step
from zeroseg.training.optimization import Optimization
from zeroseg.training.optimizers import parameter_groups
from zeroseg.training.processes import make_accelerator
from zeroseg.training.state import TrainingState
from zeroseg.training.tensors import student_tensors

PROGRESS = {
    "loss": ("loss", "{:.3f}"),
    "gradient_norm": ("gradient", "{:.2g}"),
    "learning_rate": ("rate", "{:.1e}"),
    "grouping/segments_used": ("segments", "{:.1f}"),
    "images_per_second": ("images/s", "{:.3g}"),
    "data_wait": ("waiting", "{:.0%}"),
    "mfu": ("MFU", "{:.0%}"),
    "memory_gb": ("GB", "{:.1f}"),
    "lost": ("lost", "{:.0f}"),
    "skipped_steps": ("skipped", "{:.0f}"),
}
"""Metrics that the progress bar shows where there are any, by what names and how."""


@dataclass
class Job:
    """What `train` and its dry run need."""

    config: RunConfig
    accelerator: Accelerator
    training: Training
    model: nn.Module
    """The model as it is called in training; `state.model` is the bare one."""
    state: TrainingState
    optimization: Optimization
    folder: RunFolder
    meter: Meter
    step_flops: StepFlops
    peak: float
    """FLOP/s of one device."""
    flops: float | None = None
    """FLOPs of an image's share of a step. None if unknown."""
    watcher: Watcher | None = None

    def count(self, batch: Batch) -> None:
        """Count what a step computes, once there is a batch."""
        if self.accelerator.is_main_process:
            with self.meter.paused():
                self.flops = self.step_flops(self.training.objective, batch)

    def log(self, step: int, made: Step, rate: float) -> dict[str, str]:
        """Write a row of metrics; return what the progress bar shows. Waits for the device."""
        self._note_skipped()
        losses = {f"loss/{name}": loss for name, loss in made.losses.items()}
        values = {"loss": torch.stack(list(losses.values())).sum()} | losses | made.figures
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
        """Score the model, by its averaged weights if there are any, and draw what it says."""
        average = self.state.average
        tensors = average.tensors() if average else student_tensors(self.state.model)
        model = model_of(self.config, tensors).to(self.accelerator.device).eval()
        segmenter = self.config.method.segmenter(model, watcher.config.readout)
        self.record(step, watcher.scores(segmenter))
        if self.accelerator.is_main_process:
            picture = watcher.pictures(segmenter)
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
        lost, position = self.state.lost(), self.state.stream.position
        counts = {f"lost/{cause}": float(n) for cause, n in sorted(lost.items())}
        return {
            "epoch": position.epoch,
            "left_out": position.left_out,
            "lost": lost.total(),
        } | counts

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
                f"{file} names, lower --optimizer.learning-rate, or raise --most-skipped"
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
    set_seed(config.seed)
    model = config.method.model()
    training = config.method.training(model, accelerator.device, config.data.cache)
    # Already dealt to processes: handed to accelerator.prepare, the batches would be split again.
    stream = TrainingStream(
        config.data,
        training.transform,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        seed=config.seed,
    )
    watcher = None
    if config.watch is not None:
        segmenter = config.method.segmenter(model, config.watch.readout)
        watcher = Watcher(config.watch, training.text, segmenter, accelerator, config.data.cache)
    step_flops = StepFlops(model)
    called, optimizer = _prepare(config, model, training, accelerator)
    average = WeightAverage(model, config.ema_decay) if config.ema_decay else None
    dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    return Job(
        config=config,
        accelerator=accelerator,
        training=training,
        model=called,
        state=TrainingState(accelerator, model, optimizer, stream, average),
        optimization=Optimization(
            accelerator,
            called,
            optimizer,
            training.objective,
            passes=passes,
            clip_norm=config.clip_norm,
            average=average,
        ),
        folder=RunFolder.of(config),
        meter=Meter(accelerator.device),
        step_flops=step_flops,
        peak=1e12 * config.peak_tflops or matrix_rate(accelerator.device, dtype),
        watcher=watcher,
    )


def _prepare(config: RunConfig, model: nn.Module, training: Training, accelerator: Accelerator):
    """The model and its optimizer, as Accelerate has them called."""
    if config.activation_checkpointing:
        checkpoint_activations = getattr(model, "checkpoint_activations", None)
        if not callable(checkpoint_activations):
            raise InputError(
                f"activation_checkpointing: a {type(model).__name__} cannot, leave it off"
            )
        checkpoint_activations()
    if config.compile:
        model.compile()
    groups = parameter_groups(model, config.optimizer.weight_decay, training.rate_scale)
    return accelerator.prepare(model, config.optimizer.build(groups))


def model_of(config: RunConfig, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A model with these weights, whoever holds the one in training."""
    with torch.random.fork_rng():
        model = config.method.model()
    model.load_state_dict(dict(tensors))
    return model


def shown(row: Mapping[str, float]) -> dict[str, str]:
    """What a progress bar has room for; losses of images and steps only where there are any."""
    return {
        label: form.format(row[name])
        for name, (label, form) in PROGRESS.items()
        if name in row and (row[name] or name not in ("lost", "skipped_steps"))
    }
