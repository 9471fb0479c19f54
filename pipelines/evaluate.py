"""Score a student, or a CLIP that was never trained to segment, on a benchmark, zero-shot.

    zeroseg evaluate runs/x --benchmark voc21 --shards data/voc/val
    zeroseg evaluate runs/x --benchmark voc21 --shards data/voc/val --protocol.name honest \\
        --held-out data/coco/val --held-out-benchmark coco-object
    zeroseg evaluate clip:ViT-B-16:openai:sclip --benchmark voc21 --shards data/voc/val \\
        --protocol.name sclip
    zeroseg evaluate runs/x --readout combined --correction solve --benchmark voc20 \\
        --shards data/voc/val
    torchrun --nproc-per-node 8 -m pipelines.evaluate runs/x --benchmark ...

Stopped? The same command goes on with the images that are not counted yet.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pipelines.cli import main as zeroseg
from pipelines.command_line import UNSET, read
from pipelines.scoring.evaluation import Evaluation
from pipelines.scoring.models import evaluated_models
from pipelines.scoring.result_files import print_scores
from zeroseg.errors import InputError
from zeroseg.evaluation.corrected import CorrectedStudent
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.labelled import LabelledSet, benchmark_on, open_labelled_set
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.results import Result
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.processes import make_accelerator


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is scored, on what, and how."""

    model: Annotated[str, tyro.conf.Positional]
    """Run folder, model folder in one, or `clip:ARCH:WEIGHTS:METHOD` without any training."""
    benchmark: str
    """A name in `zeroseg.BENCHMARKS`, a `.json` file, or `own`: the classes of the shards' manifest."""
    shards: str
    """Labelled shards, of `zeroseg shards build`."""
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    """`--protocol.name` takes one of `zeroseg.PROTOCOLS`; other options change single fields."""
    held_out: str = ""
    """Labelled shards of other data, where a threshold or a correction is chosen."""
    held_out_benchmark: str = ""
    """Theirs."""
    readout: str = ""
    """How a trained model is read; empty takes its best by validation."""
    correction: Correction = field(default_factory=Correction)
    """Its teacher at test."""
    limit: int | None = None
    """Only the first so many images: for a look."""
    boundary: bool = False
    """Boundary IoU too."""
    examples: int = 9
    """Pictures kept for the report: best, median and worst images; 0 leaves those of earlier calls."""
    batch_size: int = 16
    output: Path | None = None
    """Where `results/` and `examples/` go; by default into the run folder."""
    cache: ShardCache = field(default_factory=ShardCache)
    """Of remote shards."""
    register: str = ""
    """Of a CLIP, as in `CLIPConfig`: a Python file that makes its architecture known."""
    mean: tuple[float, float, float] | None = None
    """Of a CLIP, as in `CLIPConfig`."""
    std: tuple[float, float, float] | None = None
    """Of a CLIP, as in `CLIPConfig`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of a CLIP, as in `CLIPConfig`."""


def run(config: EvaluateConfig, methods: Sequence[type[MethodConfig]] = METHODS) -> Result:
    """Evaluate, and write `results/` and `examples/` into the folder; return the result.

    `methods` are those that a saved model may be of. Raises InputError before anything is scored
    when model, data, protocol and benchmark do not fit.
    """
    benchmark = benchmark_on(config.shards, config.benchmark, config.cache)
    protocol = config.protocol.on(benchmark)
    images = open_labelled_set(config.shards, benchmark, protocol, config.cache)
    held_out = held_out_set(config, images)
    accelerator = make_accelerator("no")
    options = {name: getattr(config, name) for name in ("register", "mean", "std", "precision")}
    models = evaluated_models(
        config.model,
        config.readout,
        config.correction,
        accelerator.device,
        options,
        config.output,
        methods,
    )
    evaluation = Evaluation(
        images=images,
        held_out=held_out,
        accelerator=accelerator,
        batch_size=config.batch_size,
        limit=config.limit,
        boundary=config.boundary,
    )
    model, result = evaluation.score_best(models, config.examples)
    if accelerator.is_main_process:
        print_scores(result)
        if isinstance(model.segmenter, CorrectedStudent) and model.segmenter.cost.images:
            print(f"an image took: {model.segmenter.cost}")
        print(evaluation.file(model))
    accelerator.end_training()
    return result


def held_out_set(config: EvaluateConfig, images: LabelledSet) -> LabelledSet | None:
    """The data a threshold or a correction is chosen on, by the protocol of the images it is for; None where
    both are stated.

    Raises InputError when it is asked for and not given, or given and not asked for, or not other data.
    """
    threshold = images.protocol.threshold_from == "held-out"
    asked = threshold or config.correction.kind == "held-out"
    if asked != bool(config.held_out) or asked != bool(config.held_out_benchmark):
        wanted = "give --held-out and --held-out-benchmark" if asked else "leave --held-out out"
        raise InputError(
            f"protocol {images.protocol.name!r} takes a threshold "
            f"{'chosen on other data' if threshold else 'that it states itself'}, and --correction is "
            f"{config.correction.kind}: {wanted}"
        )
    if not asked:
        return None
    benchmark = benchmark_on(config.held_out, config.held_out_benchmark, config.cache)
    if threshold and not benchmark.background:
        raise InputError(
            f"--held-out-benchmark {benchmark.name!r} has no background class: no threshold can "
            "be chosen on it"
        )
    held_out = open_labelled_set(config.held_out, benchmark, images.protocol, config.cache)
    if set(images.shards.urls) & set(held_out.shards.urls):
        raise InputError("--held-out names shards of --shards: choose on other data")
    return held_out


def main(arguments: Sequence[str]) -> None:
    """Read the command line and evaluate."""
    run(read(EvaluateConfig, arguments, "zeroseg evaluate", __doc__, *UNSET))


if __name__ == "__main__":
    zeroseg(["evaluate", *sys.argv[1:]])
