"""The table of the embedded scenes: all classes, and objects at a threshold from the validation split."""

import math
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from pipelines.scoring.evaluation import Evaluation
from pipelines.scoring.models import EvaluatedModel
from zeroseg.datasets.benchmarks import SCENES, SCENES_OBJECTS, Benchmark
from zeroseg.evaluation.labelled import LabelledSet, open_labelled_set
from zeroseg.evaluation.protocols import scenes
from zeroseg.store.shard_cache import ShardCache

BATCH_SIZE = 25


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

    def row(self, model: EvaluatedModel, examples: int) -> dict[str, float]:
        """Scores of a model in percent, 0 where there is none; results and so many pictures are
        written into its folder."""
        first = self.everything.score(model, examples).scores
        background = self.objects.score(model).scores
        split = (first.seen_miou, first.unseen_miou, first.hiou)
        columns = ("mIoU", "seen", "unseen", "hIoU", "objects + background")
        values = (first.miou, *split, background.miou)
        shares = (0.0 if v is None or math.isnan(v) else v for v in values)
        return {column: 100 * share for column, share in zip(columns, shares, strict=True)}
