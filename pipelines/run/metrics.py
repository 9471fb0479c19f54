"""Metrics of a run: a row for metrics.jsonl, the trackers and the progress bar."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm import tqdm

from pipelines.run.folder import RunFolder
from zeroseg.config import RunConfig
from zeroseg.errors import InputError
from zeroseg.training.meter import Meter
from zeroseg.training.objective import Step
from zeroseg.training.optimization import Optimization
from zeroseg.training.state import TrainingState

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
class Metrics:
    """What is measured of a run, and where it is written."""

    config: RunConfig
    accelerator: Accelerator
    state: TrainingState
    optimization: Optimization
    folder: RunFolder
    meter: Meter
    peak: float
    """FLOP/s of one device."""
    flops: float | None = None
    """FLOPs of an image's share of a step. None if unknown."""

    def log(self, step: int, made: Step, rate: float) -> dict[str, str]:
        """Write a row of metrics; return what the progress bar shows. Waits for the device."""
        self.note_skipped()
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

    def _reading(self) -> dict[str, float]:
        """Where the data is, and what could not be had of it, over all processes."""
        lost, position = self.state.lost(), self.state.stream.position
        counts = {f"lost/{cause}": float(n) for cause, n in sorted(lost.items())}
        return {
            "epoch": position.epoch,
            "left_out": position.left_out,
            "lost": lost.total(),
        } | counts

    def note_skipped(self) -> None:
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


def shown(row: Mapping[str, float]) -> dict[str, str]:
    """What a progress bar has room for; losses of images and steps only where there are any."""
    return {
        label: form.format(row[name])
        for name, (label, form) in PROGRESS.items()
        if name in row and (row[name] or name not in ("lost", "skipped_steps"))
    }
