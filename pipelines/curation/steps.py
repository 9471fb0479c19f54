"""The steps of `zeroseg curate`: each says of the images that are left which go, and why.

A step changes nothing; it is a function of facts, of which images are left, and of its own values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from pipelines.curation.facts import Facts
from zeroseg.data.near_pairs import near_groups, unit
from zeroseg.errors import InputError


class Verdict(NamedTuple):
    """Why an image goes."""

    reason: str
    instead: int | str = ""
    """Of duplicates the number of the one that stays, of a benchmark's image its shard and key."""
    cosine: float | None = None


Verdicts = Mapping[int, Verdict]
"""By number in the whole set."""


@dataclass(frozen=True, kw_only=True)
class Junk:
    """What is too poor a picture to train on; 0 leaves a rule out."""

    flat: float = 4.0
    """Standard deviation of the grey levels, of 255, below which a picture shows nothing."""
    tiny: int = 64
    """Pixels of the shorter side below which it is too small."""
    narrow: float = 5.0
    """Longer over shorter side above which it is a strip."""

    def __post_init__(self) -> None:
        if min(self.flat, self.tiny, self.narrow) < 0 or 0 < self.narrow < 1:
            raise InputError(f"{self}: no rule is below 0, and narrow at least 1")


def unusable(facts: Facts, left: Bool[ndarray, " sample"]) -> Verdicts:
    """Images that cannot be read, and those without embedding where there are embeddings."""
    verdicts = {}
    for number in np.flatnonzero(left & (facts.pixels == 0)).tolist():
        verdicts[number] = Verdict("unreadable")
    if facts.rows.shape[1]:
        for number in np.flatnonzero(left & ~facts.rows.any(axis=1)).tolist():
            verdicts.setdefault(number, Verdict("no embedding"))
    return verdicts


def junk(facts: Facts, left: Bool[ndarray, " sample"], rules: Junk) -> Verdicts:
    """Images that break a rule; of several the first in the order of the rules."""
    shorter, longer = facts.sizes.min(axis=1), facts.sizes.max(axis=1)
    broken = {
        "flat": facts.flatness < rules.flat,
        "tiny": shorter < rules.tiny,
        "narrow": (longer > rules.narrow * shorter) & (rules.narrow > 0),
    }
    verdicts: dict[int, Verdict] = {}
    for reason, which in broken.items():
        for number in np.flatnonzero(which & left).tolist():
            verdicts.setdefault(number, Verdict(reason))
    return verdicts


def exact_duplicates(facts: Facts, left: Bool[ndarray, " sample"]) -> Verdicts:
    """Images whose file is another's, byte for byte; the one with the first key stays."""
    ranks, chosen = _ranks(facts), np.flatnonzero(left)
    _, group = np.unique(facts.digests[chosen], axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.lexsort((ranks[chosen], group))
    firsts = chosen[order[np.unique(group[order], return_index=True)[1]]]
    best = firsts[group]
    return {
        int(number): Verdict("exact duplicate", int(other))
        for number, other in zip(chosen, best, strict=True)
        if number != other
    }


def same_pictures(facts: Facts, left: Bool[ndarray, " sample"], least: float) -> Verdicts:
    """Images whose thumbnail is another's, but the best of each group: of most pixels, then of the first
    key. `least` is the cosine of two thumbnails from which they are of one picture."""
    shown = left & facts.thumbnails.any(axis=1)
    return _copies(facts, shown, facts.thumbnails, least, "same picture")


def near_duplicates(facts: Facts, left: Bool[ndarray, " sample"], least: float) -> Verdicts:
    """Near copies by their whole-image embeddings, but the best of each group; `least` is the cosine."""
    return _copies(facts, left, facts.rows, least, "near duplicate")


def _copies(
    facts: Facts,
    left: Bool[ndarray, " sample"],
    vectors: Float[ndarray, "sample width"],
    least: float,
    reason: str,
) -> Verdicts:
    chosen = np.flatnonzero(left)
    rows = vectors[chosen]
    best = near_groups(rows, least, _ranks(facts)[chosen])
    gone = np.flatnonzero(best != np.arange(len(best)))
    cosines = (unit(rows[gone]) * unit(rows[best[gone]])).sum(axis=1)
    return {
        int(chosen[number]): Verdict(reason, int(chosen[best[number]]), round(float(c), 4))
        for number, c in zip(gone, cosines, strict=True)
    }


def _ranks(facts: Facts) -> Int[ndarray, " sample"]:
    """The place of each image in the order of preference: pixels, key, place in the set."""
    order = np.lexsort((np.arange(len(facts)), facts.keys, -facts.pixels))
    ranks = np.empty(len(facts), np.int64)
    ranks[order] = np.arange(len(facts))
    return ranks
