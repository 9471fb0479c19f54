"""What one evaluation leaves: scores, their intervals, the protocol that made them, as one file."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.bootstrap import intervals
from zeroseg.evaluation.metrics import (
    accuracy,
    class_ious,
    confusion_matrices,
    frequency_weighted_iou,
    harmonic_mean,
    iou,
    mean_accuracy,
    mean_iou,
    mean_over,
    pixel_accuracy,
)
from zeroseg.evaluation.protocols import changes
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task
from zeroseg.models.prompts import templates_named

FORMAT = 1
"""Of result files; readers refuse others."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Shares in [0, 1]; nan where a class is in neither truth nor prediction."""

    benchmark: str
    miou: float
    mean_accuracy: float
    """Over classes that occur in the truth."""
    pixel_accuracy: float
    frequency_weighted_iou: float
    per_class: dict[str, float]
    """IoU."""
    per_class_accuracy: dict[str, float]
    images: int
    seen_miou: float | None = None
    unseen_miou: float | None = None
    hiou: float | None = None
    boundary_miou: float | None = None
    skipped: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values; null for nan."""
        return _plain(asdict(self))


def splits_of(benchmark: Benchmark) -> dict[str, list[int]]:
    """Indices of all classes, and of the seen and the unseen ones where the benchmark knows them."""
    everything = list(range(len(benchmark.classes)))
    if not benchmark.unseen:
        return {"miou": everything}
    unseen = [i for i in everything if benchmark.classes[i] in benchmark.unseen]
    seen = [i for i in everything if i not in unseen]
    return {"miou": everything, "seen_miou": seen, "unseen_miou": unseen}


def scores_of(tally: Tally, task: Task) -> Scores:
    """All scores at the task's threshold. Raises InputError when no image could be scored."""
    benchmark, absent = task.benchmark, task.protocol.absent
    if not tally.keys:
        raise InputError(
            f"no labelled image was read for benchmark {benchmark.name!r}; "
            f"skipped: {list(tally.lost[:3])}"
        )
    confusion = torch.from_numpy(tally.confusion(task.threshold))
    means = {
        name: mean_iou(confusion, torch.tensor(of), absent)
        for name, of in splits_of(benchmark).items()
    }
    if "unseen_miou" in means:
        split = torch.tensor([means["seen_miou"], means["unseen_miou"]], dtype=torch.float64)
        means["hiou"] = float(harmonic_mean(*split))
    boundary = None
    if len(tally.boundary):
        both, either = torch.from_numpy(tally.boundary).sum(dim=0).T
        boundary = float(mean_over(class_ious(both, both, either), absent))
    return Scores(
        benchmark=benchmark.name,
        **means,
        mean_accuracy=mean_accuracy(confusion),
        pixel_accuracy=pixel_accuracy(confusion),
        frequency_weighted_iou=frequency_weighted_iou(confusion),
        per_class=dict(zip(benchmark.classes, iou(confusion).tolist(), strict=True)),
        per_class_accuracy=dict(zip(benchmark.classes, accuracy(confusion).tolist(), strict=True)),
        images=len(tally.keys),
        boundary_miou=boundary,
        skipped=list(tally.lost),
    )


def image_rows(tally: Tally, threshold: float | None) -> list[dict[str, Any]]:
    """Of every image its key, mean IoU over the classes in its truth or prediction, and accuracy."""
    hits, truth, predicted = map(torch.from_numpy, tally.by_image(threshold))
    mious, right = mean_over(class_ious(hits, truth, predicted)), hits.sum(dim=1) / truth.sum(dim=1)
    rows = zip(tally.keys, mious.tolist(), right.tolist(), strict=True)
    return [{"key": k, "miou": m, "pixel_accuracy": a} for k, m, a in rows]


def curve(tally: Tally, absent: float) -> dict[str, Any] | None:
    """Mean IoU at every threshold that was counted, the highest, and the area under the curve.

    The area is the mean over thresholds from 0 to 1 (trapezia; beyond the first and the last the
    curve is level): what a threshold that nobody tuned gives on average. `absent` is as in
    `metrics.mean_over`. None without a sweep.
    """
    if len(tally.thresholds) < 2:
        return None
    counts, steps = torch.from_numpy(tally.counts), len(tally.thresholds)
    mious = mean_over(iou(confusion_matrices(counts, tally.classes, steps)), absent).tolist()
    best = int(np.nanargmax(mious))
    ends = ([0.0, *tally.thresholds, 1.0], [mious[0], *mious, mious[-1]])
    return {
        "thresholds": list(tally.thresholds),
        "miou": mious,
        "maximum": {"threshold": tally.thresholds[best], "miou": mious[best]},
        "area": float(np.trapezoid(ends[1], ends[0])),
    }


def result_of(
    name: str,
    model: dict[str, Any],
    task: Task,
    shards: str,
    tally: Tally,
    *,
    chosen_on: str | None,
    code: str,
) -> dict[str, Any]:
    """The content of a result file, as docs/evaluation.md describes it."""
    benchmark, protocol, threshold = task.benchmark, task.protocol, task.threshold
    scores = scores_of(tally, task).to_json()
    found = intervals(tally.by_image(threshold), splits_of(benchmark), absent=protocol.absent)
    scores |= {f"{split}_interval": list(interval) for split, interval in found.items()}
    content = {
        "format": FORMAT,
        "name": name,
        "model": model,
        "benchmark": benchmark.name,
        "classes": list(benchmark.classes),
        "shards": shards,
        "protocol": asdict(protocol) | {"changed": changes(protocol, benchmark)},
        "words": asdict(task.vocabulary) | {"templates": templates_named(protocol.templates)},
        "threshold": {"value": threshold, "chosen_on": chosen_on},
        "scores": scores,
        "curve": curve(tally, protocol.absent),
        "confusion": tally.confusion(threshold).tolist(),
        "images": image_rows(tally, threshold),
        "code": code,
    }
    return _plain(content)


def fingerprint(content: dict[str, Any]) -> str:
    """Of all that an evaluation depends on; counts are continued only under the same one."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """With null for nan, which JSON does not know."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
