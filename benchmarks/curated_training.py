"""What curation is worth to a student: a corpus of copies and a flood of one motif, whole, drawn and curated.

    uv run python -m benchmarks.curated_training --processes 1

Of 12,000 embedded scenes half are near copies of others, and four fifths of the rest hold the same three classes.
A student for each seed is trained in the same steps on everything, on a random third, on a third that `zeroseg
curate` leaves (`--duplicates 1 --balance N`), and on what it leaves by its default cosine (`--duplicates
--balance N`); each is read as was chosen on the validation split, and scored zero-shot on the test split, beside
readings of the teacher that train nothing. Goes on where it was stopped; another corpus or length belongs
into another output folder.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import tyro

from benchmarks.curated_corpus import FLOOD, FREQUENT, VARIED, corpus, pictures
from configs.quickstart import teacher as TEACHER
from pipelines.curate import curate
from pipelines.curation.config import COPY, CurateConfig
from pipelines.generalised.scoring import NOTHING, score, students, untrained_rows
from pipelines.generalised.side_by_side import Job, side_by_side
from pipelines.generalised.worlds import LIMITS, WORLDS
from pipelines.quickstart import (
    QuickstartConfig,
    chosen,
    student_config,
    trained,
    write_embeddings,
)
from pipelines.report.comparisons import counts_of
from pipelines.report.runs import RunResult, results_of
from pipelines.report.table import markdown
from shards import scenes
from shards.build import build
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.evaluation.bootstrap import paired_splits
from zeroseg.evaluation.metrics import class_ious, mean_over
from zeroseg.store.reader import ShardReader
from zeroseg.store.selection import (
    NAME,
    LeftOut,
    SelectedShard,
    read_left_out,
    read_selection,
    write_selection,
)
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.training.processes import make_accelerator

WORLD = WORLDS["scenes"]
VALIDATION_IMAGES = 100
"""On which a student's values are chosen."""
SPLITS: dict[str, Sequence[int]] = {
    "all classes": range(len(SCENES.classes)),
    "frequent": [i for i, name in enumerate(SCENES.classes) if name in FREQUENT],
    "rare": [i for i, n in enumerate(SCENES.classes) if n not in FREQUENT | SCENES.unseen],
    "unseen": [i for i, name in enumerate(SCENES.classes) if name in SCENES.unseen],
}
"""Classes by how often the corpus shows them; it never shows the unseen ones."""
EVERYTHING, DRAWN, CURATED, DEFAULT = (
    "everything",
    "random third",
    "curated third",
    "curated, default cosine",
)
PAIRS = tuple((curated, other) for curated in (CURATED, DEFAULT) for other in (DRAWN, EVERYTHING))
"""Rows that are compared: the first less the second."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How large it is, and where it goes."""

    images: int = 12_000
    """Of the corpus."""
    steps: int = 200
    """Of every training, of 16 images."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the trainings, and of both draws."""
    processes: int = 2
    """Trainings at a time, of one thread each."""
    output: Path = Path("runs/curated-training")

    @property
    def shards(self) -> Path:
        """The corpus in `train`, the scenes of `val` and `test`."""
        return self.output / "shards"

    def run(self, row: str, seed: int) -> Path:
        """The run folder of a row and a seed."""
        return self.output / f"{row.replace(', ', '-').replace(' ', '-')}-{seed}"

    def selection(self, row: str, seed: int) -> Path:
        """What the training of a row and a seed reads of the corpus."""
        return self.output / "selections" / self.run(row, seed).name


def prepare(config: BenchmarkConfig) -> None:
    """Write what trainings share, or what is missing of it: shards, embeddings, selections."""
    build(corpus(config.images), str(config.shards / "train"), LIMITS)
    for split, images in (("val", VALIDATION_IMAGES), ("test", None)):
        build(scenes.Scenes(split, images).source(), str(config.shards / split), LIMITS)
    write_embeddings(config.shards, TEACHER)
    makers: dict[str, Callable[[BenchmarkConfig, Path, int], object]] = {
        DRAWN: draw,
        CURATED: lambda c, to, seed: curate(curation(c, to, seed, duplicates=1.0)),
        DEFAULT: lambda c, to, seed: curate(curation(c, to, seed, duplicates=COPY)),
    }
    for seed in config.seeds:
        for row, make in makers.items():
            folder = config.selection(row, seed)
            if not (folder / NAME).is_file():
                make(config, folder, seed)


def curation(config: BenchmarkConfig, to: Path, seed: int, *, duplicates: float) -> CurateConfig:
    """Duplicates go, and of the rest a third of the corpus stays where there is as much."""
    return CurateConfig(
        shards=str(config.shards / "train"),
        embeddings=str(config.shards / "train-embeddings"),
        output=str(to),
        duplicates=duplicates,
        balance=config.images // 3,
        seed=seed,
        workers=0,
    )


