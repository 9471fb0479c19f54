"""Scores any segmenter on the embedded scenes: thresholds from validation, scores from test."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from accelerate import Accelerator

from pipelines.evaluate import SWEEP
from pipelines.run.folder import code
from pipelines.scoring.result_files import result_path, write_examples, write_result
from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.datasets.benchmarks import SCENES, SCENES_OBJECTS
from zeroseg.evaluation.evaluate import evaluate, gathered, tallied
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.protocols import scenes
from zeroseg.evaluation.results import ModelIdentity, Result, result_of
from zeroseg.evaluation.scores import Scores, threshold_curve
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task, task_for
from zeroseg.models.clip import CLIP
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set

BATCH_SIZE = 25


class ScenesEvaluation:
    """The two labelled splits, read once, and what segmenters are asked about them."""

    def __init__(self, shards: Path, clip: CLIP, multiple: int, accelerator: Accelerator) -> None:
        self.accelerator, self.shards = accelerator, shards
        self.all_classes = task_for(clip, SCENES, scenes(SCENES))
        self.objects = partial(task_for, clip, SCENES_OBJECTS, scenes(SCENES_OBJECTS))
        val, self.test_set = (open_set(f"{shards}/{s}", ShardCache()) for s in ("val", "test"))
        self.validation, self.test = (self._read(s, multiple) for s in (val, self.test_set))

    def _read(self, opened: ShardSet, multiple: int) -> list[Batch]:
        resize = partial(scenes(SCENES).picture_size, multiple=multiple)
        return list(evaluation_batches(opened, resize, batch_size=BATCH_SIZE))

    def scores(self, segmenter: Segmenter, batches: Sequence[Batch]) -> Scores:
        """Scores over all classes of the scenes."""
        return evaluate(segmenter, batches, self.all_classes, self.accelerator)

    def write(self, name: str, segmenter: Segmenter, run: Path, shown: int) -> dict[str, float]:
        """Score on the test split, keep results and so many pictures in the run folder.

        Returns the table's row.
        """
        first = self.objects(SWEEP[0])
        tally = self._tally(segmenter, self.validation, first, SWEEP)
        curve = threshold_curve(tally, first.protocol.absent)
        assert curve is not None
        objects = self.objects(curve.maximum.threshold)
        written = [self._write(name, segmenter, run, t) for t in (self.all_classes, objects)]
        if shown:
            write_examples(run, segmenter, self.test_set, self.all_classes, written[0], shown)
        everything, with_background = (result.scores for result in written)
        split = (everything.seen_miou, everything.unseen_miou, everything.hiou)
        values = (everything.miou, *split, with_background.miou)
        columns = ("mIoU", "seen", "unseen", "hIoU", "objects + background")
        return dict(
            zip(
                columns,
                (0.0 if v is None or math.isnan(v) else 100 * v for v in values),
                strict=True,
            )
        )

    def _tally(
        self,
        segmenter: Segmenter,
        batches: Sequence[Batch],
        task: Task,
        thresholds: Sequence[float] = (),
    ) -> Tally:
        device = self.accelerator.device
        mine = tallied(segmenter, batches, task, device, thresholds=thresholds)
        return gathered(mine, self.accelerator)

    def _write(self, name: str, segmenter: Segmenter, run: Path, task: Task) -> Result:
        thresholds = () if task.threshold is None else SWEEP
        tally = self._tally(segmenter, self.test, task, thresholds)
        result = result_of(
            name,
            ModelIdentity(
                kind="student" if isinstance(segmenter, Student) else "clip", method=name
            ),
            task,
            f"{self.shards}/test",
            tally,
            chosen_on=f"{SCENES_OBJECTS.name}: {self.shards}/val" if thresholds else None,
            code="{zeroseg}/{commit}".format(**code()),
        )
        write_result(result_path(run, result), result, tally)
        return result
