"""How far a score can be trusted: the bootstrap over images (Efron, 1979).

A score is computed again for samples of as many images, drawn with replacement; its interval holds
the middle 95 % of them. Two results on the same images are compared on the same samples (paired), as
what makes an image hard makes it so for both.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real
from numpy import ndarray

from zeroseg.errors import InputError
from zeroseg.evaluation.tally import ClassCounts

SAMPLES = 1000
LEVEL = 0.95
BATCH = 100
"""Samples at once: what bounds memory."""


class Interval(NamedTuple):
    """Where the middle 95 % of the samples lie."""

    low: float
    high: float


class Difference(NamedTuple):
    """The second mean IoU less the first, and its interval; shares, not percent."""

    difference: float
    low: float
    high: float


def class_ious(
    hits: Real[ndarray, "*sample class"],
    truth: Real[ndarray, "*sample class"],
    predicted: Real[ndarray, "*sample class"],
) -> Float[ndarray, "*sample class"]:
    """IoU; nan where a class is in neither truth nor prediction."""
    union = truth + predicted - hits
    return np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0)


def mean_over(
    ious: Float[ndarray, "*sample class"], absent_is_zero: bool
) -> Float[ndarray, "*sample"]:
    """Mean over classes that occur, or over all with 0 for those that do not; nan of nothing."""
    if absent_is_zero:
        return np.nan_to_num(ious).mean(axis=-1)
    known = ~np.isnan(ious)
    total, count = np.where(known, ious, 0).sum(axis=-1), known.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def intervals(
    counts: ClassCounts,
    splits: Mapping[str, Sequence[int]],
    *,
    absent_is_zero: bool = False,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """The interval of the mean IoU over each split's classes, by the split's name."""
    drawn: dict[str, list[Float[ndarray, " sample"]]] = {name: [] for name in splits}
    for weights in _weights(len(counts.hits), samples, seed):
        ious = class_ious(*(weights @ part for part in counts))
        for name, of in splits.items():
            drawn[name].append(mean_over(ious[:, list(of)], absent_is_zero))
    return {name: _interval(np.concatenate(values)) for name, values in drawn.items()}


def paired(
    first: ClassCounts,
    second: ClassCounts,
    *,
    absent_is_zero: bool = False,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Difference:
    """How much better the second is on the same images, in the same order.

    Raises InputError when they are not as many images or classes.
    """
    if first.hits.shape != second.hits.shape:
        raise InputError(
            f"{first.hits.shape} and {second.hits.shape} images and classes cannot be compared: "
            "score both on the same shards and benchmark"
        )

    def gained(weights: Float[ndarray, "sample image"]) -> Float[ndarray, " sample"]:
        old, new = (
            mean_over(class_ious(*(weights @ part for part in counts)), absent_is_zero)
            for counts in (first, second)
        )
        return new - old

    values = np.concatenate([gained(w) for w in _weights(len(first.hits), samples, seed)])
    whole = gained(np.ones((1, len(first.hits))))
    return Difference(float(whole[0]), *_interval(values))


def _weights(images: int, samples: int, seed: int) -> Iterator[Float[ndarray, "sample image"]]:
    """How often each image is in each sample; the same whatever the batch."""
    generator = np.random.default_rng(seed)
    share = np.full(images, 1 / images)
    for start in range(0, samples, BATCH):
        size = min(BATCH, samples - start)
        yield generator.multinomial(images, share, size=size).astype(np.float64)


def _interval(values: Float[ndarray, " sample"]) -> Interval:
    """nan when no sample has the score."""
    known = values[~np.isnan(values)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