def draw(config: BenchmarkConfig, to: Path, seed: int) -> None:
    """Select a third of the corpus by chance."""
    cache = ShardCache()
    shards = open_set(str(config.shards / "train"), cache)
    order = np.random.default_rng(seed).permutation(shards.samples)
    gone = set(order[shards.samples // 3 :].tolist())
    left_out, first, reader = {}, 0, ShardReader(shards, cache)
    for shard, count in enumerate(shards.counts):
        of = SelectedShard(
            name=shards.names[shard], samples=count, sha256=shards.digests[shard], left_out=0
        )
        left_out[of] = [
            LeftOut(number=number, key=reader.read(shard, number).key, reason="not drawn")
            for number in range(count)
            if first + number in gone
        ]
        first += count
    reader.close()
    write_selection(str(to), left_out, steps={"drawn": len(order) - len(gone), "seed": seed})


def train_and_score(config: BenchmarkConfig, row: str, seed: int) -> None:
    """Train a row's student of a seed, choose how it is read, and score it, or what is missing of that."""
    teacher = write_embeddings(config.shards, TEACHER)
    asked = QuickstartConfig(output=config.output, steps=config.steps)
    run = student_config(asked, teacher, seed)
    selection = "" if row == EVERYTHING else str(config.selection(row, seed))
    data = dataclasses.replace(run.data, selection=selection)
    run = dataclasses.replace(run, data=data, watch=None, output=config.run(row, seed))
    trained(run)
    chosen(run, config.shards)
    accelerator = make_accelerator("no")
    alone = next(iter(students(WORLD, run.output, accelerator)))
    score(WORLD, config.output, [dataclasses.replace(alone, name=row)], accelerator)


def stays(selection: Path) -> tuple[int, int, int, int]:
    """Images that stay; different scenes of the flood and of all classes among them; images that show one
    of these again."""
    record, gone = read_selection(str(selection)), set()
    for shard in record.shards:
        gone |= {left.key for left in read_left_out(str(selection), shard)}
    total = sum(shard.samples for shard in record.shards)
    kept = [p for p in pictures(total) if p.key not in gone]
    seen = {(picture.motif, picture.scene) for picture in kept}
    by_motif = [sum(motif == split.name for motif, _ in seen) for split in (FLOOD, VARIED)]
    return len(kept), by_motif[0], by_motif[1], len(kept) - len(seen)


def composition(config: BenchmarkConfig) -> str:
    """Markdown: what each selection leaves, mean over seeds."""
    columns = ["images", "scenes of three classes", "scenes of all", "shown again"]
    lines = [
        (row, [round(mean(c)) for c in zip(*of, strict=True)])
        for row in (DRAWN, CURATED, DEFAULT)
        for of in [[stays(config.selection(row, seed)) for seed in config.seeds]]
    ]
    return markdown(columns, lines)


def results(config: BenchmarkConfig) -> dict[str, dict[int, RunResult]]:
    """What is scored, by row and seed; what nothing was trained for has seed 0."""
    found: dict[str, dict[int, RunResult]] = {}
    for row in (EVERYTHING, DRAWN, CURATED, DEFAULT):
        for seed in config.seeds:
            for entry in results_of(config.run(row, seed), row):
                found.setdefault(row, {})[seed] = entry
    for entry in results_of(config.output / NOTHING, NOTHING):
        found[entry.result.name] = {0: entry}
    return found


def scores(rows: Mapping[str, Mapping[int, RunResult]]) -> str:
    """Markdown: mean IoU in percent of each kind of class, mean over seeds, and the range."""
    lines = [f"| mIoU, % | {' | '.join(SPLITS)} |", "|---" * (len(SPLITS) + 1) + "|"]
    for row, by_seed in rows.items():
        counts = [counts_of(entry) for entry in by_seed.values()]
        ious = [
            class_ious(*(torch.from_numpy(part.sum(0)) for part in c))
            for c in counts
            if c is not None
        ]
        cells = []
        for of in SPLITS.values():
            values = [100 * float(mean_over(iou[list(of)])) for iou in ious]
            between = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
            cells.append(f"{mean(values):.1f}{between}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def differences(rows: Mapping[str, Mapping[int, RunResult]]) -> str:
    """Markdown: points between two rows on the same images, and 95 % of resamples, of each seed."""
    lines = [f"| points | {' | '.join(SPLITS)} |", "|---" * (len(SPLITS) + 1) + "|"]
    for higher, lower in PAIRS:
        first, second = rows.get(higher, {}), rows.get(lower, {})
        cells: dict[str, list[str]] = {name: [] for name in SPLITS}
        for seed in [seed for seed in first if seed in second]:
            new, old = counts_of(first[seed]), counts_of(second[seed])
            assert new is not None
            assert old is not None
            for name, (value, *ends) in paired_splits(old, new, SPLITS).items():
                low, high = (100 * end for end in ends)
                cells[name].append(f"{100 * value:+.1f} ({low:+.1f} to {high:+.1f})")
        if any(cells.values()):
            told = " | ".join("; ".join(cells[name]) for name in SPLITS)
            lines.append(f"| {higher} over {lower} | {told} |")
    return "\n".join(lines)


def main(config: BenchmarkConfig) -> None:
    """Do what is missing, and print the tables."""
    prepare(config)
    rows = (EVERYTHING, DRAWN, CURATED, DEFAULT)
    jobs = [
        Job(config.run(row, seed).name, train_and_score, (config, row, seed))
        for seed in config.seeds
        for row in rows
    ]
    jobs.append(Job(NOTHING, untrained_rows, (WORLD, config.output)))
    print(composition(config), flush=True)
    side_by_side(jobs, config.processes, config.output / "logs")
    found = results(config)
    text = "\n\n".join([composition(config), scores(found), differences(found)]) + "\n"
    (config.output / "curated_training.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
