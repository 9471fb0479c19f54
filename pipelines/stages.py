"""Train in stages, each from what those before it made; go on where it was stopped.

zeroseg stages configs/scenes_zs3net.py
zeroseg stages configs/scenes_zs3net.py --output runs/seed-1 --seed 1
zeroseg stages configs/scenes_zs3net.py --only generator --generator.steps 400
zeroseg stages configs/scenes_zs3net.py --only seen --dry-run
torchrun --nproc-per-node 8 -m pipelines.stages configs/zs3net_voc.py

A stage that is done is left alone. One that was done with another config, or from another model, is an
error that names what differs.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

import tyro
from torch.distributed.elastic.multiprocessing.errors import record  # noqa: TID251  torchrun's own

from pipelines.cli import main as zeroseg
from pipelines.command_line import UNSET, read
from pipelines.run.dry_run import dry_run
from pipelines.run.stages import moved, run_stages
from zeroseg.config import RunConfig, Stage, read_stages
from zeroseg.errors import InputError
from zeroseg.training.processes import process_state


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is said beside the config."""

    config: tyro.conf.Positional[str]
    """A file of configs/ that defines `stages`; named first, it has their fields shown here too."""
    only: tuple[str, ...] = ()
    """Names of stages; the others are left as they are. By default all."""
    output: Path | None = None
    """Folder for the outputs of all stages, each in one of its name; by default where the config says."""
    seed: int | None = None
    """Of every training, in place of the config's."""
    dry_run: bool = False
    """Two steps of the one training that --only names, and what to expect of the rest."""


def stages_of(arguments: Sequence[str]) -> tuple[dict[str, Stage], Options]:
    """The stages that a command line describes, and what it says beside them.

    CONFIG first, then options over the fields of a stage, `--generator.data.batch-size 8`, and over
    `Options`. Raises InputError as `read_stages` does.
    """
    if not arguments or arguments[0].startswith("-"):
        if asked := [a for a in arguments if a in {"-h", "--help"}]:
            read(Options, asked, "zeroseg stages", __doc__)
        raise InputError("name the config first: zeroseg stages CONFIG --output runs/x ...")
    stages = read_stages(arguments[0])
    taken = {f.name for f in dataclasses.fields(Options)} & stages.keys()
    if taken:
        raise InputError(f"config {arguments[0]}: a stage cannot be called {taken.pop()!r}")
    fields: list[Any] = [(name, type(s), field(default=s)) for name, s in stages.items()]
    kind = make_dataclass("Stages", fields, bases=(Options,), frozen=True, kw_only=True)
    kind.__doc__ = "All that the command line says."
    command = read(kind, arguments, "zeroseg stages", __doc__, *UNSET)
    stages = {name: getattr(command, name) for name in stages}
    if command.output is not None:
        stages = moved(stages, command.output)
    return stages if command.seed is None else seeded(stages, command.seed), command


def seeded(stages: Mapping[str, Stage], seed: int) -> dict[str, Stage]:
    """The same with another seed of every training."""
    return {
        name: dataclasses.replace(stage, seed=seed) if isinstance(stage, RunConfig) else stage
        for name, stage in stages.items()
    }


def main(arguments: Sequence[str]) -> None:
    """Read the command line and run."""
    stages, options = stages_of(arguments)
    if options.dry_run:
        asked = [stages.get(name) for name in options.only]
        if len(asked) != 1 or not isinstance(asked[0], RunConfig):
            raise InputError("--dry-run: name one training, --only NAME")
        dry_run(asked[0])
        return
    processes = process_state(max(getattr(stage, "timeout", 0.0) for stage in stages.values()))
    run_stages(stages, options.only)
    processes.destroy_process_group()


if __name__ == "__main__":
    record(zeroseg)(["stages", *sys.argv[1:]])  # torchrun's summary then names the traceback
