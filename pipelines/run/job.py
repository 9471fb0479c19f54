"""One process of a training job: everything built, ready for its steps."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from PIL import Image
from torch import Tensor, nn

from pipelines.run.folder import RunFolder
from pipelines.run.metrics import Metrics
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
from zeroseg.training.environment import check_training_environment
from zeroseg.training.flops import StepFlops
from zeroseg.training.meter import Meter, matrix_rate
from zeroseg.training.optimization import Optimization, parameter_groups
from zeroseg.training.processes import make_accelerator, processes_on_a_machine
from zeroseg.training.state import TrainingState
from zeroseg.training.tensors import model_tensors


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
    metrics: Metrics
    step_flops: StepFlops
    watcher: Watcher | None = None

    def count(self, batch: Batch) -> None:
        """Count what a step computes, once there is a batch."""
        if self.accelerator.is_main_process:
            with self.metrics.meter.paused():
                self.metrics.flops = self.step_flops(self.training.objective, batch)

    def watch(self, watcher: Watcher, step: int) -> None:
        """Score the model, by its averaged weights if there are any, and draw what it says."""
        tensors = model_tensors(self.state.model, everywhere=True)
        if self.state.average is not None:
            tensors |= self.state.average.tensors(everywhere=True)
        model = model_of(self.config, tensors).to(self.accelerator.device).eval()
        segmenter = self.config.method.segmenter(model, watcher.config.readout)
        self.metrics.record(step, watcher.scores(segmenter))
        if self.accelerator.is_main_process:
            picture = watcher.pictures(segmenter)
            folder = self.config.output / "watch"
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / f"{checkpoint_name(step)}.png")
            log_picture(self.accelerator, "watch", picture, step)
        self.metrics.meter.restart()

    def checkpoint(self, step: int) -> None:
        """Take a copy of everything; it is written while training goes on."""
        self.metrics.note_skipped()
        content = self.state.content(step)
        if content is not None:
            self.folder.checkpoints.begin(step, self.folder.signed(content))


def accelerator_for(config: RunConfig) -> Accelerator:
    """The process's place in the job. Raises InputError if the job is not the one launched, the
    environment asks for another training, or a tracker is unknown or not installed."""
    check_trackers(config.trackers)
    check_training_environment(os.environ, main=os.environ.get("RANK", "0") == "0")
    return make_accelerator(
        config.precision,
        timeout=config.timeout,
        log_with=list(config.trackers) or None,
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
        on_machine=processes_on_a_machine(accelerator),
    )
    watcher = _watcher(config, model, training, accelerator)
    step_flops = StepFlops(model)
    called, optimizer = _prepare(config, model, training, accelerator)
    average = WeightAverage(model, config.ema_decay) if config.ema_decay else None
    state = TrainingState(accelerator, model, optimizer, stream, average)
    optimization = Optimization(
        accelerator,
        called,
        optimizer,
        training.objective,
        passes=passes,
        clip_norm=config.clip_norm,
        average=average,
    )
    folder, meter = RunFolder.of(config), Meter(accelerator.device)
    dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    peak = 1e12 * config.peak_tflops or matrix_rate(accelerator.device, dtype)
    return Job(
        config=config,
        accelerator=accelerator,
        training=training,
        model=called,
        state=state,
        optimization=optimization,
        folder=folder,
        metrics=Metrics(config, accelerator, state, optimization, folder, meter, peak),
        step_flops=step_flops,
        watcher=watcher,
    )


def _watcher(
    config: RunConfig, model: nn.Module, training: Training, accelerator: Accelerator
) -> Watcher | None:
    """What scores the model while it trains; None where nothing is watched."""
    if config.watch is None:
        return None
    return Watcher(
        config.watch,
        training.text,
        config.method.segmenter(model, config.watch.readout),
        accelerator,
        config.data.cache,
        config.method.answers,
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
