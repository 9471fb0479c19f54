"""Train a model, or go on where its run folder says that it stopped.

zeroseg train configs/quickstart.py --steps 100
zeroseg train configs/quickstart.py --embeddings FOLDER     # that `zeroseg embed` wrote
zeroseg train configs/quickstart.py --dry-run               # two steps, and what to expect of the rest
accelerate launch -m pipelines.train configs/quickstart.py  # or torchrun, or srun: docs/distributed.md
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro
from torch.distributed.elastic.multiprocessing.errors import record  # noqa: TID251  torchrun's own

from pipelines.cli import main as zeroseg
from pipelines.command_line import read
from pipelines.run.dry_run import dry_run
from pipelines.run.loop import train
from zeroseg.config import RunConfig, read_config
from zeroseg.errors import InputError
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.methods.distillation import Distillation
from zeroseg.training.teacher import CachedTeacher


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is said of a run beside its config."""

    config: tyro.conf.Positional[str]
    """A file of configs/, or a run's config.json; named first, it has its fields shown here too."""
    embeddings: str = ""
    """Folder or URL that `zeroseg embed` wrote, to take in place of the teacher."""
    dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
    """Two steps, and what to expect of the rest."""
    profile: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write a trace of steps 3 to 5, and train on."""
    allow_change: tuple[str, ...] = ()
    """Fields that may differ from the checkpoint's config."""


@dataclass(frozen=True, kw_only=True)
class Command(Options):
    """All that the command line says."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]


def read_command(
    arguments: Sequence[str], methods: Sequence[type[MethodConfig]] = METHODS
) -> Command:
    """CONFIG first, then options over its fields, `--method.teacher.views.grids 1 2`, and over `Options`.

    `methods` are those that a `config.json` may name. Raises InputError as `read_config` does.
    """
    if not arguments or arguments[0].startswith("-"):
        if asked := [a for a in arguments if a in {"-h", "--help"}]:
            read(Options, asked, "zeroseg train", __doc__)
        raise InputError("name the config first: zeroseg train CONFIG --steps 100 ...")
    default = Command(config=tyro.MISSING, run=read_config(arguments[0], methods))
    return read(Command, arguments, "zeroseg train", __doc__, default=default)


def main(arguments: Sequence[str]) -> None:
    """Read the command line and train."""
    command = read_command(arguments)
    config = command.run
    if command.embeddings:
        config = with_embeddings(config, command.embeddings)
    if command.dry_run:
        dry_run(config)
    else:
        train(config, allow_change=command.allow_change, profiled=command.profile)


def with_embeddings(config: RunConfig, path: str) -> RunConfig:
    """The same run, which reads what `zeroseg embed` wrote of its teacher.

    Raises InputError for a method without a teacher.
    """
    method = config.method
    if not isinstance(method, Distillation):
        raise InputError(f"--embeddings: {type(method).__name__} has no teacher, leave it out")
    of = method.teacher
    teacher = CachedTeacher(path=path, clip=of.clip, views=of.views, dense=of.dense)
    return dataclasses.replace(config, method=dataclasses.replace(method, teacher=teacher))


if __name__ == "__main__":
    record(zeroseg)(["train", *sys.argv[1:]])  # torchrun's summary then names the traceback
