"""The table of the embedded scenes: all classes, and objects at a threshold from the validation split."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from pipelines.report.table import markdown
from pipelines.scoring.evaluation import Evaluation
from pipelines.scoring.models import EvaluatedModel
from zeroseg.datasets.benchmarks import SCENES, SCENES_OBJECTS, Benchmark
from zeroseg.evaluation.labelled import LabelledSet, open_labelled_set
from zeroseg.evaluation.protocols import scenes
from zeroseg.store.shard_cache import ShardCache

BATCH_SIZE = 25
Row = dict[str, float | None]
"""Scores in percent by the name of the column; None is not scored."""
COLUMNS = ("mIoU", "seen", "unseen", "hIoU")


def scenes_images(
    shards: Path, split: str, cache: ShardCache, benchmark: Benchmark = SCENES
) -> LabelledSet:
    """A labelled split of the scenes."""
    return open_labelled_set(f"{shards}/{split}", benchmark, scenes(benchmark), cache)


@dataclass(frozen=True)
class ScenesTable:
    """The columns of the table."""

    everything: Evaluation
    objects: Evaluation

    @staticmethod
    def of(shards: Path, cache: ShardCache, accelerator: Accelerator) -> "ScenesTable":
        """On the test split of a folder of scenes."""
        test = scenes_images(shards, "test", cache)
        objects, validation = (
            scenes_images(shards, split, cache, SCENES_OBJECTS) for split in ("test", "val")
        )
        return ScenesTable(
            Evaluation(images=test, accelerator=accelerator, batch_size=BATCH_SIZE),
            Evaluation(
                images=objects,
                held_out=validation,
                accelerator=accelerator,
                batch_size=BATCH_SIZE,
            ),
        )

    def row(self, model: EvaluatedModel, examples: int, *, background: bool) -> Row:
        """Scores of a model in percent, 0 where there is none; results and so many pictures are
        written into its folder. Without `background` the column of objects is left empty."""
        first = self.everything.score(model, examples).scores
        values = [first.miou, first.seen_miou, first.unseen_miou, first.hiou]
        shares = [0.0 if v is None or math.isnan(v) else v for v in values]
        row: Row = dict(zip(COLUMNS, [100 * share for share in shares], strict=True))
        objects = self.objects.score(model).scores.miou if background else None
        return row | {"objects + background": None if objects is None else 100 * objects}


def summarised(rows: Mapping[str, Sequence[Row]]) -> str:
    """Two Markdown tables, without and with a teacher at test: means over seeds, with the range where
    there are several."""
    with_teacher = {name: runs for name, runs in rows.items() if name.endswith("teacher at test")}
    alone = {name: runs for name, runs in rows.items() if name not in with_teacher}
    return f"{_table(alone)}\n\n{_table(with_teacher)}"


def _table(rows: Mapping[str, Sequence[Row]]) -> str:
    columns = [c for c in next(iter(rows.values()))[0] if any(r[0][c] for r in rows.values())]
    lines: list[tuple[str, list[float | None]]] = []
    for name, runs in rows.items():
        scores: dict[str, list[float]] = {
            c: [score for r in runs if (score := r[c]) is not None] for c in columns
        }
        whole = scores["mIoU"]
        spread = f" ({min(whole):.1f} to {max(whole):.1f})" if len(runs) > 1 else ""
        means = [statistics.mean(of) if of else None for of in scores.values()]
        lines.append((name + spread, means))
    return markdown(columns, lines)
