"""Choose on validation data what no training finds, and write it into the model.

    zeroseg choose runs/x --benchmark scenes --shards data/scenes/val --protocol.name scenes

How much of the trunk's training is kept, how far pictures are enlarged, how much of its context a patch
is given, how patches are assigned anew (by what segments then say), and which readout is the default: one
after the other, each at the best of those before it, by the hIoU where the benchmark has unseen classes and the mIoU where not. The model as it was trained stays
beside the chosen one, in `model-trained/`, and is what another call begins from.
"""

import dataclasses
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from pipelines.command_line import UNSET, read
from pipelines.report.table import markdown
from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import share
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.labelled import benchmark_on, open_labelled_set
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.scores import Scores
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import Task
from zeroseg.methods.choice import Choice, interpolated, started_trunk
from zeroseg.methods.distillation import Distillation
from zeroseg.methods.saved import ModelDescription, load, model_folder, save
from zeroseg.models.clip import CLIP
from zeroseg.models.zeroseg import ZeroSeg
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.storage import write_atomically
from zeroseg.training.processes import make_accelerator

RECORD = "choice.json"
"""Every value that was tried, with its scores; beside the model's folder."""


@dataclass(frozen=True, kw_only=True)
class ChooseConfig:
    """Which student, on what data, among which values; one value leaves nothing to choose."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, or model folder in one."""
    benchmark: str
    """A name in `zeroseg.BENCHMARKS`, a `.json` file, or `own`: the classes of the shards' manifest."""
    shards: str
    """Labelled shards of a validation split: never those that a table reports."""
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    """As in `zeroseg evaluate`."""
    interpolations: tuple[float, ...] = (1.0, 0.85, 0.7, 0.55, 0.4)
    """Shares of the trained trunk."""
    zooms: tuple[float, ...] = (1.0, 1.5, 2.0)
    regroupings: tuple[float, ...] = (0.0, 20.0)
    contexts: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.3, 0.0), (1.0, 0.0), (1.0, 1.0))
    """Shares of the image's own mean and of its quarter's."""
    batch_size: int = 16
    cache: ShardCache = field(default_factory=ShardCache)
    """Of remote shards."""


@dataclass
class Trial:
    """A trained student that can be tried at any choice."""

    method: Distillation
    model: ZeroSeg
    trained: dict[str, Tensor]
    start: dict[str, Tensor]
    batches: Sequence[Batch]
    task: Task
    accelerator: Accelerator
    rows: list[dict[str, Any]] = field(default_factory=list)

    def weights(self, choice: Choice) -> dict[str, Tensor]:
        """The student's weights at a choice."""
        return interpolated(self.trained, self.start, choice.interpolation)

    def score(self, choice: Choice) -> float:
        """The score that is maximised, of all that was tried first if it was tried before."""
        found = asked(choice)
        for row in self.rows:
            if {k: row[k] for k in found} == found:
                return row["score"]
        self.model.load_state_dict(self.weights(choice))
        self.model.config = choice.method(self.method).student
        student = Student(self.model, self._readout(choice))
        scores = evaluate(student, self.batches, self.task, self.accelerator)
        self.rows.append(found | _scores(scores))
        return self.rows[-1]["score"]

    def _readout(self, choice: Choice):
        names = self.method.readouts
        return next(name for name in names if name == (choice.readout or names[0]))


def asked(choice: Choice) -> dict[str, Any]:
    """What is varied."""
    return {k: v for k, v in dataclasses.asdict(choice).items() if k != "chosen_on"}


def _scores(scores: Scores) -> dict[str, float | None]:
    by = scores.miou if scores.hiou is None else scores.hiou
    names = ("miou", "seen_miou", "unseen_miou", "hiou")
    return {"score": by} | {name: getattr(scores, name) for name in names}


def candidates(config: ChooseConfig, method: Distillation) -> dict[str, Sequence[Any]]:
    """Values of each field of a choice, in the order in which they are chosen."""
    has_patches = "patches" in method.readouts
    found: dict[str, Sequence[Any]] = {
        "interpolation": config.interpolations,
        "zoom": config.zooms,
        "regrouping": config.regroupings if has_patches else (0.0,),
        "context": config.contexts if has_patches else ((0.0, 0.0),),
        "readout": method.readouts,
    }
    if empty := [name for name, values in found.items() if not values]:
        raise InputError(f"--{empty[0]}s has no value: name one at least")
    return found


