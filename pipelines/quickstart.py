"""The main job on the embedded default: shards, embeddings, distillation, zero-shot scores, a report.

    zeroseg quickstart                    # one student, minutes on two cores
    zeroseg quickstart --seeds 0 1 2      # three students, for the spread

Continues where it was stopped. Everything is chosen on the validation split; the printed scores
are of the test split, which nothing else reads.
"""

import dataclasses
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm import tqdm

from configs.quickstart import config as STUDENT
from configs.quickstart import teacher as TEACHER
from pipelines.embed import EmbedConfig, embed
from pipelines.evaluate import write_examples, write_scores
from pipelines.job import accelerator_for
from pipelines.report import markdown, report
from pipelines.train import train
from shards import scenes
from shards.build import Limits, build
from zeroseg.config import RunConfig
from zeroseg.data.batch import Batch
from zeroseg.data.benchmarks import SCENES, SCENES_OBJECTS
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.data.shard_cache import ShardCache
from zeroseg.data.shard_set import open_set
from zeroseg.evaluation.evaluate import Protocol, Scores, evaluate, sweep
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.segmenters import DenseCLIP, GridCells, Student
from zeroseg.evaluation.watching import Watch
from zeroseg.models import load
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import TEMPLATES
from zeroseg.models.zeroseg import Readout, ZeroSeg
from zeroseg.training.objectives import grouping_health
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher

PROTOCOL = Protocol(short_side=scenes.SIZE, window=0, templates="bare")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Candidate background thresholds; one is chosen for each segmenter on the validation split."""
READOUTS: tuple[Readout, ...] = ("segments", "patches", "combined")


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig:
    """Where it goes and how large it is; the defaults are the documented ones."""

    output: Path = Path("runs/quickstart")
    seeds: tuple[int, ...] = (0,)
    """One student each."""
    train_images: int = scenes.TRAIN.images
    validation_images: int = scenes.VALIDATION.images
    test_images: int = scenes.TEST.images
    steps: int = STUDENT.steps
    fresh: bool = False
    """Delete what an earlier call left, instead of continuing it."""


class Examination:
    """Scores any segmenter on the scenes: thresholds from validation, scores from test."""

    def __init__(self, shards: Path, clip: CLIP, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.validation, self.test = (self._read(shards, s) for s in ("val", "test"))
        templates = TEMPLATES[PROTOCOL.templates]
        self.embeddings = {
            b.name: clip.class_embeddings(b.names, templates) for b in (SCENES, SCENES_OBJECTS)
        }

    def _read(self, shards: Path, split: str) -> list[Batch]:
        opened, multiple = open_set(f"{shards}/{split}", ShardCache()), STUDENT.model.patch_size
        batches = evaluation_batches(
            opened, short_side=scenes.SIZE, multiple=multiple, batch_size=25
        )
        return list(batches)

    def scores(self, segmenter: Segmenter, batches: Sequence[Batch]) -> Scores:
        """Scores over all classes of the scenes."""
        embeddings = self.embeddings[SCENES.name]
        return evaluate(segmenter, batches, SCENES, embeddings, PROTOCOL, self.accelerator)

    def object_scores(self, segmenter: Segmenter) -> tuple[Scores, Protocol]:
        """Test scores over objects and background, at the threshold that validation prefers."""
        benchmark, embeddings = SCENES_OBJECTS, self.embeddings[SCENES_OBJECTS.name]
        tried = sweep(
            segmenter,
            self.validation,
            benchmark,
            embeddings,
            PROTOCOL,
            self.accelerator,
            THRESHOLDS,
        )
        chosen = max(zip(tried, THRESHOLDS, strict=True), key=lambda pair: pair[0].miou)[1]
        protocol = dataclasses.replace(PROTOCOL, background_threshold=chosen)
        return evaluate(
            segmenter, self.test, benchmark, embeddings, protocol, self.accelerator
        ), protocol

    def write(self, name: str, segmenter: Segmenter, run: Path) -> dict[str, float]:
        """Score on the test split, keep the results in the run folder, return the table's row."""
        scores = self.scores(segmenter, self.test)
        objects, protocol = self.object_scores(segmenter)
        write_scores(run / "results", name, scores, PROTOCOL)
        write_scores(run / "results", name, objects, protocol)
        split = (scores.seen_miou, scores.unseen_miou, scores.hiou)
        values = (scores.miou, *(v or 0.0 for v in split), objects.miou)
        columns = ("mIoU", "seen", "unseen", "hIoU", "objects + background")
        return dict(zip(columns, (100 * v for v in values), strict=True))


@torch.no_grad()
def health(model: ZeroSeg, batches: Sequence[Batch]) -> dict[str, float]:
    """Mean grouping health over images, as the student answers."""
    rows = [(len(b.keys), grouping_health(model.segment(b.pixels).assignment)) for b in batches]
    images = sum(count for count, _ in rows)
    return {k: sum(n * float(row[k]) for n, row in rows) / images for k in rows[0][1]}


