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
from zeroseg.errors import InputError
from zeroseg.evaluation.labelled import LabelledSet
from zeroseg.evaluation.results import Result, fingerprint, result_of
from zeroseg.evaluation.scores import scores_of, threshold_curve
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
    """Where the background threshold and the correction are chosen, if either is; None where both are
    stated."""
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

    def score_best(
        self, models: Sequence[EvaluatedModel], examples: int = 0
    ) -> tuple[EvaluatedModel, Result]:
        """Score the model that has the highest mean IoU on held-out data, the first of equals; a single one
        without looking there. Otherwise as `score`."""
        for model in models:
            self._check(model)
        if len(models) == 1:
            return models[0], self.score(models[0], examples)
        best = max(models, key=lambda model: self._on_held_out(model)[0])
        result = self.score(best, examples, correction_chosen=True)
        if self.accelerator.is_main_process:
            for model in models:
                remove(str(self._parts(model)))
        return best, result

    def score(
        self, model: EvaluatedModel, examples: int = 0, *, correction_chosen: bool = False
    ) -> Result:
        """Score a model, and write `results/` and so many pictures into its folder; 0 leaves older
        pictures as they are.

        `correction_chosen`: the result says that its correction is from the held-out data. Raises InputError,
        before any image is read, when the model cannot take the protocol's sizes or its result would replace
        another model's.
        """
        self._check(model)
        path, asked = self.file(model), self.images.protocol.threshold_from == "held-out"
        threshold = self._on_held_out(model)[1] if asked else None
        task = self.images.task(model.clip, threshold)
        thresholds = SWEEP if task.threshold is not None else ()
        tally = self._tally(model, self.images, task, thresholds, self.limit)
        held_out = self.held_out
        other_data = f"{held_out.benchmark.name}: {held_out.spec}" if held_out else None
        result = result_of(
            self._row(model),
            model.identity,
            task,
            self.images.spec,
            tally,
            chosen_on=other_data if asked else None,
            correction_chosen_on=other_data if correction_chosen else None,
            code="{zeroseg}/{commit}".format(**code()),
            shards_fingerprint=self.images.shards.fingerprint,
            decontamination=model.decontamination,
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

    def _check(self, model: EvaluatedModel) -> None:
        for images in filter(None, (self.images, self.held_out)):
            images.check(model.segmenter.multiple, model.answers)
        check_same_model(self.file(model), model.identity)

    def _on_held_out(self, model: EvaluatedModel) -> tuple[float, float | None]:
        """Mean IoU on held-out data, and the background threshold that has it, where the protocol lets it
        be chosen."""
        assert self.held_out is not None
        asked = self.held_out.protocol.threshold_from == "held-out"
        task = self.held_out.task(model.clip, SWEEP[0] if asked else None)
        tally = self._tally(model, self.held_out, task, SWEEP if asked else (), None)
        curve = threshold_curve(tally, task.protocol.absent) if asked else None
        if asked and curve is None:
            raise InputError(
                f"no pixel of {self.held_out.spec} is labelled, so no background threshold can be chosen "
                "on it: choose other --held-out data, or set --protocol.background-threshold"
            )
        if curve is None:
            return scores_of(tally, task).miou, None
        return curve.maximum.miou, curve.maximum.threshold

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
            "model": dataclasses.replace(model.identity, folder=""),  # the same where it is moved
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
