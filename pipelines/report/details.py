"""One result in detail: its classes, what is taken for what, its threshold, its images."""

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from pipelines.report.charts import distribution, threshold_chart
from pipelines.report.runs import RunResult, number
from pipelines.report.table import DECONTAMINATED
from zeroseg.evaluation.results import Result

SHOWN = 12
"""Rows and columns of a heat map, and confusions in a list."""
FEW = 40
"""More classes than these are folded away behind the highest and the lowest ten."""
SUMMARY = {
    "miou": "mIoU",
    "mean_accuracy": "mean accuracy",
    "pixel_accuracy": "pixel accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "boundary_miou": "boundary mIoU",
    "seen_miou": "seen mIoU",
    "unseen_miou": "unseen mIoU",
    "hiou": "hIoU",
}


class ClassScore(NamedTuple):
    """IoU and accuracy of a class in percent; None where it does not occur."""

    name: str
    iou: float | None
    accuracy: float | None


class Confusion(NamedTuple):
    """Pixels of one class that were given another's name."""

    truth: str
    prediction: str
    of_truth: float
    """Percent of the pixels of the true class."""
    of_wrong: float
    """Percent of all wrong pixels."""


class HeatRow(NamedTuple):
    """Where the pixels of a class go, in percent of them, by the heat map's columns."""

    name: str
    shares: tuple[float, ...]
    others: float
    """Of classes without a column."""


class HeatMap(NamedTuple):
    """Classes as rows (truth) and columns (prediction)."""

    columns: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    complete: bool
    """Whether these are all classes, not the worst alone."""


@dataclass(frozen=True)
class Details:
    """All that the page shows of a result, besides its row in the table."""

    result: Result
    decontaminated: str
    """Whether the training's images were cleaned of the benchmark's, and by what, in words."""
    model: dict[str, str]
    """Fields of the model's identity that say something."""
    summary: dict[str, float]
    """Scores by name, in percent."""
    highest: Sequence[ClassScore]
    lowest: Sequence[ClassScore]
    classes: Sequence[ClassScore]
    """All; `highest` and `lowest` are empty where these are few."""
    confusions: Sequence[Confusion]
    heat_map: HeatMap
    threshold_chart: str
    distribution_chart: str
    median: float | None
    """Of the images' mean IoU, in percent."""


def details_of(entry: RunResult) -> Details:
    """Everything about one result."""
    result = entry.result
    classes = class_scores(result)
    known = [score for score in classes if score.iou is not None]
    many = len(classes) > FEW
    confusion = np.array(result.confusion, dtype=np.int64)
    images = [v for image in result.images if (v := number(image.miou)) is not None]
    identity = dataclasses.asdict(result.model)
    curve, scores = result.curve, result.scores
    of = ", ".join((entry.run, result.name, result.benchmark, result.protocol.name))
    return Details(
        result=result,
        decontaminated=decontaminated(result),
        model={k: str(v)[:12] if k == "sha256" else str(v) for k, v in identity.items() if v},
        summary={
            name: 100 * value
            for key, name in SUMMARY.items()
            if (value := number(getattr(scores, key))) is not None
        },
        highest=known[:10] if many else (),
        lowest=known[-10:] if many else (),
        classes=classes,
        confusions=largest_confusions(confusion, result.classes),
        heat_map=heat_map(confusion, result.classes),
        threshold_chart=threshold_chart(of, curve, result.threshold.value, scores.miou)
        if curve
        else "",
        distribution_chart=distribution(of, images) if images else "",
        median=100 * statistics.median(images) if images else None,
    )


def decontaminated(result: Result) -> str:
    """As the table says it, with the cosines and all benchmarks that the images were cleaned of."""
    said, known = DECONTAMINATED[result.decontaminated], result.decontamination
    if known is None or not known.against:
        return said
    cosines = {"embeddings": known.against_cosine, "thumbnails": known.same_picture}
    compared = "".join(f", {what} from cosine {c:g}" for what, c in cosines.items() if c < 1)
    return f"{said} (cleaned of {', '.join(known.against)}: files{compared})"


def class_scores(result: Result) -> list[ClassScore]:
    """The highest IoU first; classes that do not occur last."""
    accuracies = result.scores.per_class_accuracy
    scores = [
        ClassScore(name, _percent(iou), _percent(accuracies[name]))
        for name, iou in result.scores.per_class.items()
    ]
    return sorted(scores, key=lambda s: -1.0 if s.iou is None else s.iou, reverse=True)


def largest_confusions(
    confusion: Int[ndarray, "classes classes"], names: Sequence[str]
) -> list[Confusion]:
    """The pairs of classes between which most pixels went wrong, the largest first."""
    wrong = confusion - np.diag(confusion.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:SHOWN]
    places = [divmod(int(place), len(names)) for place in order]
    return [
        Confusion(
            names[truth],
            names[prediction],
            100 * wrong[truth, prediction] / confusion[truth].sum(),
            100 * wrong[truth, prediction] / wrong.sum(),
        )
        for truth, prediction in places
        if wrong[truth, prediction]
    ]


def heat_map(confusion: Int[ndarray, "classes classes"], names: Sequence[str]) -> HeatMap:
    """Where the pixels of the classes with the lowest IoU go; of all classes where these are few."""
    pixels = confusion.sum(axis=1)
    present = np.flatnonzero(pixels)
    shares: Float[ndarray, "classes classes"] = confusion / np.maximum(pixels, 1)[:, None]
    if complete := len(names) <= SHOWN:
        rows, columns = present, np.arange(len(names))
    else:
        hits = confusion.diagonal()
        iou = hits / np.maximum(pixels + confusion.sum(axis=0) - hits, 1)
        rows = present[np.argsort(iou[present], kind="stable")][:SHOWN]
        taken = np.argsort(-shares[rows].sum(axis=0), kind="stable")[:SHOWN]
        columns = np.sort(taken)
    return HeatMap(
        tuple(names[int(c)] for c in columns),
        tuple(
            HeatRow(
                names[int(r)],
                tuple((100 * shares[r, columns]).tolist()),
                100 * float(1 - shares[r, columns].sum()),
            )
            for r in rows
        ),
        complete,
    )


def _percent(value: float | None) -> float | None:
    known = number(value)
    return None if known is None else 100 * known
