"""What is counted of every image: enough for any score, any threshold and any choice of images.

Integers only, so that sums are the same in any order, for any number of processes and any batch
size.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray


class ClassCounts(NamedTuple):
    """Pixels of each image and class: right, in the truth, in the prediction."""

    hits: Int[ndarray, "image class"]
    truth: Int[ndarray, "image class"]
    predicted: Int[ndarray, "image class"]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Pixels of images by label, best class, and how many of the thresholds its probability reaches.

    Only entries that occur are kept. `boundary` is empty where it was not asked for.
    """

    classes: int
    thresholds: tuple[float, ...]
    """Rising."""
    keys: tuple[str, ...]
    """Of the images, in the order of the set."""
    image: Int[ndarray, " entry"]
    """Which of `keys` each entry counts."""
    counts: Int[ndarray, "entry 4"]
    """Label, best class, thresholds reached, pixels; see `metrics.threshold_counts`."""
    boundary: Int[ndarray, "boundary_image class 2"]
    """Pixels in both boundaries and in either (Boundary IoU), at the threshold in use."""
    lost: tuple[str, ...] = ()
    """Samples that could not be scored, and why."""

    def predictions(self, threshold: float | None) -> Int[ndarray, " entry"]:
        """The class that each entry counts for; below the threshold it is 0, background."""
        _, best, reached, _ = self.counts.T
        if threshold is None:
            return best
        return np.where(reached > self.thresholds.index(threshold), best, 0)

    def confusion(self, threshold: float | None) -> Int[ndarray, "classes classes"]:
        """Pixels of all images by (label, prediction)."""
        pairs = self.counts[:, 0] * self.classes + self.predictions(threshold)
        total = _summed(pairs, self.counts[:, 3], self.classes**2)
        return total.reshape(self.classes, self.classes)

    def by_image(self, threshold: float | None) -> ClassCounts:
        """What IoU and accuracy of every single image are made of."""
        labels, predictions = self.counts[:, 0], self.predictions(threshold)
        pixels = self.counts[:, 3]
        shape = len(self.keys), self.classes
        columns = ((labels, pixels * (labels == predictions)), (labels, pixels))
        return ClassCounts(
            *(
                _summed(self.image * self.classes + of, n, shape[0] * shape[1]).reshape(shape)
                for of, n in (*columns, (predictions, pixels))
            )
        )

    @property
    def truth(self) -> str:
        """Digest of the images' keys and the pixels of each class in their label maps.

        The same for the same images in any order; another where the same images have other label
        maps, so that scores of them do not compare.
        """
        pixels = self.by_image(None).truth
        rows = sorted(zip(self.keys, pixels.tolist(), strict=True))
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """As an `.npz` without pickled objects."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{f.name: getattr(self, f.name) for f in fields(self)})
        return buffer.getvalue()


def empty(classes: int, thresholds: tuple[float, ...], lost: tuple[str, ...] = ()) -> Tally:
    """No image."""
    return Tally(
        classes=classes,
        thresholds=thresholds,
        keys=(),
        image=np.empty(0, dtype=np.int64),
        counts=np.empty((0, 4), dtype=np.int64),
        boundary=np.empty((0, classes, 2), dtype=np.int64),
        lost=lost,
    )


def from_bytes(data: bytes) -> Tally:
    """What `to_bytes` made. Raises ValueError, KeyError or OSError on anything else."""
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return Tally(
            classes=int(found["classes"]),
            thresholds=tuple(found["thresholds"].tolist()),
            keys=tuple(found["keys"].tolist()),
            image=found["image"],
            counts=found["counts"],
            boundary=found["boundary"],
            lost=tuple(found["lost"].tolist()),
        )


def concatenate(parts: Sequence[Tally]) -> Tally:
    """All images of all parts, at least one, in their order."""
    starts = np.cumsum([0, *(len(part.keys) for part in parts[:-1])])
    return Tally(
        classes=parts[0].classes,
        thresholds=parts[0].thresholds,
        keys=tuple(key for part in parts for key in part.keys),
        image=np.concatenate([p.image + s for p, s in zip(parts, starts, strict=True)]),
        counts=np.concatenate([part.counts for part in parts]),
        boundary=np.concatenate([part.boundary for part in parts]),
        lost=tuple(reason for part in parts for reason in part.lost),
    )


def _summed(
    index: Int[ndarray, " entry"], pixels: Int[ndarray, " entry"], size: int
) -> Int[ndarray, " size"]:
    """Pixels by index; a float64 sum of integers is exact up to 2**53."""
    return np.bincount(index, weights=pixels, minlength=size).astype(np.int64)
