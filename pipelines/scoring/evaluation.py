"""An evaluation: a model's counts on labelled images, continued where it was stopped, as result files."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from pipelines.run.folder import code
from pipelines.scoring.models import EvaluatedModel
from pipelines.scoring.parts import tally_by_parts
from pipelines.scoring.result_files import (
    check_same_model,
    result_path,
    write_examples,
    write_result,
)
from zeroseg.evaluation.labelled import LabelledSet
from zeroseg.evaluation.results import Result, fingerprint, result_of
from zeroseg.evaluation.scores import threshold_curve
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task
from zeroseg.store.storage import remove

SWEEP = (*(i / 100 for i in range(100)), 0.995, 0.999, 0.9999, 1.0)
"""Background thresholds of the curve; finer at the end, where a softmax of scale 100 saturates."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Labelled images, and all that is the same for every model that is scored on them."""

    images: LabelledSet
    held_out: LabelledSet | None = None
    """Where the background threshold is chosen; None where the protocol states it."""
    accelerator: Accelerator
    batch_size: int = 16
    limit: int | None = None
    """Only the first so many images; None takes all."""
    boundary: bool = False
    """Boundary IoU too."""

    def file(self, model: EvaluatedModel) -> Path:
        """Where a model's result is kept."""
        name = self._row(model)
        return result_path(model.folder, name, self.images.benchmark, self.images.protocol)

    def score(self, model: EvaluatedModel, examples: int = 0) -> Result:
        """Score a model, and write `results/` and so many pictures into its folder; 0 leaves older
        pictures as they are.

        Raises InputError, before any image is read, when the model cannot take the protocol's sizes
        or its result would replace another model's.
        """
        for images in filter(None, (self.images, self.held_out)):
            images.check(model.segmenter.multiple)
        path = self.file(model)
        check_same_model(path, model.identity)
        threshold = self._chosen_threshold(model) if self.held_out else None
        task = self.images.task(model.clip, threshold)
        thresholds = SWEEP if task.threshold is not None else ()
        tally = self._tally(model, self.images, task, thresholds, self.limit)
        held_out = self.held_out
        result = result_of(
            self._row(model),
            model.identity,
            task,
            self.images.spec,
            tally,
            chosen_on=f"{held_out.benchmark.name}: {held_out.spec}" if held_out else None,
            code="{zeroseg}/{commit}".format(**code()),
        )
        if self.accelerator.is_main_process:
            write_result(path, result, tally)
            if examples:
                write_examples(model.folder, model.segmenter, self.images, task, result, examples)
            remove(str(self._parts(model)))
        self.accelerator.wait_for_everyone()
        return result

    def _parts(self, model: EvaluatedModel) -> Path:
        """Where the counts are that an evaluation goes on from."""
        file = self.file(model)
        return file.parent / f".parts-{file.stem}"

    def _row(self, model: EvaluatedModel) -> str:
        """The name of the row; a part of the images is no result of all of them."""
        return model.name + (f", first {self.limit}" if self.limit else "")

    def _chosen_threshold(self, model: EvaluatedModel) -> float:
        """The background threshold with the highest mean IoU on held-out data."""
        assert self.held_out is not None
        task = self.held_out.task(model.clip, SWEEP[0])
        tally = self._tally(model, self.held_out, task, SWEEP, None)
        curve = threshold_curve(tally, task.protocol.absent)
        assert curve is not None
        return curve.maximum.threshold

    def _tally(
        self,
        model: EvaluatedModel,
        images: LabelledSet,
        task: Task,
        thresholds: Sequence[float],
        limit: int | None,
    ) -> Tally:
        shards = images.shards
        about = {
            "model": model.identity,
            "benchmark": dataclasses.asdict(task.benchmark) | {"unseen": None},
            "shards": [*shards.urls, *shards.digests, *map(str, shards.counts)],
            "protocol": dataclasses.asdict(task.protocol),
            "threshold": task.threshold,
            "thresholds": list(thresholds),
            "limit": limit,
            "boundary": self.boundary,
            "code": code(),
        }
        return tally_by_parts(
            self._parts(model) / fingerprint(about),
            model.segmenter,
            images,
            task,
            self.accelerator,
            batch_size=self.batch_size,
            limit=limit,
            thresholds=tuple(thresholds),
            boundary=self.boundary,
        )
