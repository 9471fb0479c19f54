"""What a run would be: everything built, two steps made, nothing written."""

import json
from datetime import datetime, timedelta

from accelerate.utils import set_seed

from pipelines.run.job import Job, accelerator_for, build_job
from zeroseg.config import RunConfig
from zeroseg.records import to_json


def dry_run(config: RunConfig) -> None:
    """Print the config, the sizes, and what the second of two steps says of speed and memory.

    Raises what training would raise before it starts or in its first steps.
    """
    accelerator = accelerator_for(config)
    job = build_job(config, accelerator)
    set_seed(config.seed, device_specific=True)
    job.model.train()
    batches = iter(job.state.stream)
    for step in range(2):  # the first also pays for what is done once
        job.metrics.rates()
        with job.metrics.meter.waiting():
            batch = next(batches).to(accelerator.device)
        if step == 0:
            job.count(batch)
        rate = config.schedule(0, peak=config.optimizer.learning_rate, total=config.steps)
        made = job.optimization(batch, step, rate)
        job.optimization.skipped()  # waits for the device
    rates = job.metrics.rates()
    parts = {k: float(v) for k, v in (made.losses | made.figures).items()}
    accelerator.print(json.dumps(to_json(config), indent=2))
    accelerator.print("\n".join(_lines(job, rates, parts)))
    accelerator.end_training()


def _lines(job: Job, rates: dict[str, float], losses: dict[str, float]) -> list[str]:
    config, processes = job.config, job.accelerator.num_processes
    each = config.data.batch_size // processes
    left = timedelta(seconds=round(rates["step_seconds"] * config.steps))
    plan = job.state.stream.plan
    epochs = config.steps * config.data.batch_size / len(plan.order(0))
    sizes = {
        name: sum(p.numel() for p in child.parameters())
        for name, child in job.state.model.named_children()
    }
    mfu = f"{rates['mfu']:.1%}" if "mfu" in rates else "not known,"
    return [
        "",
        f"parameters   {sum(sizes.values()) / 1e6:.2f} M: "
        + ", ".join(f"{name} {n / 1e6:.2f}" for name, n in sizes.items() if n),
        f"step         {config.data.batch_size} images = {processes} processes x "
        f"{each // job.optimization.passes} images x {job.optimization.passes} passes",
        f"data         {len(plan.order(0))} images, {epochs:.1f} epochs",
        f"speed        {rates['images_per_second']:.1f} images/s, "
        f"{rates['images_per_second_per_device']:.1f} a process, {rates['data_wait']:.0%} of it waiting for data",
        f"MFU          {mfu} of {job.metrics.peak / 1e12:.3g} TFLOP/s",
        f"memory       {rates['memory_gb']:.2f} GB a process",
        f"end          {left} after the start, {datetime.now() + left:%Y-%m-%d %H:%M} if it started now",
        "figures      " + ", ".join(f"{name} {value:.4g}" for name, value in losses.items()),
    ]