def chosen(trial: Trial, values: dict[str, Sequence[Any]], first: Choice) -> Choice:
    """The best choice, one field after the other; of equals the value that is named first."""
    best = first
    with tqdm(desc="choices", total=sum(map(len, values.values())), unit="choice") as bar:
        for name, options in values.items():
            scores = {}
            # Only segments are another answer where patches are assigned anew.
            under: dict[str, Any] = {"readout": "segments"} if name == "regrouping" else {}
            for option in options:
                tried = dataclasses.replace(best, **under, **{name: option})
                scores[option] = trial.score(tried)
                bar.update()
            best = dataclasses.replace(best, **{name: max(scores, key=lambda o: scores[o])})
    return best


def choose(config: ChooseConfig) -> Choice:
    """Choose, write the model, and return what was chosen.

    Raises InputError when model, data and protocol do not fit, or the student started from scratch and
    an interpolation is asked for.
    """
    folder = model_folder(Path(config.model))
    kept = folder.with_name(f"{folder.name}-trained")
    description, model = load(kept if kept.is_dir() else folder)
    method = description.method
    if not isinstance(method, Distillation) or not isinstance(model, ZeroSeg):
        raise InputError(f"{folder} holds a {type(method).__name__}: there is nothing to choose")
    accelerator = make_accelerator("no")
    trial = _trial(config, method, description, model, accelerator)
    values = candidates(config, method)
    first = Choice(**{name: options[0] for name, options in values.items()})
    best = chosen(trial, values, first)
    best = dataclasses.replace(best, chosen_on=f"{trial.task.benchmark.name}: {config.shards}")
    if accelerator.is_main_process:
        _write(folder, kept, description, method, trial, best)
        print(table(trial.rows))
        print(f"{folder}: {', '.join(f'{k} {v}' for k, v in asked(best).items())}")
    accelerator.wait_for_everyone()
    return best


def _trial(
    config: ChooseConfig,
    method: Distillation,
    description: ModelDescription,
    model: ZeroSeg,
    accelerator: Accelerator,
) -> Trial:
    benchmark = benchmark_on(config.shards, config.benchmark, config.cache)
    protocol = config.protocol.on(benchmark)
    if protocol.threshold_from == "held-out":
        raise InputError(
            f"protocol {protocol.name!r} takes a threshold chosen on other data: set "
            "--protocol.background-threshold"
        )
    images = open_labelled_set(config.shards, benchmark, protocol, config.cache)
    images.check(model.trunk.patch_size)
    mine = share(images.shards.samples, accelerator.process_index, accelerator.num_processes)
    start = {}
    if any(value != 1 for value in config.interpolations):
        start = started_trunk(method, description.text)
    model.to(accelerator.device)
    task = images.task(CLIP(description.text, accelerator.device))
    batches = images.batches(model.trunk.patch_size, batch_size=config.batch_size, samples=mine)
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    start = {name: value.to(accelerator.device) for name, value in start.items()}
    return Trial(method, model, trained, start, list(batches), task, accelerator)


def _write(
    folder: Path,
    kept: Path,
    description: ModelDescription,
    method: Distillation,
    trial: Trial,
    best: Choice,
) -> None:
    """The record, then the model: where a kill falls between, the next call does both again."""
    if not kept.is_dir():
        beginning = kept.with_name(f".{kept.name}.writing")
        shutil.rmtree(beginning, ignore_errors=True)
        shutil.copytree(folder, beginning)
        beginning.rename(kept)
    record = {"chosen": dataclasses.asdict(best), "tried": trial.rows}
    write_atomically(str(folder.with_name(RECORD)), json.dumps(record, indent=1).encode())
    described = dataclasses.replace(description, method=best.method(method), choice=best)
    save(folder, described, trial.weights(best))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of what was tried, in percent."""
    names = ("miou", "seen_miou", "unseen_miou", "hiou")
    lines = []
    for row in rows:
        what = ", ".join(f"{k} {row[k]}" for k in asked(Choice()))
        lines.append((what, [None if row[n] is None else 100 * row[n] for n in names]))
    return markdown([name.replace("_", " ") for name in names], lines)


def main(arguments: Sequence[str]) -> None:
    """Read the command line and choose."""
    choose(read(ChooseConfig, arguments, "zeroseg choose", __doc__, *UNSET))


if __name__ == "__main__":
    main(sys.argv[1:])
