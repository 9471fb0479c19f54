"""Train a model, or go on where its run folder says that it stopped.

zeroseg train configs/quickstart.py --steps 100
zeroseg train configs/quickstart.py --embeddings FOLDER     # that `zeroseg embed` wrote
zeroseg train configs/quickstart.py --dry-run               # two steps, and what to expect of the rest
accelerate launch -m pipelines.train configs/quickstart.py  # or torchrun, or srun: docs/distributed.md
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from accelerate.utils import set_seed
from torch.distributed.elastic.multiprocessing.errors import record  # noqa: TID251  torchrun's own
from torch.profiler import profile, schedule
from tqdm import tqdm

from pipelines.cli import main as command
from pipelines.run.dry_run import dry_run
from pipelines.run.job import Job, accelerator_for, build_job
from pipelines.run.trackers import begin_tracking
from zeroseg.config import RunConfig, read_config
from zeroseg.errors import InputError
from zeroseg.methods.distillation import Distillation
from zeroseg.methods.saved import ModelDescription, save
from zeroseg.training.checkpoints import read
from zeroseg.training.preemption import STOPPED, Preemption
from zeroseg.training.processes import broadcast_from_main
from zeroseg.training.teacher import CachedTeacher
from zeroseg.training.tensors import student_tensors


def train(config: RunConfig, *, allow_change: Sequence[str] = (), profiled: bool = False) -> Path:
    """Run the whole of training, or what is left of it, and return the run folder.

    Fields named in `allow_change` may differ from those of the checkpoint that it goes on from.
    `profiled` writes a trace of a few steps. Raises InputError for anything wrong with the input,
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
        accelerator.end_training()
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
        step = job.state.load(read(newest), config.seed)
        accelerator.print(f"going on from {newest}", file=sys.stderr)
    begin_tracking(accelerator, config, step)
    return step


def _steps(job: Job, step: int, preemption: Preemption, profiler: profile | None) -> int:
    """Train until the last step or until asked to stop; return the steps made."""
    config, stream = job.config, job.state.stream
    job.model.train()
    main = job.accelerator.is_main_process
    bar = tqdm(total=config.steps, initial=step, desc="train", unit="step", disable=not main)
    batches = iter(stream)
    while step < config.steps:
        with job.meter.waiting():
            batch = next(batches).to(job.accelerator.device)
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
            bar.set_postfix(job.log(step, made, rate))
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
    versions = {"model": student_tensors(job.state.model)}
    if job.state.average is not None:
        versions["model-ema"] = job.state.average.tensors()
    if job.accelerator.is_main_process:
        description = ModelDescription(method=job.config.method, text=job.training.text)
        for name, tensors in versions.items():
            save(job.config.output / name, description, tensors)


def main(arguments: Sequence[str]) -> None:
    """Read the command line and train."""
    parser = _parser()
    own, rest = parser.parse_known_args(arguments)
    if own.help:
        print(parser.format_help())
        if rest:
            read_config([*rest, "--help"])  # prints the fields, and ends
        return
    config = read_config(rest)
    if own.embeddings:
        config = with_embeddings(config, own.embeddings)
    if own.dry_run:
        dry_run(config)
    else:
        train(config, allow_change=own.allow_change, profiled=own.profile)


def with_embeddings(config: RunConfig, path: str) -> RunConfig:
    """The same run, which reads what `zeroseg embed` wrote of its teacher.

    Raises InputError for a method without a teacher.
    """
    method = config.method
    if not isinstance(method, Distillation):
        raise InputError(f"--embeddings: {type(method).__name__} has no teacher, leave it out")
    teacher = CachedTeacher(path=path, clip=method.teacher.clip, grids=method.teacher.grids)
    return dataclasses.replace(config, method=dataclasses.replace(method, teacher=teacher))


def _parser() -> argparse.ArgumentParser:
    """What is said beside the config's fields."""
    parser = argparse.ArgumentParser(
        prog="zeroseg train",
        usage="zeroseg train CONFIG [--FIELD VALUE ...] [options]",
        description="CONFIG: a file of configs/, or a run's config.json.",
        epilog="zeroseg train CONFIG --help names the fields of that config too.",
        add_help=False,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--embeddings", metavar="FOLDER", default="", help="that `zeroseg embed` wrote")
    add("--dry-run", action="store_true", help="two steps, and what to expect of the rest")
    add("--profile", action="store_true", help="write a trace of steps 3 to 5, and train on")
    add(
        "--allow-change",
        metavar="FIELD",
        action="append",
        default=[],
        help="may differ from the checkpoint's config; once for each field",
    )
    add("-h", "--help", action="store_true", help="show this")
    return parser


if __name__ == "__main__":
    record(command)(["train", *sys.argv[1:]])  # torchrun's summary then names the traceback
