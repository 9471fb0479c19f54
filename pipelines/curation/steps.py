"""The steps of `zeroseg curate`: each says of the images that are left which go, and why.

A step changes nothing; it is a function of facts, of which images are left, and of its own values.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from pipelines.curation.facts import Facts
from zeroseg.data.block_tasks import InProcess, Share
from zeroseg.data.near_pairs import near_groups
from zeroseg.data.stored_rows import Rows
from zeroseg.data.vector_tasks import BLOCK, PairCosines
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
    text: float = 0.65
    """Share of pixels of one grey level from which a picture of many strokes is a page of text."""
    strokes: float = 8.0
    """Changes between ground and ink along an average row, and column, from which strokes are many."""
    uniform: float = 0.0
    """Share of pixels of one grey level from which a picture shows too little; a plane in a plain sky has
    more than 0.9."""

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or 0 < self.narrow < 1 or max(self.text, self.uniform) > 1:
            raise InputError(
                f"{self}: no rule is below 0, narrow at least 1, text and uniform at most 1"
            )


def unusable(facts: Facts, left: Bool[ndarray, " sample"]) -> Verdicts:
    """Images that cannot be read, and those without embedding where there are embeddings."""
    verdicts = {}
    for number in np.flatnonzero(left & (facts.pixels == 0)).tolist():
        verdicts[number] = Verdict("unreadable")
    if facts.rows.shape[1]:
        for number in np.flatnonzero(left & ~facts.embedded).tolist():
            verdicts.setdefault(number, Verdict("no embedding"))
    return verdicts


def junk(facts: Facts, left: Bool[ndarray, " sample"], rules: Junk) -> Verdicts:
    """Images that break a rule; of several the first in the order of the rules."""
    shorter, longer = facts.sizes.min(axis=1), facts.sizes.max(axis=1)
    ground, strokes = facts.level("ground"), facts.level("strokes")
    broken = {
        "flat": facts.level("flatness") < rules.flat,
        "tiny": shorter < rules.tiny,
        "narrow": (longer > rules.narrow * shorter) & (rules.narrow > 0),
        "text": (ground >= rules.text) & (strokes >= rules.strokes) & (rules.text > 0),
        "uniform": (ground >= rules.uniform) & (rules.uniform > 0),
    }
    verdicts: dict[int, Verdict] = {}
    for reason, which in broken.items():
        for number in np.flatnonzero(which & left).tolist():
            verdicts.setdefault(number, Verdict(reason))
    return verdicts


def exact_duplicates(facts: Facts, left: Bool[ndarray, " sample"]) -> Verdicts:
    """Images whose file is another's, byte for byte; the one with the first key stays."""
    chosen = np.flatnonzero(left)
    words = np.ascontiguousarray(facts.digests[chosen]).view(np.uint64)
    order = np.lexsort((_ranks(facts)[chosen], *words.T))
    first = np.ones(len(order), bool)
    first[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    best = chosen[order[first]][np.cumsum(first) - 1]
    return {
        int(number): Verdict("exact duplicate", int(other))
        for number, other in zip(chosen[order[~first]], best[~first], strict=True)
    }


def same_pictures(
    facts: Facts, left: Bool[ndarray, " sample"], least: float, share: Share | None = None
) -> Verdicts:
    """Images whose thumbnail is another's, but the best of each group: of most pixels, then of the first
    key. `least` is the cosine of two thumbnails from which they are of one picture."""
    return _copies(facts, left & facts.shown, facts.thumbnails, least, "same picture", share)


def near_duplicates(
    facts: Facts, left: Bool[ndarray, " sample"], least: float, share: Share | None = None
) -> Verdicts:
    """Near copies by their whole-image embeddings, but the best of each group; `least` is the cosine."""
    return _copies(facts, left, facts.rows, least, "near duplicate", share)


def _copies(
    facts: Facts,
    left: Bool[ndarray, " sample"],
    vectors: Rows,
    least: float,
    reason: str,
    share: Share | None,
) -> Verdicts:
    share, chosen = share or InProcess(), np.flatnonzero(left)
    best = near_groups(vectors, least, _ranks(facts)[chosen], chosen, share)
    gone = np.flatnonzero(best != np.arange(len(best)))
    if not len(gone):
        return {}
    pairs = chosen[np.stack([gone, best[gone]], axis=1)]
    cosines = np.concatenate(list(share(PairCosines(pairs=pairs, size=BLOCK), vectors)))
    return {
        number: Verdict(reason, other, round(cosine, 4))
        for (number, other), cosine in zip(pairs.tolist(), cosines.tolist(), strict=True)
    }


def _ranks(facts: Facts) -> Int[ndarray, " sample"]:
    """The place of each image in the order of preference: pixels, key, place in the set."""
    order = np.lexsort((np.arange(len(facts)), facts.keys, -facts.pixels))
    ranks = np.empty(len(facts), np.int64)
    ranks[order] = np.arange(len(facts))
    return ranks
