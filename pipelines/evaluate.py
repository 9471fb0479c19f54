"""Score a trained student on a benchmark.

    zeroseg evaluate runs/x --benchmark voc21 --shards 'data/voc/val-*.tar' \\
        --protocol.background-threshold 0.95
    accelerate launch -m pipelines.evaluate runs/x --benchmark ...
"""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from zeroseg.data.batch import Batch
from zeroseg.data.benchmarks import BENCHMARKS, IGNORE, Benchmark
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.data.shard_cache import ShardCache
from zeroseg.data.shard_set import open_set
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import Protocol, Scores, evaluate, mapped_labels
from zeroseg.evaluation.inference import label_map, slide
from zeroseg.evaluation.pictures import coloured, pixels, side_by_side, with_legend
from zeroseg.evaluation.segmenters import Student
from zeroseg.models import load
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import TEMPLATES
from zeroseg.models.zeroseg import Readout, ZeroSeg
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


def benchmark_named(name: str) -> Benchmark:
    """Look a benchmark up. Raises InputError naming those that exist."""
    if name not in BENCHMARKS:
        raise InputError(f"benchmark {name!r} is unknown: choose one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def templates_named(name: str) -> tuple[str, ...]:
    """Look prompt templates up. Raises InputError naming those that exist."""
    if name not in TEMPLATES:
        raise InputError(f"templates {name!r} are unknown: choose one of {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def examples(
    model: ZeroSeg,
    segmenter: Student,
    batches: Iterable[Batch],
    benchmark: Benchmark,
    class_embeddings: Float[Tensor, "class embed"],
    protocol: Protocol,
    folder: Path,
    count: int,
) -> None:
    """Write rows of pictures: image, truth, prediction, the student's segments."""
    folder.mkdir(parents=True, exist_ok=True)
    device = class_embeddings.device
    singles = ((b.to(device), i) for b in batches if b.keys for i in range(len(b.keys)))
    for _, (batch, i) in zip(range(count), singles, strict=False):
        image, labels = batch.pixels[i : i + 1], batch.labels
        assert labels is not None
        truth = mapped_labels(labels[i], benchmark, batch.keys)
        scores = slide(segmenter, image, class_embeddings, protocol.window, protocol.stride)
        shape = (truth.shape[0], truth.shape[1])
        prediction = label_map(scores, shape, protocol.background_threshold)[0]
        with torch.no_grad():
            assignment = model.segment(image).assignment
        rows = image.shape[2] // model.config.patch_size
        owners = label_map(assignment.unflatten(2, (rows, -1)), shape, None)[0]
        present = sorted({*truth.unique().tolist(), *prediction.unique().tolist()} - {IGNORE})
        row = side_by_side(
            [pixels(image[0]), coloured(truth), coloured(prediction), coloured(owners)]
        )
        legend = {c: benchmark.classes[c] for c in present}
        Image.fromarray(with_legend(row, legend)).save(
            folder / f"{batch.keys[i]}.png".replace("/", "_")
        )


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
        examples(
            model,
            segmenter,
            batches(0, 1),
            benchmark,
            embeddings,
            config.protocol,
            place,
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
