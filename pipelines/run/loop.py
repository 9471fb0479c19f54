"""The training loop: begin or go on, make the steps, save, export."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from accelerate.utils import set_seed
from torch.profiler import profile, schedule
from tqdm import tqdm

from pipelines.run.decontamination import recorded
from pipelines.run.job import Job, accelerator_for, build_job
from pipelines.run.trackers import begin_tracking
from zeroseg.config import RunConfig
from zeroseg.methods.saved import ModelDescription, save
from zeroseg.training import checkpoints
from zeroseg.training.preemption import STOPPED, Preemption
from zeroseg.training.processes import broadcast_from_main
from zeroseg.training.tensors import model_tensors


def train(
    config: RunConfig,
    *,
    allow_change: Sequence[str] = (),
    profiled: bool = False,
    last: bool = True,
) -> Path:
    """Run the whole of training, or what is left of it, and return the run folder.

    Fields named in `allow_change` may differ from those of the checkpoint that it goes on from.
    `profiled` writes a trace of a few steps. Unless it is the `last` of its job, its processes stay in
    touch. Raises InputError for anything wrong with the input,
    before training, and SystemExit(75) when it was asked to stop and has saved its place.
    """
    accelerator = accelerator_for(config)
    job = build_job(config, accelerator)
    try:
        step = begin(job, allow_change)
        with (
            Preemption(accelerator, config.timeout) as preemption,
            _profiler(job, profiled) as profiler,
        ):
            step = _steps(job, step, preemption, profiler)
            job.folder.checkpoints.finish()
        if step == config.steps:
            _export(job)
        accelerator.wait_for_everyone()
        for tracker in accelerator.trackers:
            tracker.finish()
        if last:
            accelerator.state.destroy_process_group()
    finally:
        job.folder.lock.release()
    if step < config.steps:
        print(f"stopped after step {step}, saved: the same command goes on", file=sys.stderr)
        raise SystemExit(STOPPED)
    return config.output


def begin(job: Job, allow_change: Sequence[str] = ()) -> int:
    """Open the run folder and return the step to start from, with all state as it was then."""
    accelerator, config = job.accelerator, job.config
    newest = broadcast_from_main(accelerator, lambda: job.folder.begin(allow_change))
    step = 0
    if newest is None:
        # Everything was built alike on every process; from here on masks and noise differ by rank.
        set_seed(config.seed, device_specific=True)
    else:
        step = job.state.load(checkpoints.read(newest), config.seed)
        accelerator.print(f"going on from {newest}", file=sys.stderr)
    begin_tracking(accelerator, config, step)
    return step


def _steps(job: Job, step: int, preemption: Preemption, profiler: profile | None) -> int:
    """Train until the last step or until asked to stop; return the steps made."""
    config, stream, first = job.config, job.state.stream, step
    job.model.train()
    main = job.accelerator.is_main_process
    bar = tqdm(total=config.steps, initial=step, desc="train", unit="step", disable=not main)
    batches = iter(stream)
    while step < config.steps:
        with job.metrics.meter.waiting():
            batch = next(batches).to(job.accelerator.device)
        if step == first:
            job.count(batch)
        for loss in batch.lost if stream.lost.total() <= config.name_lost else ():
            tqdm.write(f"lost {loss}", file=sys.stderr)
        rate = config.schedule(step, peak=config.optimizer.learning_rate, total=config.steps)
        made = job.optimization(batch, step, rate)
        step += 1
        bar.update()
        if profiler is not None:
            profiler.step()
        stopping = preemption.agreed()
        last = stopping or step == config.steps
        if step % config.log_every == 0 or last:
            bar.set_postfix(job.metrics.log(step, made, rate))
        if step % config.save_every == 0 or last:
            job.checkpoint(step)
        if stopping:  # whoever wants the machine back does not wait for scores
            break
        if job.watcher is not None and (step % job.watcher.config.every == 0 or last):
            job.watch(job.watcher, step)
    bar.close()
    return step


def _profiler(job: Job, wanted: bool) -> profile | nullcontext[None]:
    """Of the steps 3 to 5; the trace goes to `profile/`, for chrome://tracing or Perfetto."""
    if not wanted:
        return nullcontext()
    folder = job.config.output / "profile"
    name = f"trace-{job.accelerator.process_index}.json"

    def write(profiler: profile) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(folder / name))
        tqdm.write(f"{folder / name} written", file=sys.stderr)

    return profile(schedule=schedule(wait=1, warmup=1, active=3, repeat=1), on_trace_ready=write)


def _export(job: Job) -> None:
    """Write the model, and its averaged weights if there are any."""
    weights = model_tensors(job.state.model)
    versions = {"model": weights}
    if job.state.average is not None:
        versions["model-ema"] = weights | job.state.average.tensors()
    if job.accelerator.is_main_process:
        description = ModelDescription(
            method=job.config.method,
            text=job.training.text,
            decontamination=recorded(job.config.output),
        )
        for name, tensors in versions.items():
            save(job.config.output / name, description, tensors)
