"""Train and score the variants of docs/ablations.md, like the paper's Tables 3, 4 and 5.

    zeroseg ablate                               # every variant and seed; continues where it stopped
    zeroseg ablate --only 'composition*' --seeds 0

Scores are of the validation split, on which choices are made; the quickstart's test split is not
read. Several calls may share an output folder and divide the work with `--only`.
"""

import dataclasses
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from tqdm import tqdm

from configs.quickstart import config as DEFAULT
from configs.quickstart import method as METHOD
from configs.quickstart import teacher as TEACHER
from pipelines.command_line import read
from pipelines.quickstart import (
    READOUTS,
    QuickstartConfig,
    grouping,
    trained,
    write_data,
    write_embeddings,
)
from pipelines.run.job import accelerator_for
from pipelines.scoring.scenes import BATCH_SIZE, scenes_images
from zeroseg.config import RunConfig
from zeroseg.data.batch import Batch
from zeroseg.data.views import ViewSet
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import Task
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIP
from zeroseg.models.vit import ViT
from zeroseg.training.objectives import ZeroSegPaper
from zeroseg.training.optimization import Cosine

DECODER: dict[str, Any] = {"decoder_depth": 2, "decoder_width": 64, "decoder_heads": 2}
"""For reconstruction; the quickstart does without."""
PAPER = dataclasses.replace(
    METHOD,
    student=dataclasses.replace(
        METHOD.student,
        assignment="hard",
        cosine_assignment=False,
        token_std=0.02,
        patch_embeddings=False,
        **DECODER,
    ),
    losses=ZeroSegPaper(),
)
"""The paper's objective and grouping on the quickstart's student."""


@dataclass(frozen=True, kw_only=True)
class AblateConfig:
    """Which variants, how long, how large."""

    output: Path = Path("runs/ablations")
    seeds: tuple[int, ...] = (0, 1, 2)
    only: tuple[str, ...] = ("*",)
    """Shell patterns of variant names."""
    steps: int = 200
    width: int = 64
    """Of the student's trunk."""


class Variant(NamedTuple):
    """One row of the table."""

    method: Distillation
    run: RunConfig
    """All but the method."""


def variant(
    base: Variant,
    *,
    grids: tuple[int, ...] = TEACHER.views.grids,
    student: dict[str, Any] | None = None,
    batch_size: int | None = None,
    longer: int = 1,
    **losses: Any,
) -> Variant:
    """A variant that differs from another in the named fields."""
    method, data = base.method, base.run.data
    return Variant(
        method=dataclasses.replace(
            method,
            teacher=dataclasses.replace(TEACHER, views=ViewSet(grids=grids)),
            student=dataclasses.replace(method.student, **(student or {})),
            losses=dataclasses.replace(method.losses, **losses),
        ),
        run=dataclasses.replace(
            base.run,
            steps=base.run.steps * longer,
            data=dataclasses.replace(data, batch_size=batch_size or data.batch_size),
        ),
    )


