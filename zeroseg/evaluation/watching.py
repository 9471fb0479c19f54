"""Scores and pictures of a student while it trains, on a few labelled images (ours).

Nothing of it reaches the training: no random number is drawn, and the student is left as it was.
"""

import math
from dataclasses import dataclass, field
from functools import partial

import torch
from accelerate import Accelerator

from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import evaluation_batches, share
from zeroseg.datasets.benchmarks import benchmark_named
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.examples import examples
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.pictures import Picture, stacked
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.task import task_for, wording
from zeroseg.models.clip import CLIP, CLIPConfig
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
    readout: str = ""
    """One of the method's; empty takes its first."""
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
        self, config: Watch, clip: CLIPConfig, segmenter: Segmenter, accelerator: Accelerator
    ) -> None:
        """`segmenter`: any one of those that are to be scored, all of one input size."""
        self.config, self.accelerator = config, accelerator
        shards = open_set(config.shards, ShardCache())
        self.benchmark = benchmark_named(config.benchmark).on(shards.classes)
        wording(self.benchmark, config.protocol, config.protocol.background_threshold)
        _check_fit(config, segmenter.multiple)
        count = min(config.images, shards.samples)
        mine = share(count, accelerator.process_index, accelerator.num_processes)
        self._batches = self._read(shards, segmenter.multiple, mine)
        self._shown: list[Batch] = []
        if accelerator.is_main_process:  # whose own share may be fewer
            self._shown = self._read(shards, segmenter.multiple, range(min(config.pictures, count)))
        # open_clip draws the weights that it is about to replace; the towers are not kept.
        with torch.random.fork_rng(devices=[]):
            teacher = CLIP(clip, accelerator.device)
        self._task = task_for(teacher, self.benchmark, config.protocol)

    def _read(self, shards: ShardSet, multiple: int, samples: range) -> list[Batch]:
        resize = partial(self.config.protocol.picture_size, multiple=multiple)
        kept = list(evaluation_batches(shards, resize, batch_size=BATCH_SIZE, samples=samples))
        for batch in kept:
            if batch.lost:
                raise InputError(
                    f"watch.shards: {batch.lost[0]}: every watched image needs a label map, "
                    "run `zeroseg shards check`"
                )
            if batch.labels is not None:
                self.benchmark.mapped(batch.labels, batch.keys)
        return kept

    def scores(self, segmenter: Segmenter) -> dict[str, float]:
        """`watch/miou` and others, shares in [0, 1]; every process calls it and gets the same.

        A score that these images do not have, as no class of it occurs, is left out.
        """
        scores = evaluate(segmenter, self._batches, self._task, self.accelerator)
        found = {name: getattr(scores, name) for name in WATCHED}
        return {f"watch/{k}": v for k, v in found.items() if v is not None and not math.isnan(v)}

    def pictures(self, segmenter: Segmenter) -> Picture:
        """A row for each of the first images: image, truth, prediction, segments.

        On the main process only.
        """
        return stacked([row for _, row in examples(segmenter, self._shown, self._task)])


def _check_fit(config: Watch, multiple: int) -> None:
    """Raises InputError when the segmenter could not answer as it is asked to."""
    if config.protocol.window % multiple:
        raise InputError(
            f"watch.protocol.window is {config.protocol.window}: it must be a multiple of the "
            f"model's patch size, {multiple}"
        )
