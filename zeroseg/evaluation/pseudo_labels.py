"""Pseudo labels: what a trained model says of pixels whose labels no training may see (self-training)."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.datasets.own_benchmarks import benchmark_named, kept_name
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import best_classes
from zeroseg.evaluation.inference import with_background
from zeroseg.evaluation.protocols import ProtocolConfig
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter
from zeroseg.store.shard_cache import ShardCache


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """What is labelled by whom, and where it goes; `zeroseg label` does it.

    Raises InputError for a share that is none, and a benchmark that is unknown or has no unseen class.
    """

    model: str
    """Run folder, or model folder in one."""
    shards: str
    """Labelled shards; labels of seen classes are kept, all others are never read by anything."""
    benchmark: str
    """One with unseen classes, a name in `zeroseg.BENCHMARKS`; or a `.json` file, whose text is kept in its
    place."""
    output: str
    """Folder of the new shards."""
    share: float = 1.0
    """Of the pseudo-labelled pixels of an image, those about which the model is surest; ZS5Net has
    0.25 on VOC and 0.75 on Context, zsseg 1."""
    unseen_only: bool = False
    """Choose among the unseen classes alone, as zsseg does; otherwise among all, and only where an
    unseen class is chosen is a pixel labelled."""
    readout: str = ""
    """How the model is read; empty takes its best by validation."""
    protocol: ProtocolConfig = field(default_factory=lambda: ProtocolConfig(name="seen-unseen"))
    """At which size and in which words the model is asked, as in an evaluation."""
    batch_size: int = 16
    cache: ShardCache = field(default_factory=ShardCache)
    """Of remote shards."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"share is {self.share}: it must lie in (0, 1]")
        object.__setattr__(self, "benchmark", kept_name(self.benchmark))
        benchmark = benchmark_named(self.benchmark)
        if not benchmark.unseen:
            raise InputError(
                f"benchmark {benchmark.name!r} has no unseen class to label: choose a split, as "
                "voc20-15-5 or scenes"
            )


@torch.no_grad()
def predicted_labels(
    segmenter: Segmenter,
    images: Float[Tensor, "batch 3 height width"],
    known: Int[Tensor, "batch label_height label_width"],
    task: Task,
    config: PseudoLabels,
) -> Int[Tensor, "batch label_height label_width"]:
    """Known labels, and a segmenter's predictions of unseen classes where `known` is IGNORE.

    `known` must hold no unseen class. Raises InputError when scores are nan.
    """
    unseen = unseen_classes(task.benchmark).to(known.device)
    best, index = best_classes(
        segmenter,
        images,
        task,
        (known.shape[1], known.shape[2]),
        unseen if config.unseen_only else None,
    )
    if index.max() >= len(unseen):
        raise InputError(f"model {config.model} gives scores that are not numbers: train it again")
    if not config.unseen_only:
        index = with_background(best, index, task.threshold, task.protocol.threshold_rule)
    return surest(known, best, index, unseen, config.share)


def surest(
    known: Int[Tensor, "batch height width"],
    scores: Float[Tensor, "batch height width"],
    predicted: Int[Tensor, "batch height width"],
    unseen: Bool[Tensor, " class"],
    share: float,
) -> Int[Tensor, "batch height width"]:
    """Known labels; of the pixels that are IGNORE there and predicted to be of an unseen class, in each
    image the share with the highest scores, rounded, as predicted (of equals the first); IGNORE elsewhere."""
    candidates = (known == IGNORE) & unseen[predicted]
    counts = (share * candidates.flatten(1).sum(dim=1)).round().long()
    ranked = scores.masked_fill(~candidates, -torch.inf).flatten(1)
    order = ranked.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device)
    ranks = torch.empty_like(order).scatter_(1, order, places.expand_as(order))
    kept = (ranks < counts[:, None]).view_as(known)
    return torch.where(kept, predicted, known)


def unseen_classes(benchmark: Benchmark) -> Bool[Tensor, " class"]:
    """Whether each class is unseen."""
    return torch.tensor([name in benchmark.unseen for name in benchmark.classes])
