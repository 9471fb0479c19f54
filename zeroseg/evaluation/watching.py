"""Scores and pictures of a model while it trains, on a few labelled images (ours).

Nothing of it reaches the training: no random number is drawn.
"""

import math
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator

from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import share
from zeroseg.datasets.own_benchmarks import kept_name
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.examples import examples
from zeroseg.evaluation.labelled import LabelledSet, benchmark_on, open_labelled_set
from zeroseg.evaluation.pictures import Picture, stacked
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.segmenter import Answers, Segmenter
from zeroseg.store.shard_cache import ShardCache

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
    """A name in `zeroseg.BENCHMARKS`, or `own`; or a `.json` file, whose text is kept in its place."""
    every: int
    """Steps."""
    images: int = 64
    """Ours: only the first so many are used."""
    readout: str = ""
    """One of the method's; empty takes its first."""
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    pictures: int = 4
    """Rows of the picture."""

    def __post_init__(self) -> None:
        for name in ("every", "images", "pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"watch.{name} is {getattr(self, name)}: it must be at least 1")
        object.__setattr__(self, "benchmark", kept_name(self.benchmark))


class Watcher:
    """Scores and draws a model on the same images whenever it is asked.

    Images are read and classes embedded here, once; `clip` is the one whose embeddings the model
    speaks. Raises InputError when a name is unknown, the window or background threshold does not fit,
    or an image or its label map cannot be had.
    """

    def __init__(
        self,
        config: Watch,
        clip: CLIPConfig,
        segmenter: Segmenter,
        accelerator: Accelerator,
        cache: ShardCache,
        answers: Answers = "cosines",
    ) -> None:
        """`segmenter`: any one of those that are to be scored, all of one `multiple`, which answer so."""
        self.config, self._accelerator = config, accelerator
        benchmark = benchmark_on(config.shards, config.benchmark, cache)
        protocol = config.protocol.on(benchmark)
        images = open_labelled_set(config.shards, benchmark, protocol, cache)
        if protocol.threshold_from == "held-out":
            raise InputError(
                f"watch.protocol {config.protocol.name!r} takes a threshold chosen on other data: "
                "set watch.protocol.background_threshold"
            )
        images.check(segmenter.multiple, answers)
        count = min(config.images, images.shards.samples)
        mine = share(count, accelerator.process_index, accelerator.num_processes)
        self._batches = _read(images, segmenter.multiple, mine)
        self._shown: list[Batch] = []
        if accelerator.is_main_process:  # whose own share may be fewer
            self._shown = _read(images, segmenter.multiple, range(min(config.pictures, count)))
        images.reader.close()
        # open_clip draws the weights that it is about to replace; the towers are not kept.
        with torch.random.fork_rng(devices=[]):
            self._task = images.task(CLIP(clip, accelerator.device))

    def scores(self, segmenter: Segmenter) -> dict[str, float]:
        """`watch/miou` and others, shares in [0, 1]; every process calls it and gets the same.

        A score that these images do not have, as no class of it occurs, is left out.
        """
        scores = evaluate(segmenter, self._batches, self._task, self._accelerator)
        found = {name: getattr(scores, name) for name in WATCHED}
        return {f"watch/{k}": v for k, v in found.items() if v is not None and not math.isnan(v)}

    def pictures(self, segmenter: Segmenter) -> Picture:
        """A row for each of the first images: image, truth, prediction, and segments if it has any.

        On the main process only.
        """
        return stacked([row for _, row in examples(segmenter, self._shown, self._task)])


def _read(images: LabelledSet, multiple: int, samples: range) -> list[Batch]:
    batches = list(images.batches(multiple, batch_size=BATCH_SIZE, samples=samples))
    for batch in batches:
        if batch.lost:
            raise InputError(
                f"watch.shards: {batch.lost[0]}: every watched image needs a label map, "
                "run `zeroseg shards check`"
            )
        if batch.labels is not None:
            images.benchmark.mapped(batch.labels, batch.keys)
    return batches
