"""Words that nobody chose for a picture: its segments are named from thousands of names (ZeroSeg, section 4).

First the names that may be in the picture are found: by its segments' own embeddings, or by those of the picture
and its cells (`shortlisted`). Then it is cut into segments, and each is named by its mean scores. Names that mean
the same are one class (`merged`). What is held at the pixels is a few names at a time, never all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.views import ViewSet, cut_views
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.own_benchmarks import synonyms
from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import grid_scores
from zeroseg.evaluation.inference import WindowScores, best_class, pixel_scores
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.task import Task
from zeroseg.models.class_text import class_text
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import templates_named
from zeroseg.models.segmenter import EmbedsSegments, Segmenter, ShowsSegments

CELLS = ViewSet(grids=(1, 2, 3))
"""Views by which names are found for a segmenter whose segments have no embeddings."""
ALTERNATIVES = 4
"""Classes that are told of a segment, beside the one that it is."""
COMPARED = 256
"""Names that are compared with all others at a time."""
HELD = 8
"""Names whose scores at the pixels are held at a time."""


class Named(NamedTuple):
    """A class of a picture."""

    label: int
    name: str
    """Of the class's names the one that scores best."""
    score: float
    """Mean cosine over the pixels of the segment that has the class, or mean score of a model that answers
    scores; of several segments that of the best."""
    alternatives: tuple[tuple[str, float], ...]
    """The next best classes of that segment, the best first: name and mean score."""


class NamedPicture(NamedTuple):
    """A picture whose segments are named."""

    labels: Int[Tensor, "height width"]
    scores: Float[Tensor, "height width"]
    """Of each pixel's segment: the probability of its name among those that were shortlisted, or the score
    itself under a protocol that takes no softmax."""
    named: tuple[Named, ...]
    """The classes that are there, by label."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenVocabulary:
    """Names to choose from, embedded once for all pictures.

    A class of the task's benchmark is what its names, merged, mean; a query is one name.
    """

    clip: CLIP
    task: Task
    shortlist: int
    """Names that a picture is asked about, at most."""

    @torch.no_grad()
    def name(
        self,
        segmenter: Segmenter,
        images: Float[Tensor, "1 3 rows columns"],
        size: tuple[int, int],
    ) -> NamedPicture:
        """Cut a picture into segments and name them; the label map is of `size`."""
        texts = self.task.queries.embeddings
        chosen = shortlisted(self._embeddings(segmenter, images), texts, self.shortlist)
        asked = replace(
            self.task, protocol=_comparing(self.task.protocol), queries=self._among(chosen)
        )
        scores, scale = grid_scores(segmenter, images, asked, size)
        if isinstance(segmenter, ShowsSegments):
            segments = segmenter.segments(images, size)[0]
        else:
            segments = best_class(scores, size, asked.queries.owners)[1][0]
        present, segments = segments.unique(return_inverse=True)
        means = segment_means(scores, segments, len(present), size)
        labels, named = named_segments(means, asked.queries)
        best = means.amax(dim=1)
        if scale is not None:
            best = (scale * means).softmax(dim=1).amax(dim=1)
        return NamedPicture(labels[segments], best.float()[segments], named)

    def _embeddings(
        self, segmenter: Segmenter, images: Float[Tensor, "1 3 rows columns"]
    ) -> Float[Tensor, "part embed"]:
        """Of a picture's segments, or else of the picture and its cells."""
        if isinstance(segmenter, EmbedsSegments):
            return segmenter.segment_embeddings(images)[0]
        return self.clip.encode_views(cut_views(images, CELLS, self.clip.image_size))[0]

    def _among(self, chosen: Int[Tensor, " chosen"]) -> Queries:
        queries = self.task.queries
        return Queries(
            names=tuple(queries.names[number] for number in chosen.tolist()),
            owners=queries.owners[chosen],
            seen=queries.seen[chosen],
            embeddings=queries.embeddings[chosen],
        )