def baselines(clip: CLIP, model: ZeroSeg) -> dict[str, Segmenter]:
    """What the trained student has to beat."""
    return {
        "untrained student, segments": Student(model, "segments"),
        "untrained student, patches": Student(model, "patches"),
        "one label for the whole image": GridCells(clip, 1),
        "2x2 cells named by their views": GridCells(clip, 2),
        "3x3 cells named by their views": GridCells(clip, 3),
        "4x4 cells named by their views": GridCells(clip, 4),
        "dense teacher, whole image": DenseCLIP(clip, 1),
        "dense teacher, 2x2 crops": DenseCLIP(clip, 2),
        "dense teacher, 3x3 crops": DenseCLIP(clip, 3),
    }


def write_data(config: QuickstartConfig) -> Path:
    """Write the three splits, or what is missing of them; return their folder."""
    folder, limits = config.output / "shards", Limits(images_per_shard=500)
    sizes = {
        "train": config.train_images,
        "val": config.validation_images,
        "test": config.test_images,
    }
    for split, images in sizes.items():
        build(scenes.scenes(split, images), str(folder / split), limits)
    return folder


def write_embeddings(shards: Path, teacher: OnlineTeacher) -> CachedTeacher:
    """Embed the training split, or what is missing of it; return the teacher that reads it."""
    folder = str(shards / "train-embeddings")
    data = STUDENT.data
    embed(
        EmbedConfig(
            shards=str(shards / "train"),
            output=folder,
            teacher=teacher.clip,
            grids=teacher.grids,
            crops=data.crops,
            side=data.view_side,
            workers=0,
        )
    )
    return CachedTeacher(path=folder, clip=teacher.clip, grids=teacher.grids)


def student_config(config: QuickstartConfig, teacher: CachedTeacher, seed: int) -> RunConfig:
    """The training run of one seed."""
    shards = f"{config.output}/shards"
    watch = Watch(
        shards=f"{shards}/val",
        benchmark=SCENES.name,
        every=max(1, config.steps // 4),
        readout="combined",
        protocol=PROTOCOL,
    )
    return dataclasses.replace(
        STUDENT,
        seed=seed,
        teacher=teacher,
        steps=config.steps,
        save_every=max(1, config.steps // 4),
        data=dataclasses.replace(STUDENT.data, shards=f"{shards}/train"),
        watch=watch,
        output=config.output / f"student-{seed}",
    )


def trained(run: RunConfig) -> ZeroSeg:
    """Train a student, or take the one that an earlier call finished or began."""
    if not (run.output / "model").is_dir():
        train(run)
    return load(run.output)[0]


def quickstart(config: QuickstartConfig) -> dict[str, list[dict[str, float]]]:
    """Do it all; return the table: a row per segmenter and seed."""
    begun = time.monotonic()
    if config.fresh:
        shutil.rmtree(config.output, ignore_errors=True)
    shards = write_data(config)
    accelerator = accelerator_for(STUDENT)
    teacher = write_embeddings(shards, TEACHER)
    models = {s: trained(student_config(config, teacher, s)) for s in config.seeds}
    clip = CLIP(TEACHER.clip, accelerator.device)
    examination = Examination(shards, clip, accelerator)
    set_seed(config.seeds[0])
    others = baselines(clip, ZeroSeg(STUDENT.model).eval())
    rows: dict[str, list[dict[str, float]]] = {}
    jobs = [
        (f"student, {readout}", Student(model, readout), config.output / f"student-{seed}")
        for readout in READOUTS
        for seed, model in models.items()
    ]
    jobs += [
        (name, segmenter, config.output / "without-training") for name, segmenter in others.items()
    ]
    for name, segmenter, run in tqdm(jobs, desc="scores", unit="segmenter"):
        rows.setdefault(name, []).append(examination.write(name, segmenter, run))
    for seed, model in models.items():
        place = config.output / f"student-{seed}" / "examples" / SCENES.name
        embeddings = examination.embeddings[SCENES.name]
        student = Student(model, "combined")
        write_examples(place, student, examination.test, SCENES, embeddings, PROTOCOL, 10)
    runs = [config.output / f"student-{seed}" for seed in models] + [
        config.output / "without-training"
    ]
    page = report(runs, config.output / "report.html")
    grouping = [health(m, examination.test) for m in models.values()]
    summary = summarised(rows)
    (config.output / "scores.md").write_text(summary + "\n")
    print(
        f"\nZero-shot mIoU (%) on {config.test_images} held-out scenes, {len(models)} student(s):\n\n{summary}\n"
    )
    for key in grouping[0]:
        print(f"{key.replace('_', ' ')}: {statistics.mean(g[key] for g in grouping):.2f}")
    print(f"{page} written, {(time.monotonic() - begun) / 60:.1f} minutes in all")
    return rows


def summarised(rows: dict[str, list[dict[str, float]]]) -> str:
    """Markdown table: means over seeds, with the range where there are several."""
    columns = list(next(iter(rows.values()))[0])
    lines: list[tuple[str, list[float | None]]] = []
    for name, runs in rows.items():
        spread = f" ({min(r['mIoU'] for r in runs):.1f} to {max(r['mIoU'] for r in runs):.1f})"
        means: list[float | None] = [statistics.mean(r[c] for r in runs) for c in columns]
        lines.append((name + (spread if len(runs) > 1 else ""), means))
    return markdown(columns, lines)


def main(arguments: Sequence[str]) -> None:
    """Read the command line and run."""
    quickstart(tyro.cli(QuickstartConfig, args=arguments, prog="zeroseg quickstart"))


if __name__ == "__main__":
    main(sys.argv[1:])
