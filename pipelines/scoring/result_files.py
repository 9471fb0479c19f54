"""The files an evaluation leaves in a run folder: `results/*.json`, counts beside it, pictures.

docs/evaluation.md describes them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from zeroseg.data.evaluation import sample_number
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.examples import examples
from zeroseg.evaluation.labelled import LabelledSet
from zeroseg.evaluation.protocols import Protocol, changes
from zeroseg.evaluation.results import (
    ModelIdentity,
    Result,
    fingerprint,
    read_result,
    result_text,
)
from zeroseg.evaluation.scores import ImageScore
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter
from zeroseg.store.keys import cut, file_name
from zeroseg.store.storage import write_atomically

SHOWN = ("best", "median", "worst")
SCORES = ("miou", "seen_miou", "unseen_miou", "hiou", "mean_accuracy", "pixel_accuracy") + (
    "frequency_weighted_iou",
    "boundary_miou",
)


def slug(name: str) -> str:
    """A name that any file system takes."""
    return "".join(c if c.isalnum() else "-" for c in name)


def result_path(folder: Path, name: str, benchmark: Benchmark, protocol: Protocol) -> Path:
    """Where a result is kept: one file for each benchmark, protocol and row of the table.

    A protocol with changed fields has another file, for each choice of them.
    """
    found = changes(protocol, benchmark)
    changed = f"-{fingerprint(found)[:6]}" if found else ""
    parts = benchmark.name, protocol.name + changed, name
    return folder / "results" / f"{cut('-'.join(map(slug, parts)), 230)}.json"


def check_same_model(path: Path, model: ModelIdentity) -> None:
    """Raises InputError when a file holds the result of another model.

    A model is the same with other weights in the same place, as after more training, or with the same
    weights elsewhere.
    """
    if not path.is_file():
        return
    found = read_result(str(path)).model
    moved = replace(found, folder=model.folder) == model
    trained = replace(found, sha256=model.sha256) == model
    if not (moved or trained):
        raise InputError(
            f"{path} is the result of another model ({found.folder or found.sha256[:6]}): "
            "choose another --output, or delete it"
        )


def write_result(path: Path, result: Result, tally: Tally) -> None:
    """Write the counts, then the result, which is there only when both are."""
    write_atomically(str(path.with_suffix(".npz")), tally.to_bytes())
    write_atomically(str(path), result_text(result).encode())


def ranked(images: Sequence[ImageScore], count: int) -> list[tuple[str, int]]:
    """Names and numbers of the best, the median and the worst images, about `count` in all."""
    known = [i for i, row in enumerate(images) if not math.isnan(row.miou)]
    order = sorted(known, key=lambda i: (-images[i].miou, i))
    each = max(1, math.ceil(count / len(SHOWN)))
    middle = max(0, (len(order) - each) // 2)
    groups = order[:each], order[middle : middle + each], order[::-1][:each]
    chosen: dict[int, str] = {}
    for kind, group in zip(SHOWN, groups, strict=True):
        for rank, i in enumerate(group, 1):
            chosen.setdefault(i, f"{kind}-{rank}")
    return [(name, i) for i, name in chosen.items()]


def write_examples(
    folder: Path,
    segmenter: Segmenter,
    images: LabelledSet,
    task: Task,
    result: Result,
    count: int,
) -> None:
    """Pictures of the best, the median and the worst images, a file each; older ones go."""
    place = folder / "examples" / task.benchmark.name
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.png"):
        old.unlink()
    for name, i in ranked(result.images, count):
        row = result.images[i]
        number = sample_number(images.reader, row.key)
        one = range(number, number + 1)
        batches = images.batches(segmenter.multiple, batch_size=1, samples=one)
        for key, picture in examples(segmenter, batches, task):
            file = f"{name}-{file_name(key)}-{100 * row.miou:.0f}.png"
            Image.fromarray(picture).save(place / file)


def print_scores(result: Result) -> None:
    """Scores in percent with their intervals, and the IoU of every class."""
    scores, protocol = result.scores, result.protocol
    changed = ", changed" if protocol.changed else ""
    title = f"{result.name} on {result.benchmark}, protocol {protocol.name}{changed}"
    table = Table("score", "%", "95 % of resamples", title=title)
    for field in SCORES:
        if (value := getattr(scores, field)) is not None:
            low_high = getattr(scores, f"{field}_interval", None)
            interval = "" if low_high is None else " to ".join(map(_percent, low_high))
            table.add_row(field.replace("_", " "), _percent(value), interval)
    classes = Table("class", "IoU", "accuracy")
    known = {name: iou for name, iou in scores.per_class.items() if not math.isnan(iou)}
    for name in sorted(known, key=lambda name: -known[name]):
        classes.add_row(name, _percent(known[name]), _percent(scores.per_class_accuracy[name]))
    console = Console()
    console.print(classes, table)
    if result.threshold.value is not None:
        source = result.threshold.chosen_on or "stated by the protocol"
        console.print(f"background threshold {result.threshold.value} ({source})")
    if result.correction_chosen_on is not None:
        kind = result.model.correction.kind if result.model.correction else "none"
        console.print(f"correction {kind} ({result.correction_chosen_on})")
    if result.curve:
        top = result.curve.maximum
        console.print(
            f"any threshold: highest mIoU {_percent(top.miou)} at {top.threshold}, "
            f"mean over thresholds {_percent(result.curve.area)}"
        )
    if unlabelled := sum(math.isnan(image.pixel_accuracy) for image in result.images):
        console.print(
            f"{unlabelled} of {scores.images} images have no labelled pixel: they count in no score"
        )
    for reason in scores.skipped:
        console.print(f"skipped {reason}", style="red")


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"
