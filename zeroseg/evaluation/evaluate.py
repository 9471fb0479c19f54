"""Zero-shot evaluation: a segmenter, labelled shards and a benchmark in, scores out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.data.benchmarks import IGNORE, Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.inference import Segmenter, best_class, slide, with_background
from zeroseg.evaluation.metrics import confusion_matrix, harmonic_mean, iou, mean_iou


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How pictures are sized, cut and thresholded; kept beside every score."""

    short_side: int = 448
    """Pixels (paper, section 4.1)."""
    window: int = 448
    """Sliding window; 0 takes the whole image. GroupViT's, read as ZeroSeg's."""
    stride: int = 224
    templates: str = "simple"
    """A name in `zeroseg.models.prompts.TEMPLATES`."""
    background_threshold: float | None = None
    """On the best class's probability; the paper has .95 VOC, .05 Context, .35 COCO."""
    logit_scale: float = 100.0

    def __post_init__(self) -> None:
        if self.window and not 0 < self.stride <= self.window:
            raise InputError(
                f"protocol.stride is {self.stride}: it must be from 1 to the window, {self.window}"
            )


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Shares in [0, 1]; nan where a class is in neither truth nor prediction."""

    benchmark: str
    miou: float
    per_class: dict[str, float]
    pixel_accuracy: float
    images: int
    seen_miou: float | None = None
    unseen_miou: float | None = None
    hiou: float | None = None
    skipped: list[str] = field(default_factory=list)

    def to_json(self) -> dict:
        """Plain values; a class in neither truth nor prediction is null."""
        values = asdict(self)
        found = self.per_class.items()
        return values | {"per_class": {c: None if math.isnan(v) else v for c, v in found}}


def mapped_labels(
    labels: Int[Tensor, "*pixels"], benchmark: Benchmark, keys: tuple[str, ...]
) -> Int[Tensor, "*pixels"]:
    """Labels in the benchmark's own indices.

    Raises InputError naming the sample when one exceeds what the benchmark knows.
    """
    known = len(benchmark.label_map or benchmark.classes)
    highest = int(labels.masked_fill(labels == IGNORE, 0).max()) if labels.numel() else 0
    if highest >= known:
        raise InputError(
            f"label {highest} in {keys} exceeds benchmark {benchmark.name!r}, which knows {known}: "
            "choose the benchmark these shards were built for"
        )
    if not benchmark.label_map:
        return labels
    table = torch.full((IGNORE + 1,), IGNORE, device=labels.device)
    table[:known] = torch.tensor(benchmark.label_map, device=labels.device)
    return table[labels]


def check_thresholds(benchmark: Benchmark, thresholds: Sequence[float | None]) -> None:
    """Raises InputError when there is background and no threshold for it, or the other way round."""
    if benchmark.background == (None in thresholds):
        wanted = "set" if benchmark.background else "leave out"
        raise InputError(
            f"benchmark {benchmark.name!r} has {'a' if benchmark.background else 'no'} background "
            f"class: {wanted} the background threshold"
        )


def evaluate(
    segmenter: Segmenter,
    batches: Iterable[Batch],
    benchmark: Benchmark,
    class_embeddings: Float[Tensor, "class embed"],
    protocol: Protocol,
    accelerator: Accelerator,
) -> Scores:
    """Score a segmenter; the same for any number of processes, each with its own batches.

    Raises InputError when a benchmark with background has no threshold, or the other way round.
    """
    thresholds = [protocol.background_threshold]
    return sweep(
        segmenter, batches, benchmark, class_embeddings, protocol, accelerator, thresholds
    )[0]


@torch.no_grad()
def sweep(
    segmenter: Segmenter,
    batches: Iterable[Batch],
    benchmark: Benchmark,
    class_embeddings: Float[Tensor, "class embed"],
    protocol: Protocol,
    accelerator: Accelerator,
    thresholds: Sequence[float | None],
) -> list[Scores]:
    """Score a segmenter once per background threshold, predicting each image once."""
    check_thresholds(benchmark, thresholds)
    size = len(benchmark.classes)
    confusions = torch.zeros(
        len(thresholds), size, size, dtype=torch.long, device=accelerator.device
    )
    counted = torch.zeros(1, dtype=torch.long, device=accelerator.device)
    skipped: list[str] = []
    for batch in batches:
        batch = batch.to(accelerator.device)
        skipped += [str(loss) for loss in batch.lost]
        if batch.labels is None or not batch.keys:
            continue
        labels = mapped_labels(batch.labels, benchmark, batch.keys)
        scores = slide(segmenter, batch.pixels, class_embeddings, protocol.window, protocol.stride)
        best, index = best_class(scores, (labels.shape[1], labels.shape[2]))
        for confusion, threshold in zip(confusions, thresholds, strict=True):
            confusion += confusion_matrix(with_background(best, index, threshold), labels, size)
        counted += len(batch.keys)
    totals, images = accelerator.reduce(confusions), accelerator.reduce(counted)
    skipped = gather_object(skipped)
    return [scores_of(total.cpu(), benchmark, int(images), skipped) for total in totals]


def scores_of(
    confusion: Int[Tensor, "classes classes"], benchmark: Benchmark, images: int, skipped: list[str]
) -> Scores:
    """All scores of one confusion matrix."""
    if not images:
        raise InputError(
            f"no labelled image was read for benchmark {benchmark.name!r}; skipped: {skipped[:3]}"
        )
    split: dict[str, float] = {}
    if benchmark.unseen:
        unseen = torch.tensor([c in benchmark.unseen for c in benchmark.classes])
        seen_miou, unseen_miou = (
            mean_iou(confusion, part.nonzero()[:, 0]) for part in (~unseen, unseen)
        )
        split = {
            "seen_miou": seen_miou,
            "unseen_miou": unseen_miou,
            "hiou": harmonic_mean(seen_miou, unseen_miou),
        }
    return Scores(
        benchmark=benchmark.name,
        miou=mean_iou(confusion),
        per_class=dict(zip(benchmark.classes, iou(confusion).tolist(), strict=True)),
        pixel_accuracy=float(confusion.diagonal().sum() / confusion.sum().clamp(min=1)),
        images=images,
        skipped=skipped,
        **split,
    )
