"""The main job on the embedded default: shards, embeddings, distillation, choices on validation data,
zero-shot scores, a report.

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
from accelerate.utils import set_seed
from tqdm import tqdm

from configs.quickstart import config as STUDENT
from configs.quickstart import method as METHOD
from configs.quickstart import teacher as TEACHER
from pipelines.choose import ChooseConfig, choose
from pipelines.command_line import UNSET, read
from pipelines.embed import EmbedConfig, embed
from pipelines.report.page import report
from pipelines.run.job import accelerator_for
from pipelines.scoring.contenders import contenders
from pipelines.scoring.scenes import BATCH_SIZE, Row, ScenesTable, summarised
from pipelines.train import train
from shards import scenes
from shards.build import Limits, build
from zeroseg.config import RunConfig
from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.segmenters import (
    Student,
)
from zeroseg.evaluation.watching import Watch
from zeroseg.methods.saved import load
from zeroseg.models.clip import CLIP
from zeroseg.models.zeroseg import ZeroSeg
from zeroseg.training.losses import grouping_figures
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher

SHOWN = 9
"""Pictures of each student."""
INTERPOLATIONS = (1.0, 0.85, 0.7, 0.55)
ZOOMS = (1.5,)
CONTEXTS = ((0.0, 0.0), (0.3, 0.0))
"""Among these a student's values are chosen; the first are those of training."""


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


@torch.no_grad()
def grouping(model: ZeroSeg, batches: Sequence[Batch]) -> dict[str, float]:
    """How segments divide the images, mean over them, as the student answers."""
    rows = [(len(b.keys), grouping_figures(model.segment(b.pixels).assignment)) for b in batches]
    images = sum(count for count, _ in rows)
    return {k: sum(n * float(row[k]) for n, row in rows) / images for k in rows[0][1]}


def write_data(config: QuickstartConfig) -> Path:
    """Write the three splits, or what is missing of them; return their folder."""
    folder, limits = config.output / "shards", Limits(images_per_shard=500)
    sizes = {
        "train": config.train_images,
        "val": config.validation_images,
        "test": config.test_images,
    }
    for split, images in sizes.items():
        build(scenes.Scenes(split, images).source(), str(folder / split), limits)
    return folder


def write_embeddings(shards: Path, teacher: OnlineTeacher) -> CachedTeacher:
    """Embed the training split, or what is missing of it; return the teacher that reads it."""
    folder = str(shards / "train-embeddings")
    method = METHOD
    embed(
        EmbedConfig(
            shards=str(shards / "train"),
            output=folder,
            teacher=teacher.clip,
            views=teacher.views,
            crops=method.crops,
            side=method.view_side,
            workers=0,
        )
    )
    return CachedTeacher(path=folder, clip=teacher.clip, views=teacher.views, dense=teacher.dense)


def student_config(config: QuickstartConfig, teacher: CachedTeacher, seed: int) -> RunConfig:
    """The training run of one seed."""
    shards = f"{config.output}/shards"
    watch = Watch(
        shards=f"{shards}/val",
        benchmark=SCENES.name,
        every=max(1, config.steps // 4),
        readout="combined",
        protocol=ProtocolConfig(name="scenes"),
    )
    return dataclasses.replace(
        STUDENT,
        seed=seed,
        method=dataclasses.replace(METHOD, teacher=teacher),
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
    model = load(run.output)[1]
    assert isinstance(model, ZeroSeg)
    return model


def chosen(run: RunConfig, shards: Path) -> ZeroSeg:
    """A trained student as it is after what training does not find was chosen on the validation split."""
    if load(run.output)[0].choice is None:
        asked = ChooseConfig(
            model=str(run.output),
            benchmark=SCENES.name,
            shards=f"{shards}/val",
            protocol=ProtocolConfig(name="scenes"),
            interpolations=INTERPOLATIONS,
            zooms=ZOOMS,
            contexts=CONTEXTS,
            batch_size=BATCH_SIZE,
        )
        choose(asked)
    model = load(run.output)[1]
    assert isinstance(model, ZeroSeg)
    return model


def quickstart(config: QuickstartConfig) -> dict[str, list[Row]]:
    """Do it all; return the table: a row per segmenter and seed."""
    begun = time.monotonic()
    if config.fresh:
        shutil.rmtree(config.output, ignore_errors=True)
    shards = write_data(config)
    accelerator = accelerator_for(STUDENT)
    teacher = write_embeddings(shards, TEACHER)
    runs = [student_config(config, teacher, seed) for seed in config.seeds]
    for run in runs:
        trained(run)
    students = {run.output: chosen(run, shards) for run in runs}
    set_seed(config.seeds[0])
    untrained = config.output / "without-training"
    clip = CLIP(TEACHER.clip, accelerator.device)
    table = ScenesTable.of(shards, STUDENT.data.cache, accelerator)
    rows: dict[str, list[Row]] = {}
    for contender in tqdm(contenders(students, clip, untrained), desc="scores", unit="segmenter"):
        alone = isinstance(contender.segmenter, Student)
        shown = SHOWN if contender.row == "student, patches" else 0
        scores = table.row(contender.model(clip), shown, background=alone)
        rows.setdefault(contender.row, []).append(scores)
    page = report([*students, untrained], config.output / "report.html")
    summary = summarised(rows)
    (config.output / "scores.md").write_text(summary + "\n", encoding="utf-8")
    print(f"\nZero-shot mIoU (%) on {config.test_images} held-out scenes, ", end="")
    print(f"{len(students)} student(s):\n\n{summary}\n")
    print_grouping(table, list(students.values()))
    print(f"{page} written, {(time.monotonic() - begun) / 60:.1f} minutes in all")
    return rows


def print_grouping(table: ScenesTable, students: Sequence[ZeroSeg]) -> None:
    """How segments divide the test images, mean over students."""
    multiple = students[0].trunk.patch_size
    test = list(table.everything.images.batches(multiple, batch_size=BATCH_SIZE))
    figures = [grouping(model, test) for model in students]
    for key in figures[0]:
        name = key.rpartition("/")[2].replace("_", " ")
        print(f"{name}: {statistics.mean(of[key] for of in figures):.2f}")


def main(arguments: Sequence[str]) -> None:
    """Read the command line and run."""
    quickstart(read(QuickstartConfig, arguments, "zeroseg quickstart", __doc__, *UNSET))


if __name__ == "__main__":
    main(sys.argv[1:])
