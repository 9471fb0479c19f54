"""How far a score can be trusted: the bootstrap over images (Efron, 1979).

A score is computed again for samples of as many images, drawn with replacement; its interval holds
the middle 95 % of them. Two results on the same images are compared on the same samples (paired), as
what makes an image hard makes it so for both.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zeroseg.errors import InputError
from zeroseg.evaluation.metrics import class_ious, harmonic_mean, mean_over
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
    """The second score less the first, and its interval; shares, not percent."""

    difference: float
    low: float
    high: float


def intervals(
    counts: ClassCounts,
    splits: Mapping[str, Sequence[int]],
    *,
    absent: float = math.nan,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """The interval of the mean IoU over each split's classes, by the split's name; and of the `hiou`
    where `seen_miou` and `unseen_miou` are among them."""
    means = _joined(
        _means(sampled_ious(counts, weights), splits, absent)
        for weights in _weights(len(counts.hits), samples, seed)
    )
    return {name: _interval(values) for name, values in means.items()}


def sampled_ious(
    counts: ClassCounts, weights: Float[Tensor, "sample image"]
) -> Float[Tensor, "sample class"]:
    """IoU of each class where images are weighted."""
    return class_ious(*(weights @ torch.from_numpy(part).double() for part in counts))


def paired(
    first: ClassCounts,
    second: ClassCounts,
    *,
    absent: float = math.nan,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Difference:
    """How much better the second is on the same images, in the same order, by the mean IoU.

    Raises InputError as `paired_splits`.
    """
    everything = {"miou": range(first.truth.shape[1])}
    found = paired_splits(first, second, everything, absent=absent, samples=samples, seed=seed)
    return found["miou"]


def paired_splits(
    first: ClassCounts,
    second: ClassCounts,
    splits: Mapping[str, Sequence[int]],
    *,
    absent: float = math.nan,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, Difference]:
    """How much better the second is on the same images, in the same order, by the scores of `intervals`.

    Raises InputError when they are not as many images or classes, or have other label maps.
    """
    if first.truth.shape != second.truth.shape:
        raise InputError(
            f"{first.truth.shape} and {second.truth.shape} images and classes cannot be compared: "
            "score both on the same shards and benchmark"
        )
    if (first.truth != second.truth).any():
        raise InputError(
            "results whose images have other label maps cannot be compared: score both on the "
            "same shards"
        )

    def gained(weights: Float[Tensor, "sample image"]) -> dict[str, Float[Tensor, " sample"]]:
        old, new = (
            _means(sampled_ious(counts, weights), splits, absent) for counts in (first, second)
        )
        return {name: new[name] - old[name] for name in new}

    drawn = _joined(gained(w) for w in _weights(len(first.hits), samples, seed))
    whole = gained(torch.ones(1, len(first.hits), dtype=torch.float64))
    return {n: Difference(float(whole[n][0]), *_interval(v)) for n, v in drawn.items()}


def _means(
    ious: Float[Tensor, "sample class"], splits: Mapping[str, Sequence[int]], absent: float
) -> dict[str, Float[Tensor, " sample"]]:
    means = {name: mean_over(ious[:, list(of)], absent) for name, of in splits.items()}
    if means.keys() >= {"seen_miou", "unseen_miou"}:
        means["hiou"] = harmonic_mean(means["seen_miou"], means["unseen_miou"])
    return means


def _joined(
    parts: Iterable[Mapping[str, Float[Tensor, " part"]]],
) -> dict[str, Float[Tensor, " sample"]]:
    """Samples that were drawn in parts."""
    listed = list(parts)
    return {name: torch.cat([part[name] for part in listed]) for name in listed[0]}


def _weights(images: int, samples: int, seed: int) -> Iterator[Float[Tensor, "sample image"]]:
    """How often each image is in each sample; the same whatever the batch."""
    generator = np.random.default_rng(seed)
    share = np.full(images, 1 / images)
    for start in range(0, samples, BATCH):
        size = min(BATCH, samples - start)
        yield torch.from_numpy(generator.multinomial(images, share, size=size)).double()


def _interval(values: Float[Tensor, " sample"]) -> Interval:
    """nan when no sample has the score."""
    low, high = values.nanquantile(values.new_tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
    return Interval(low, high)
