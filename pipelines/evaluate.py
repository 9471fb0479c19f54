"""Score a trained student on a benchmark.

    zeroseg evaluate runs/x --benchmark voc21 --shards 'data/voc/val-*.tar' \\
        --protocol.background-threshold 0.95
    accelerate launch -m pipelines.evaluate runs/x --benchmark ...
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from zeroseg.data.batch import Batch
from zeroseg.data.benchmarks import Benchmark, benchmark_named
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.data.shard_cache import ShardCache
from zeroseg.data.shard_set import open_set
from zeroseg.evaluation.evaluate import Protocol, Scores, evaluate
from zeroseg.evaluation.examples import examples
from zeroseg.evaluation.segmenters import Student
from zeroseg.models import load
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import templates_named
from zeroseg.models.zeroseg import Readout
from zeroseg.training.processes import joined


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is scored, on what, and how."""

    model: Annotated[Path, tyro.conf.Positional]
    """Run folder, or its `model` folder."""
    benchmark: str
    """A name in `zeroseg.BENCHMARKS`."""
    shards: str
    """Labelled shards."""
    readout: Readout = "segments"
    batch_size: int = 16
    protocol: Protocol = field(default_factory=Protocol)
    examples: int = 8
    """Pictures kept for the report."""


def write_examples(
    folder: Path,
    segmenter: Student,
    batches: Iterable[Batch],
    benchmark: Benchmark,
    class_embeddings: Float[Tensor, "class embed"],
    protocol: Protocol,
    count: int,
) -> None:
    """Write the first rows of `examples`, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = examples(segmenter, batches, benchmark, class_embeddings, protocol)
    for key, row in itertools.islice(rows, count):
        Image.fromarray(row).save(folder / f"{key}.png".replace("/", "_"))


def write_scores(folder: Path, name: str, scores: Scores, protocol: Protocol) -> None:
    """Keep scores together with the protocol that made them."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": name, "scores": scores.to_json(), "protocol": dataclasses.asdict(protocol)}
    slug = "".join(c if c.isalnum() else "-" for c in name)
    fresh = folder / f"{scores.benchmark}-{slug}.new"
    fresh.write_text(json.dumps(content, indent=2))
    fresh.rename(fresh.with_suffix(".json"))


def run(config: EvaluateConfig) -> Scores:
    """Evaluate and write `results/` and `examples/` into the run folder."""
    benchmark, templates = (
        benchmark_named(config.benchmark),
        templates_named(config.protocol.templates),
    )
    shards = open_set(config.shards, ShardCache())
    model, teacher = load(config.model)
    accelerator = joined("no")
    clip = CLIP(teacher, accelerator.device)
    model.to(accelerator.device)
    embeddings = clip.class_embeddings(benchmark.names, templates)
    segmenter = Student(model, config.readout, config.protocol.logit_scale)

    def batches(rank: int, world_size: int) -> Iterable[Batch]:
        return evaluation_batches(
            shards,
            short_side=config.protocol.short_side,
            multiple=model.config.patch_size,
            batch_size=config.batch_size,
            rank=rank,
            world_size=world_size,
        )

    bar = tqdm(
        batches(accelerator.process_index, accelerator.num_processes),
        desc=benchmark.name,
        unit="batch",
        disable=not accelerator.is_main_process,
    )
    scores = evaluate(segmenter, iter(bar), benchmark, embeddings, config.protocol, accelerator)
    if accelerator.is_main_process:
        folder = config.model.parent if config.model.name == "model" else config.model
        write_scores(folder / "results", f"student {config.readout}", scores, config.protocol)
        place = folder / "examples" / benchmark.name
        write_examples(
            place,
            segmenter,
            batches(0, 1),
            benchmark,
            embeddings,
            config.protocol,
            config.examples,
        )
        print(f"{benchmark.name}: mIoU {100 * scores.miou:.1f} over {scores.images} images")
        for skipped in scores.skipped:
            print(f"skipped {skipped}", file=sys.stderr)
    accelerator.end_training()
    return scores


def main(arguments: Sequence[str]) -> None:
    """Read the command line and evaluate."""
    run(tyro.cli(EvaluateConfig, args=arguments, prog="zeroseg evaluate"))


if __name__ == "__main__":
    main(sys.argv[1:])
