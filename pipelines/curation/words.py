"""Images by words: which stay for being like some, and which go for being like others.

Words are compared with whole-image embeddings by the text tower of the same CLIP. How great a cosine is that
of a picture with its own words differs from CLIP to CLIP, and from word to word: the best of each word, as a
number or as a share, can be asked for without knowing it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from pipelines.curation.facts import Facts
from pipelines.curation.steps import Verdict, Verdicts
from zeroseg.data.unit_vectors import one_thread, unit
from zeroseg.data.vector_tasks import AT_ONCE
from zeroseg.datasets.own_benchmarks import spelled
from zeroseg.errors import InputError
from zeroseg.models.class_text import class_text
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import BARE

COLUMNS = 16
"""Words that are compared with all images at a time: 64 bytes an image."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What images are to show, in words, and what not; needs --embeddings.

    Raises InputError for a word without a letter or named twice, and for numbers that say nothing.
    """

    like: tuple[str, ...] = ()
    """Leave what is like one of these: `|` is between synonyms. It takes --like-best or --like-cosine, or
    --unlike, beside which they are what its words are compared with."""
    like_best: float = 0
    """So many images for each word, those most like it; below 1 that share of what is left."""
    like_cosine: float | None = None
    """Cosine with the word below which an image is not like it."""
    unlike: tuple[str, ...] = ()
    """Leave out what is like one of these: by a number below, or else what is more like one of these than
    like any word of --like."""
    unlike_best: float = 0
    """So many images for each word, those most like it, go; below 1 that share of what is left."""
    unlike_cosine: float | None = None
    """Cosine with the word from which an image goes."""
    names: str = ""
    """Count the images by the name that each is most like: a file with a name in each line, or a benchmark.
    `vocabulary.csv` and `vocabulary.png` are written beside the selection."""
    names_at_most: int = 0
    """Leave so many images of each name, drawn by --seed; 0 leaves all."""

    def __post_init__(self) -> None:
        said = [spelled(word) for word in (*self.like, *self.unlike)]
        if twice := sorted({word for word in said if said.count(word) > 1}):
            raise InputError(f"--like and --unlike name {twice[0]!r} twice: remove one")
        for side in ("like", "unlike"):
            best, cosine = getattr(self, f"{side}_best"), getattr(self, f"{side}_cosine")
            if best < 0 or (best > 1 and best != int(best)):
                raise InputError(f"--{side}-best is {best}: it is a number, or a share below 1")
            if cosine is not None and not -1 <= cosine <= 1:
                raise InputError(f"--{side}-cosine is {cosine}: it is between -1 and 1")
            if (best or cosine is not None) and not getattr(self, side):
                raise InputError(f"--{side}-best and --{side}-cosine are of words: name --{side}")
        if self.like and not self.like_decides and not self.contrasts:
            raise InputError(
                "--like does not say how much: name --like-best 0.1, for the tenth of all images that is most "
                "like each word, or another share or number, or --like-cosine"
            )
        if self.unlike and not self.like and not self.unlike_best and self.unlike_cosine is None:
            raise InputError(
                "--unlike does not say how much: name --unlike-best 0.01, for the hundredth of all images "
                "that is most like each word, --unlike-cosine, or words of --like to compare with"
            )
        if self.names_at_most < 0 or (self.names_at_most and not self.names):
            raise InputError(
                f"--names-at-most is {self.names_at_most}: it is at least 0, and of --names"
            )

    @property
    def like_decides(self) -> bool:
        """Whether an image that is like no word goes."""
        return bool(self.like) and (self.like_best > 0 or self.like_cosine is not None)

    @property
    def contrasts(self) -> bool:
        """Whether unlike words are compared with like ones."""
        numbers = self.unlike_best > 0 or self.unlike_cosine is not None
        return bool(self.like and self.unlike) and not numbers

    @property
    def steps(self) -> dict[str, Any]:
        """What is asked for, as plain values."""
        fields = asdict(self).items()
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields
            if value not in ((), "", 0, None) or (name.endswith("cosine") and value is not None)
        }


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Words as the teacher's text, and what goes by them."""

    words: Words
    like: Float[ndarray, "word embed"]
    unlike: Float[ndarray, "word embed"]

    def unlike_gone(self, facts: Facts, left: Bool[ndarray, " sample"]) -> Verdicts:
        """Images that are like a word that is not wanted, each with the one that it is most like."""
        words, chosen = self.words, np.flatnonzero(left)
        if words.contrasts:
            cosines, which = most_like(facts, chosen, self.unlike)
            gone = cosines > most_like(facts, chosen, self.like)[0]
        else:
            gone, cosines, which = picked(
                facts, chosen, self.unlike, words.unlike_best, words.unlike_cosine
            )
        reasons = [f'unlike "{word}"' for word in words.unlike]
        return _verdicts(chosen, gone, cosines, [reasons[i] for i in which])

    def like_gone(self, facts: Facts, left: Bool[ndarray, " sample"]) -> Verdicts:
        """Images that are not like a word that is wanted, each with the one that it is most like."""
        words, chosen = self.words, np.flatnonzero(left)
        stays, cosines, which = picked(facts, chosen, self.like, words.like_best, words.like_cosine)
        reasons = [f'not like "{word}"' for word in words.like]
        return _verdicts(chosen, ~stays, cosines, [reasons[i] for i in which])