def variants(config: AblateConfig) -> dict[str, Variant]:
    """Every variant by name, in the order of the table."""
    trunk = ViT(patch_size=8, width=config.width, depth=4, num_heads=config.width // 32)
    size = {"trunk": trunk}
    run = dataclasses.replace(
        DEFAULT,
        data=dataclasses.replace(DEFAULT.data, shards=f"{config.output}/shards/train"),
        steps=config.steps,
        save_every=config.steps * 4,
        schedule=Cosine(warmup=config.steps // 10),
    )
    paper, ours = (variant(Variant(method, run), student=size) for method in (PAPER, METHOD))
    scales = {"1x1 + 2x2": (1, 2), "1x1 + 3x3": (1, 3), "1x1 + 4x4": (1, 4)}
    table = {
        "paper: 1x1, no matching (base)": variant(paper, grids=(1,), matching_weight=0.0),
        "paper: all grids, no matching (+ multi-scale)": variant(paper, matching_weight=0.0),
        "paper: all grids, no multi-scale (+ matching)": variant(paper, multi_scale=False),
        "paper: all grids, both": paper,
    }
    table |= {f"paper: {name}": variant(paper, grids=grids) for name, grids in scales.items()}
    table |= {
        "paper: mask 0 %": variant(paper, student={"mask_ratio": 0.0}),
        "paper: mask 30 %": variant(paper, student={"mask_ratio": 0.3}),
        "paper: soft assignment": variant(paper, student={"assignment": "soft"}),
        "paper: matching weight 0.1": variant(paper, matching_weight=0.1),
        "paper: matching weight 0.01": variant(paper, matching_weight=0.01),
        "paper: matching warm-up over half": variant(paper, matching_warmup=config.steps // 2),
        "paper: twice as long": variant(paper, longer=2),
        "paper: batch 64": variant(paper, batch_size=64),
        "composition: 1x1": variant(ours, grids=(1,)),
    }
    table |= {f"composition: {name}": variant(ours, grids=grids) for name, grids in scales.items()}
    table |= {
        "composition: all grids": ours,
        "composition: mask 0 %": variant(ours, student={"mask_ratio": 0.0}),
        "composition: mask 30 %": variant(ours, student={"mask_ratio": 0.3}),
        "composition: hard assignment": variant(ours, student={"assignment": "hard"}),
        "composition: no agreement": variant(ours, agreement_weight=0.0),
        "composition: no patch term": variant(ours, patches_weight=0.0),
        "composition: patch term alone": variant(
            ours, composition_weight=0.0, agreement_weight=0.0
        ),
        "composition: L1": variant(ours, distance="l1"),
        "composition: with reconstruction": variant(ours, student=DECODER),
    }
    return table


def run_one(
    method: Distillation,
    config: RunConfig,
    validation: Sequence[Batch],
    task: Task,
    accelerator: Accelerator,
) -> dict[str, float]:
    """Train one variant and score it on the validation split."""
    model = trained(dataclasses.replace(config, method=method))
    row = grouping(model, validation)
    for readout in READOUTS:
        if readout in method.readouts:
            scores = evaluate(Student(model, readout), validation, task, accelerator)
            row[readout] = 100 * scores.miou
    return row


def ablate(config: AblateConfig) -> str:
    """Run what is missing and return the table of all that is there."""
    shards = write_data(QuickstartConfig(output=config.output))
    accelerator = accelerator_for(DEFAULT)
    embeddings = write_embeddings(shards, TEACHER)
    clip = CLIP(TEACHER.clip, accelerator.device)
    images = scenes_images(shards, "val", DEFAULT.data.cache)
    validation = list(images.batches(METHOD.model().trunk.patch_size, batch_size=BATCH_SIZE))
    task = images.task(clip)
    table = variants(config)
    chosen = [n for n in table if any(fnmatchcase(n, pattern) for pattern in config.only)]
    jobs = [(n, s) for s in config.seeds for n in chosen]
    for name, seed in tqdm(jobs, desc="variants", unit="run"):
        folder = config.output / "".join(c if c.isalnum() else "-" for c in f"{name}-{seed}")
        record = folder / "row.json"
        if record.is_file():
            continue
        method, run = table[name]
        teacher = dataclasses.replace(embeddings, views=method.teacher.views)
        method = dataclasses.replace(method, teacher=teacher)
        run = dataclasses.replace(run, seed=seed, output=folder)
        row = run_one(method, run, validation, task, accelerator)
        record.write_text(json.dumps({"variant": name, "seed": seed} | row))
    return summary(config.output, list(table))


def summary(output: Path, order: Sequence[str]) -> str:
    """Markdown table of every row in the folder: mean and range over seeds."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for file in output.glob("*/row.json"):
        row = json.loads(file.read_text())
        rows.setdefault(row["variant"], []).append(row)
    figures = ("segments_used", "largest_share", "entropy")
    columns = (*READOUTS, *(f"grouping/{name}" for name in figures))
    heads = (c.rpartition("/")[2].replace("_", " ") for c in columns)
    lines = [f"| variant | seeds | {' | '.join(heads)} |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for name in (n for n in order if n in rows):
        cells = [_cell([r[c] for r in rows[name] if c in r], c in READOUTS) for c in columns]
        lines.append(f"| {name} | {len(rows[name])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: list[float], is_score: bool) -> str:
    if not values:
        return "-"
    if not is_score:
        return f"{statistics.mean(values):.2f}"
    return f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main(arguments: Sequence[str]) -> None:
    """Read the command line and run."""
    print(ablate(read(AblateConfig, arguments, "zeroseg ablate", __doc__)))


if __name__ == "__main__":
    main(sys.argv[1:])
