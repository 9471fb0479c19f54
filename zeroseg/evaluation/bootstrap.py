"""How far a score can be trusted: the bootstrap over images (Efron, 1979).

A score is computed again for samples of as many images, drawn with replacement; its interval holds
the middle 95 % of them. Two results on the same images are compared on the same samples (paired), as
what makes an image hard makes it so for both.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
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
    """The second mean IoU less the first, and its interval; shares, not percent."""

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
    drawn: dict[str, list[Float[Tensor, " sample"]]] = {name: [] for name in splits}
    for weights in _weights(len(counts.hits), samples, seed):
        ious = sampled_ious(counts, weights)
        for name, of in splits.items():
            drawn[name].append(mean_over(ious[:, list(of)], absent))
    means = {name: torch.cat(values) for name, values in drawn.items()}
    if means.keys() >= {"seen_miou", "unseen_miou"}:
        means["hiou"] = harmonic_mean(means["seen_miou"], means["unseen_miou"])
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
    """How much better the second is on the same images, in the same order.

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

    def gained(weights: Float[Tensor, "sample image"]) -> Float[Tensor, " sample"]:
        old, new = (mean_over(sampled_ious(c, weights), absent) for c in (first, second))
        return new - old

    values = torch.cat([gained(w) for w in _weights(len(first.hits), samples, seed)])
    whole = gained(torch.ones(1, len(first.hits), dtype=torch.float64))
    return Difference(float(whole[0]), *_interval(values))


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