def wording(words: Words, clip: CLIP) -> Wording:
    """Embed the words."""
    return Wording(
        words=words, like=text_rows(clip, words.like), unlike=text_rows(clip, words.unlike)
    )


def text_rows(clip: CLIP, names: Sequence[str]) -> Float[ndarray, "name embed"]:
    """Unit vectors of names: the mean over plain phrasings (`prompts.BARE`) and synonyms of each."""
    return unit(class_text(clip, [spelled(name) for name in names], BARE).cpu().numpy())


def most_like(
    facts: Facts, chosen: Int[ndarray, " chosen"], texts: Float[ndarray, "text embed"]
) -> tuple[Float[ndarray, " chosen"], Int[ndarray, " chosen"]]:
    """Of each chosen image the greatest cosine with a text, and the number of that text."""
    cosines, which = np.empty(len(chosen), np.float32), np.empty(len(chosen), np.int32)
    for part, rows in _blocks(facts, chosen):
        found, numbers = faiss.knn(rows, texts, 1, metric=faiss.METRIC_INNER_PRODUCT)
        cosines[part], which[part] = found[:, 0], numbers[:, 0]
    return cosines, which


def picked(
    facts: Facts,
    chosen: Int[ndarray, " chosen"],
    texts: Float[ndarray, "text embed"],
    best: float,
    least: float | None,
) -> tuple[Bool[ndarray, " chosen"], Float[ndarray, " chosen"], Int[ndarray, " chosen"]]:
    """Which images are among those most like some text, then what `most_like` gives.

    Those of a text are the `best`, as a number or as a share below 1, 0 for all, of equal ones the first;
    and of them those of a cosine of `least` or more.
    """
    count = max(1, round(best * len(chosen))) if best < 1 else int(best)
    found = np.zeros(len(chosen), bool)
    for first in range(0, len(texts), COLUMNS):
        for cosines in _cosines(facts, chosen, texts[first : first + COLUMNS]).T:
            enough = np.ones(len(chosen), bool) if least is None else cosines >= least
            if best:
                order = np.argsort(-cosines, kind="stable")
                enough[order[count:]] = False
            found |= enough
    return found, *most_like(facts, chosen, texts)


def _cosines(
    facts: Facts, chosen: Int[ndarray, " chosen"], texts: Float[ndarray, "text embed"]
) -> Float[ndarray, "chosen text"]:
    cosines = np.empty((len(chosen), len(texts)), np.float32)
    for part, rows in _blocks(facts, chosen):
        found, numbers = faiss.knn(rows, texts, len(texts), metric=faiss.METRIC_INNER_PRODUCT)
        np.put_along_axis(cosines[part], numbers, found, axis=1)
    return cosines


def _blocks(
    facts: Facts, chosen: Int[ndarray, " chosen"]
) -> Iterator[tuple[slice, Float[ndarray, "row embed"]]]:
    """Unit vectors of some images, so many at a time, and where they are among the chosen ones."""
    with one_thread():
        for first in range(0, len(chosen), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            yield part, unit(facts.rows[chosen[part]])


def _verdicts(
    chosen: Int[ndarray, " chosen"],
    gone: Bool[ndarray, " chosen"],
    cosines: Float[ndarray, " chosen"],
    reasons: Sequence[str],
) -> Verdicts:
    return {
        int(chosen[n]): Verdict(reasons[n], cosine=round(float(cosines[n]), 4))
        for n in np.flatnonzero(gone).tolist()
    }
