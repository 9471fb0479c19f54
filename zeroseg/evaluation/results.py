"""What one evaluation leaves: scores, their intervals, the protocol that made them, as one file."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from zeroseg.errors import InputError
from zeroseg.evaluation.bootstrap import intervals
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.protocols import Protocol, changes
from zeroseg.evaluation.scores import (
    ImageScore,
    Scores,
    ThresholdCurve,
    image_scores,
    scores_of,
    splits_of,
    threshold_curve,
)
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task
from zeroseg.models.prompts import templates_named
from zeroseg.records import read_record, to_json
from zeroseg.store.decontamination import Decontamination
from zeroseg.store.storage import read_bytes


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """Whose scores they are; a field that a kind of model does not have is empty."""

    kind: str
    """`student`, `clip`, or what else was scored."""
    folder: str = ""
    """Where a trained model was read."""
    readout: str = ""
    """Of a student."""
    correction: Correction | None = None
    """Of a student with its teacher at test, and the views that its teacher was shown; None alone."""
    method: str = ""
    """How a CLIP answers for pixels, as in `clip:ARCH:WEIGHTS:METHOD`."""
    architecture: str = ""
    """This and the five below are the fields of the CLIP's `CLIPConfig`."""
    weights: str = ""
    precision: str = ""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    register: str = ""
    sha256: str = ""
    """Of the weights."""


@dataclass(frozen=True, kw_only=True)
class ResultProtocol(Protocol):
    """A protocol's fields, and which of them are not those of the protocol whose name it has."""

    changed: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What the text encoder was asked."""

    queries: tuple[str, ...] = ()
    owners: tuple[int, ...] = ()
    """The class index of each query."""
    templates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Threshold:
    """The background threshold in use."""

    value: float | None = None
    """None if there is no background, or words for it."""
    chosen_on: str | None = None
    """The data on which it was chosen; None if the protocol states it."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """All of a result file; docs/evaluation.md describes it.

    Raises InputError when the confusion matrix does not have the shape of the classes.
    """

    format: Literal[1] = 1
    name: str
    """The row of the table."""
    model: ModelIdentity
    benchmark: str
    """Its name; one of anybody's own ends in a digest of its classes."""
    classes: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    """Of the classes; empty, too, in a file of an earlier version."""
    shards: str
    protocol: ResultProtocol
    words: Words = dataclasses.field(default_factory=Words)
    threshold: Threshold
    scores: Scores
    curve: ThresholdCurve | None = None
    """None without background."""
    confusion: tuple[tuple[int, ...], ...]
    """Pixels; rows are the truth, columns the prediction."""
    images: tuple[ImageScore, ...]
    truth: str = ""
    """Digest of the images' keys and label maps, see `Tally.truth`; empty in a file of an earlier version."""
    correction_chosen_on: str | None = None
    """The data on which the model's correction was chosen, or that there is none; None if it was stated."""
    shards_fingerprint: str = ""
    """`ShardSet.fingerprint` of the shards; empty in a file of an earlier version."""
    decontamination: Decontamination | None = None
    """Against what the images that the model was trained on were cleaned; None where that is not known."""
    code: str
    """Version and commit."""

    @property
    def decontaminated(self) -> bool | None:
        """Whether the training's images were cleaned of these shards' images; None where that is not known."""
        if self.decontamination is None or not self.shards_fingerprint:
            return None
        return self.decontamination.holds(self.shards_fingerprint)

    def __post_init__(self) -> None:
        size = len(self.classes)
        if [len(row) for row in self.confusion] != [size] * size:
            raise InputError(f"confusion is not {size} by {size}, the number of classes")


def read_result(path: str) -> Result:
    """The content of a result file. Raises InputError naming the file and the field that is wrong."""
    remedy = "score again with `zeroseg evaluate`, or delete the file"
    return read_record(Result, read_bytes(path), path, remedy=remedy)


def result_text(result: Result) -> str:
    """The content of a result file."""
    return json.dumps(to_json(result), indent=1, allow_nan=False) + "\n"


def result_of(
    name: str,
    model: ModelIdentity,
    task: Task,
    shards: str,
    tally: Tally,
    *,
    chosen_on: str | None,
    correction_chosen_on: str | None = None,
    code: str,
    shards_fingerprint: str = "",
    decontamination: Decontamination | None = None,
) -> Result:
    """The result of a tally. Raises InputError when no image could be scored."""
    benchmark, protocol, threshold = task.benchmark, task.protocol, task.threshold
    scores = scores_of(tally, task)
    found = intervals(tally.by_image(threshold), splits_of(benchmark), absent=protocol.absent)
    ends: dict[str, Any] = {
        f"{split}_interval": tuple(interval) for split, interval in found.items()
    }
    return Result(
        name=name,
        model=model,
        benchmark=benchmark.name,
        classes=benchmark.classes,
        unseen=tuple(sorted(benchmark.unseen)),
        shards=shards,
        protocol=ResultProtocol(**asdict(protocol), changed=changes(protocol, benchmark)),
        words=Words(
            queries=task.queries.names,
            owners=tuple(task.queries.owners.tolist()),
            templates=templates_named(protocol.templates),
        ),
        threshold=Threshold(threshold, chosen_on),
        scores=dataclasses.replace(scores, **ends),
        curve=threshold_curve(tally, protocol.absent),
        confusion=tuple(map(tuple, tally.confusion(threshold).tolist())),
        images=image_scores(tally, threshold),
        truth=tally.truth,
        correction_chosen_on=correction_chosen_on,
        code=code,
        shards_fingerprint=shards_fingerprint,
        decontamination=decontamination,
    )


def fingerprint(content: Any) -> str:
    """Digest of all that an evaluation depends on; counts are continued only under the same one."""
    text = json.dumps(to_json(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
