"""Run folders as `zeroseg train` and `zeroseg evaluate` leave them, with numbers that tests choose."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FIRST = {
    "step": 10,
    "loss": 3.0,
    "composition": 2.0,
    "patches": 1.0,
    "segments_used": 5.0,
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
LATER = FIRST | {"step": 20, "patches": None, "lost": 1, "lost/OSError": 1.0, "skipped_steps": 2}
MIXED = [FIRST, WATCHED, LATER]
"""Rows of metrics.jsonl; they differ in what they hold."""
PROTOCOL: dict[str, Any] = {
    "name": "zeroseg",
    "short_side": 448,
    "window": 448,
    "stride": 224,
    "names": "plain",
    "templates": "simple",
    "background_threshold": 0.95,
}


def shares(numerator: np.ndarray, denominator: np.ndarray) -> list[float | None]:
    return [float(a / b) if b else None for a, b in zip(numerator, denominator, strict=True)]


def content(
    name: str,
    classes: Sequence[str],
    confusion: Sequence[Sequence[int]],
    benchmark: str = "voc21",
    /,
    *,
    keys: Sequence[str] = ("a", "b", "c"),
    chosen: tuple[float, str] | None = None,
    scores: dict[str, Any] | None = None,
    **protocol: Any,
) -> dict[str, Any]:
    """What one result file holds. `chosen`: a threshold, and the held-out data it was chosen on."""
    pixels = np.array(confusion)
    hits = pixels.diagonal()
    ious = shares(hits, pixels.sum(0) + pixels.sum(1) - hits)
    miou = float(np.mean([iou for iou in ious if iou is not None]))
    fields = PROTOCOL | protocol
    threshold = chosen[0] if chosen else fields["background_threshold"]
    curve = {
        "thresholds": [0.0, 0.5, 1.0],
        "miou": [0.25, 0.75, 0.5],
        "maximum": {"threshold": 0.5, "miou": 0.75},
        "area": 0.5625,
    }
    return {
        "format": 1,
        "name": name,
        "model": {"kind": "student", "readout": "segments"},
        "benchmark": benchmark,
        "classes": list(classes),
        "shards": "data/val",
        "protocol": fields,
        "threshold": {"value": threshold, "chosen_on": chosen[1] if chosen else None},
        "scores": {
            "miou": miou,
            "miou_interval": [miou - 0.02, miou + 0.02],
            "pixel_accuracy": float(hits.sum() / pixels.sum()),
            "per_class": dict(zip(classes, ious, strict=True)),
            "per_class_accuracy": dict(zip(classes, shares(hits, pixels.sum(1)), strict=True)),
            "images": len(keys),
            "skipped": [],
        }
        | (scores or {}),
        "curve": None if threshold is None else curve,
        "confusion": pixels.tolist(),
        "images": [
            {"key": key, "miou": (i + 1) / len(keys), "pixel_accuracy": 0.5}
            for i, key in enumerate(keys)
        ],
        "code": "0.1.0/abc",
    }


def write(run: Path, *contents: dict[str, Any]) -> Path:
    """Write result files into a run folder, numbered in the order given."""
    (run / "results").mkdir(parents=True, exist_ok=True)
    for number, result in enumerate(contents, start=len([*run.glob("results/*.json")])):
        (run / f"results/{number:02d}.json").write_text(json.dumps(result))
    return run