def open_vocabulary(
    clip: CLIP, names: Sequence[str], protocol: Protocol, *, shortlist: int, same: float
) -> OpenVocabulary:
    """Embed names, in which commas separate synonyms, and merge those whose texts have a cosine of at least `same`.

    Raises InputError where fewer than two classes remain.
    """
    rows = class_text(clip, names, templates_named(protocol.templates))
    classes, owners = merged(names, rows, same)
    if len(classes) < 2:
        raise InputError(
            f"{len(names)} name(s) of the vocabulary are {len(classes)} class(es): give more names"
        )
    queries = Queries(
        names=tuple(names),
        owners=torch.tensor(owners, device=rows.device),
        seen=torch.ones(len(names), dtype=torch.bool, device=rows.device),
        embeddings=rows,
    )
    benchmark = Benchmark(name="vocabulary", classes=classes, background=False)
    task = Task(benchmark=benchmark, protocol=protocol, queries=queries, threshold=None)
    return OpenVocabulary(clip=clip, task=task, shortlist=shortlist)


def merged(
    names: Sequence[str], texts: Float[Tensor, "name embed"], same: float
) -> tuple[tuple[str, ...], list[int]]:
    """Classes, named by all their names behind commas, and the class of each name.

    In the order of the list, a name belongs to the class of an earlier one that shares a word with it, in
    whatever case; or to that of the most similar first name of a class, if their texts' cosine is at least
    `same`. Only first names are compared, so that no chain of small steps makes one class.
    """
    owners, classes, words = list[int](), list[list[str]](), dict[str, int]()
    is_first = torch.zeros(len(names), dtype=torch.bool, device=texts.device)
    for start in range(0, len(names), COMPARED):
        cosines = texts[start : start + COMPARED] @ texts.T
        for number, row in enumerate(cosines, start):
            mine = synonyms(names[number].casefold())
            owner = next((words[word] for word in mine if word in words), None)
            if owner is None and number:
                near = row.masked_fill(~is_first, -2)
                if near.max() >= same:
                    owner = owners[int(near.argmax())]
            if owner is None:
                owner = len(classes)
                classes.append([])
                is_first[number] = True
            owners.append(owner)
            classes[owner] += [w for w in synonyms(names[number]) if w.casefold() not in words]
            for word in mine:
                words.setdefault(word, owner)
    return tuple(map(", ".join, classes)), owners


def shortlisted(
    parts: Float[Tensor, "part embed"], texts: Float[Tensor, "name embed"], count: int
) -> Int[Tensor, " chosen"]:
    """The names, at most `count`, that rank highest for any of the parts; in their own order.

    Each part's best name comes before any second one; of equal ranks the greater cosine is first.
    """
    cosines = parts @ texts.T
    order = cosines.argsort(dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(len(texts), device=order.device).expand_as(order))
    rank, cosine = ranks.amin(dim=0), cosines.amax(dim=0)
    by_cosine = cosine.argsort(descending=True, stable=True)
    best = by_cosine[rank[by_cosine].argsort(stable=True)][:count]
    return best.sort().values


def segment_means(
    scores: WindowScores,
    segments: Int[Tensor, "height width"],
    count: int,
    size: tuple[int, int],
) -> Float[Tensor, "segment query"]:
    """Mean score of each query over the pixels of each of `count` segments, of one picture."""
    places = segments.flatten()
    totals = scores.grids.new_zeros(scores.grids.shape[1], count, dtype=torch.float64)
    for first in range(0, len(totals), HELD):
        few = scores._replace(grids=scores.grids[:, first : first + HELD])
        pixels = pixel_scores(few, size)[0].flatten(1).double()
        totals[first : first + HELD].index_add_(1, places, pixels)
    return (totals / places.bincount(minlength=count)).T


def named_segments(
    means: Float[Tensor, "segment query"], queries: Queries
) -> tuple[Int[Tensor, " segment"], tuple[Named, ...]]:
    """The class of each segment, and the classes that are there, by label."""
    found = dict[int, Named]()
    labels = list[int]()
    for row in means:
        best = dict[int, tuple[str, float]]()
        for query in row.argsort(descending=True, stable=True).tolist():
            best.setdefault(int(queries.owners[query]), (queries.names[query], float(row[query])))
        (label, (name, score)), *others = best.items()
        labels.append(label)
        if label not in found or score > found[label].score:
            alternatives = tuple(other for _, other in others[:ALTERNATIVES])
            found[label] = Named(label, name, score, alternatives)
    return queries.owners.new_tensor(labels), tuple(found[label] for label in sorted(found))


def _comparing(protocol: Protocol) -> Protocol:
    """The same with cosines as they are in place of probabilities: the mean of these is a vote of places, and
    says nothing of the names that are nearly as good."""
    return protocol if protocol.softmax == "none" else replace(protocol, softmax="pixels")
