"""Score a student, or a CLIP that was never trained to segment, on a benchmark, zero-shot.

    zeroseg evaluate runs/x --benchmark voc21 --shards data/voc/val
    zeroseg evaluate runs/x --benchmark voc21 --shards data/voc/val --protocol.name honest \\
        --held-out data/coco/val --held-out-benchmark coco-object
    zeroseg evaluate clip:ViT-B-16:openai:sclip --benchmark voc21 --shards data/voc/val \\
        --protocol.name sclip
    torchrun --nproc-per-node 8 -m pipelines.evaluate runs/x --benchmark ...

Stopped? The same command goes on with the images that are not counted yet.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from accelerate import Accelerator

from pipelines.run.folder import code
from pipelines.scoring.counting import counted
from pipelines.scoring.result_files import print_scores, result_path, write_examples, write_result
from pipelines.scoring.subjects import Subject, subject_of
from zeroseg.datasets.benchmarks import Benchmark, benchmark_named
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import Protocol, protocol_named
from zeroseg.evaluation.results import Result, fingerprint, result_of
from zeroseg.evaluation.scores import threshold_curve
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task, task_for, wording
from zeroseg.models.zeroseg import Readout
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set
from zeroseg.store.storage import remove
from zeroseg.training.processes import make_accelerator

SWEEP = (*(i / 100 for i in range(100)), 0.995, 0.999, 0.9999, 1.0)
"""Background thresholds of the curve; finer at the end, where a softmax of scale 100 saturates."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is scored, on what, and how."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, model folder in one, or `clip:ARCH:WEIGHTS:METHOD` without any training."""
    benchmark: str
    """A name in `zeroseg.BENCHMARKS`."""
    shards: str
    """Labelled shards, of `zeroseg shards build`."""
    protocol: Protocol = field(default_factory=Protocol)
    """`--protocol.name` takes one of `zeroseg.PROTOCOLS`; other options change single fields."""
    held_out: str = ""
    """Labelled shards of other data, for a protocol whose threshold is chosen there."""
    held_out_benchmark: str = ""
    """Theirs."""
    readout: Readout = "segments"
    """Of a student."""
    limit: int | None = None
    """Only the first so many images: for a look."""
    boundary: bool = False
    """Boundary IoU too."""
    examples: int = 9
    """Pictures kept for the report: best, median and worst images."""
    batch_size: int = 16
    output: Path | None = None
    """Where `results/` and `examples/` go; by default into the run folder."""
    register: str = ""
    """Of a CLIP, as in `CLIPConfig`: a Python file that makes its architecture known."""
    mean: tuple[float, float, float] | None = None
    """Of a CLIP, as in `CLIPConfig`."""
    std: tuple[float, float, float] | None = None
    """Of a CLIP, as in `CLIPConfig`."""


@dataclass(frozen=True)
class Evaluation:
    """Everything that was checked before the first image is scored."""

    config: EvaluateConfig
    accelerator: Accelerator
    subject: Subject
    folder: Path
    parts: set[Path] = field(default_factory=set)
    """Folders of what is counted so far."""

    def tally(
        self, shards: ShardSet, task: Task, thresholds: Sequence[float], limit: int | None
    ) -> Tally:
        """Counts of a set, continued where an earlier call was stopped."""
        scale = task.protocol.model_scale
        return counted(
            self._parts(shards, task, thresholds, limit),
            self.subject.segmenter(scale),
            shards,
            task,
            self.accelerator,
            batch_size=self.config.batch_size,
            images=limit,
            thresholds=tuple(thresholds),
            boundary=self.config.boundary,
        )

    def chosen_threshold(self, shards: ShardSet, benchmark: Benchmark) -> float:
        """The background threshold with the highest mean IoU on held-out data."""
        task = task_for(self.subject.clip, benchmark, self.config.protocol, SWEEP[0])
        curve = threshold_curve(self.tally(shards, task, SWEEP, None), task.protocol.absent)
        assert curve is not None
        return curve.maximum.threshold

    def write(self, result: Result, tally: Tally, shards: ShardSet, task: Task) -> None:
        """Result, pictures and a table; then what the evaluation went on from is not needed."""
        path = result_path(self.folder, result)
        write_result(path, result, tally)
        segmenter = self.subject.segmenter(task.protocol.model_scale)
        write_examples(self.folder, segmenter, shards, task, result, self.config.examples)
        print_scores(result)
        print(path)
        for folder in self.parts:
            remove(str(folder))

    def _parts(
        self, shards: ShardSet, task: Task, thresholds: Sequence[float], limit: int | None
    ) -> Path:
        """A folder that no other evaluation shares."""
        about = {
            "model": self.subject.identity,
            "benchmark": dataclasses.asdict(task.benchmark) | {"unseen": None},
            "shards": [*shards.urls, *shards.digests, *map(str, shards.counts)],
            "protocol": dataclasses.asdict(task.protocol),
            "threshold": task.threshold,
            "thresholds": list(thresholds),
            "limit": limit,
            "boundary": self.config.boundary,
            "code": code(),
        }
        folder = self.folder / "results" / f".counting-{fingerprint(about)}"
        self.parts.add(folder)
        return folder


def run(config: EvaluateConfig) -> Result:
    """Evaluate, and write `results/` and `examples/` into the folder; return the result.

    Raises InputError before anything is scored when model, data, protocol and benchmark do not fit.
    """
    shards, held_out = open_set(config.shards, ShardCache()), held_out_set(config)
    benchmark = benchmark_named(config.benchmark).on(shards.classes)
    if held_out and set(shards.urls) & set(held_out[0].urls):
        raise InputError("--held-out names shards of --shards: choose a threshold on other data")
    stated = SWEEP[0] if held_out else config.protocol.background_threshold
    wording(benchmark, config.protocol, stated)
    accelerator = make_accelerator("no")
    options = {"register": config.register, "mean": config.mean, "std": config.std}
    subject = subject_of(config.model, config.readout, accelerator.device, options)
    check_window(config.protocol, subject.segmenter(None).multiple)
    evaluation = Evaluation(config, accelerator, subject, config.output or subject.folder)
    threshold, chosen_on = None, None
    if held_out:
        threshold = evaluation.chosen_threshold(*held_out)
        chosen_on = f"{held_out[1].name}: {config.held_out}"
    task = task_for(subject.clip, benchmark, config.protocol, threshold)
    thresholds = SWEEP if task.threshold is not None else ()
    tally = evaluation.tally(shards, task, thresholds, config.limit)
    result = result_of(
        subject.name + (f", first {config.limit}" if config.limit else ""),
        subject.identity,
        task,
        config.shards,
        tally,
        chosen_on=chosen_on,
        code="{zeroseg}/{commit}".format(**code()),
    )
    if accelerator.is_main_process:
        evaluation.write(result, tally, shards, task)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return result


def check_window(protocol: Protocol, multiple: int) -> None:
    """Raises InputError when a segmenter cannot take the protocol's windows."""
    if protocol.window % multiple:
        raise InputError(
            f"protocol.window is {protocol.window}: this model takes multiples of {multiple}"
        )


