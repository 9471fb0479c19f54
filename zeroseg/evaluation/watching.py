"""Scores and pictures of a student while it trains, on a few labelled images (ours).

Nothing of it reaches the training: no random number is drawn, and the student is left as it was.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from accelerate import Accelerator

from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import evaluation_batches, share
from zeroseg.datasets.benchmarks import benchmark_named
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import evaluate, mapped_labels
from zeroseg.evaluation.examples import examples
from zeroseg.evaluation.pictures import Picture, stacked
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.segmenters import Student
from zeroseg.evaluation.task import task_for, wording
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.zeroseg import Readout, ZeroSeg, ZeroSegConfig
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set

WATCHED = ("miou", "seen_miou", "unseen_miou", "pixel_accuracy")
"""Fields of `Scores`."""
BATCH_SIZE = 16
"""Images of one size that are predicted at once."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is watched while training, and how often."""

    shards: str
    """Labelled shards; those of a validation split."""
    benchmark: str
    """A name in `zeroseg.BENCHMARKS`."""
    every: int
    """Steps."""
    images: int = 64
    """Ours: only the first so many are used."""
    readout: Readout = "segments"
    protocol: Protocol = field(default_factory=Protocol)
    pictures: int = 4
    """Rows of the picture."""

    def __post_init__(self) -> None:
        for name in ("every", "images", "pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"watch.{name} is {getattr(self, name)}: it must be at least 1")


class Watcher:
    """Scores and draws a student on the same images whenever it is asked.

    Images are read and classes embedded here, once. Raises InputError when a name is unknown, the
    readout, window or background threshold does not fit, or an image or its label map cannot be had.
    """

    def __init__(
        self, config: Watch, clip: CLIPConfig, student: ZeroSegConfig, accelerator: Accelerator
    ) -> None:
        self.config, self.accelerator = config, accelerator
        shards = open_set(config.shards, ShardCache())
        self.benchmark = benchmark_named(config.benchmark).on(shards.classes)
        wording(self.benchmark, config.protocol, config.protocol.background_threshold)
        _check_fit(config, student)
        count = min(config.images, shards.samples)
        mine = share(count, accelerator.process_index, accelerator.num_processes)
        self._batches = self._read(shards, student, mine)
        self._shown: list[Batch] = []
        if accelerator.is_main_process:  # whose own share may be fewer
            self._shown = self._read(shards, student, range(min(config.pictures, count)))
        # open_clip draws the weights that it is about to replace; the towers are not kept.
        with torch.random.fork_rng(devices=[]):
            teacher = CLIP(clip, accelerator.device)
        self._task = task_for(teacher, self.benchmark, config.protocol)

    def _read(self, shards: ShardSet, student: ZeroSegConfig, samples: range) -> list[Batch]:
        resize = partial(self.config.protocol.picture_size, multiple=student.patch_size)
        kept = list(evaluation_batches(shards, resize, batch_size=BATCH_SIZE, samples=samples))
        for batch in kept:
            if batch.lost:
                raise InputError(
                    f"watch.shards: {batch.lost[0]}: every watched image needs a label map, "
                    "run `zeroseg shards check`"
                )
            if batch.labels is not None:
                mapped_labels(batch.labels, self.benchmark, batch.keys)
        return kept

    def scores(self, model: ZeroSeg) -> dict[str, float]:
        """`watch/miou` and others, shares in [0, 1]; every process calls it and gets the same.

        A score that these images do not have, as no class of it occurs, is left out.
        """
        with _answering(model):
            scores = evaluate(self._segmenter(model), self._batches, self._task, self.accelerator)
        found = {name: getattr(scores, name) for name in WATCHED}
        return {f"watch/{k}": v for k, v in found.items() if v is not None and not math.isnan(v)}

    def pictures(self, model: ZeroSeg) -> Picture:
        """A row for each of the first images: image, truth, prediction, segments.

        On the main process only.
        """
        with _answering(model):
            rows = examples(self._segmenter(model), self._shown, self._task)
            return stacked([row for _, row in rows])

    def _segmenter(self, model: ZeroSeg) -> Student:
        return Student(model, self.config.readout, self.config.protocol.model_scale)


def _check_fit(config: Watch, student: ZeroSegConfig) -> None:
    """Raises InputError when the student could not answer as it is asked to."""
    if config.readout != "segments" and not student.patch_embeddings:
        raise InputError(
            f"watch.readout {config.readout!r} needs a student with patch_embeddings=True"
        )
    if config.protocol.window % student.patch_size:
        raise InputError(
            f"watch.protocol.window is {config.protocol.window}: it must be a multiple of the "
            f"student's patch size, {student.patch_size}"
        )


@contextmanager
def _answering(model: ZeroSeg) -> Iterator[None]:
    """In eval mode, then back in the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
