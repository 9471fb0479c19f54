"""Run folders as `zeroseg train` and `zeroseg evaluate` leave them, with numbers that tests choose."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zeroseg.evaluation.results import ModelIdentity, Result, ResultProtocol, Threshold
from zeroseg.evaluation.scores import CurvePoint, ImageScore, Scores, ThresholdCurve
from zeroseg.records import to_json

FIRST = {
    "step": 10,
    "loss": 3.0,
    "loss/composition": 2.0,
    "loss/patches": 1.0,
    "grouping/segments_used": 5.0,
    "nearest/2x2": 0.25,
    "nearest/10x10": 0.25,
    "nearest/4x4": 0.5,
    "gradient_norm": 1.0,
    "learning_rate": 1e-3,
    "images_per_second": 100.0,
    "step_seconds": 0.1,
    "data_wait": 0.2,
    "mfu": 0.4,
    "memory_gb": 2.0,
    "epoch": 0,
    "left_out": 1,
    "lost": 0,
    "skipped_steps": 0,
}
WATCHED = {"step": 15, "watch/miou": 0.3, "watch/seen_miou": 0.4}
LATER = FIRST | {
    "step": 20,
    "loss/patches": None,
    "lost": 1,
    "lost/OSError": 1.0,
    "skipped_steps": 2,
}
MIXED = [FIRST, WATCHED, LATER]
"""Rows of metrics.jsonl; they differ in what they hold."""


def shares(numerator: np.ndarray, denominator: np.ndarray) -> list[float]:
    """Quotients; nan for 0 / 0."""
    return [float(a / b) if b else math.nan for a, b in zip(numerator, denominator, strict=True)]


def scores_like(confusion: np.ndarray, classes: Sequence[str], images: int) -> Scores:
    hits, truth = confusion.diagonal(), confusion.sum(1)
    ious = shares(hits, confusion.sum(0) + truth - hits)
    miou = float(np.nanmean(ious))
    return Scores(
        benchmark="",
        miou=miou,
        miou_interval=(miou - 0.02, miou + 0.02),
        mean_accuracy=float(np.nanmean(shares(hits, truth))),
        pixel_accuracy=float(hits.sum() / truth.sum()),
        frequency_weighted_iou=0.5,
        per_class=dict(zip(classes, ious, strict=True)),
        per_class_accuracy=dict(zip(classes, shares(hits, truth), strict=True)),
        images=images,
    )


def content(
    name: str,
    classes: Sequence[str],
    confusion: Sequence[Sequence[int]],
    benchmark: str = "voc21",
    /,
    *,
    keys: Sequence[str] = ("a", "b", "c"),
    truth: str = "",
    chosen: tuple[float, str] | None = None,
    scores: dict[str, Any] | None = None,
    **protocol: Any,
) -> dict[str, Any]:
    """What one result file holds. `chosen`: a threshold, and the held-out data it was chosen on."""
    used = replace(ResultProtocol(background_threshold=0.95), **protocol)
    threshold = Threshold(*chosen) if chosen else Threshold(used.background_threshold)
    curve = ThresholdCurve((0.0, 0.5, 1.0), (0.25, 0.75, 0.5), CurvePoint(0.5, 0.75), 0.5625)
    pixels = np.array(confusion)
    result = Result(
        name=name,
        model=ModelIdentity(kind="student", readout="segments"),
        benchmark=benchmark,
        classes=tuple(classes),
        shards="data/val",
        protocol=used,
        threshold=threshold,
        scores=replace(scores_like(pixels, classes, len(keys)), **(scores or {})),
        curve=None if threshold.value is None else curve,
        confusion=tuple(map(tuple, pixels.tolist())),
        images=tuple(ImageScore(k, (i + 1) / len(keys), 0.5) for i, k in enumerate(keys)),
        truth=truth,
        code="0.1.0/abc",
    )
    return to_json(result)


def write(run: Path, *contents: dict[str, Any]) -> Path:
    """Write result files into a run folder, numbered in the order given."""
    (run / "results").mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(contents, start=len([*run.glob("results/*.json")])):
        (run / f"results/{number:02d}.json").write_text(json.dumps(result))
    return run


def without(value: dict[str, Any], path: str) -> dict[str, Any]:
    """A result file's content without one field, `scores.miou` and the like."""
    first, _, rest = path.partition(".")
    if rest:
        return value | {first: without(value[first], rest)}
    return {k: v for k, v in value.items() if k != first}