def held_out_set(config: EvaluateConfig) -> tuple[ShardSet, Benchmark] | None:
    """The data a threshold is chosen on, where the protocol asks for it.

    Raises InputError when it is asked for and not given, or given and not asked for.
    """
    asked = config.protocol.threshold_from == "held-out"
    if asked != bool(config.held_out) or asked != bool(config.held_out_benchmark):
        wanted = "give --held-out and --held-out-benchmark" if asked else "leave --held-out out"
        raise InputError(
            f"protocol {config.protocol.name!r} takes a threshold "
            f"{'chosen on other data' if asked else 'that it states itself'}: {wanted}"
        )
    if not asked:
        return None
    benchmark = benchmark_named(config.held_out_benchmark)
    if not benchmark.background:
        raise InputError(
            f"--held-out-benchmark {benchmark.name!r} has no background class: no threshold can "
            "be chosen on it"
        )
    shards = open_set(config.held_out, ShardCache())
    return shards, benchmark.on(shards.classes)


def config_of(arguments: Sequence[str]) -> EvaluateConfig:
    """The command line over the named protocol's own values for the benchmark."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--benchmark")
    parser.add_argument("--protocol.name", dest="protocol", default=Protocol().name)
    known, _ = parser.parse_known_args(arguments)
    protocol = Protocol()
    if known.benchmark:
        protocol = protocol_named(known.protocol, benchmark_named(known.benchmark))
    default = EvaluateConfig(
        model=tyro.MISSING, benchmark=tyro.MISSING, shards=tyro.MISSING, protocol=protocol
    )
    return tyro.cli(EvaluateConfig, args=arguments, prog="zeroseg evaluate", default=default)


def main(arguments: Sequence[str]) -> None:
    """Read the command line and evaluate."""
    run(config_of(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
