"""Who answers with proposals: masks, each classified by its query, by a CLIP, or by both."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zeroseg.data.regions import RegionViews
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.fusion import calibrated, query_probabilities
from zeroseg.evaluation.regions import embed_regions
from zeroseg.models.clip import CLIP
from zeroseg.models.proposals import MaskProposals, semantic_scores

Embed = Callable[[CLIP, tuple[str, ...]], Float[Tensor, "query embed"]]
"""Unit embeddings of names, in the sentences that a model was trained with."""
Fuse = Callable[
    [
        Float[Tensor, "batch proposal class_and_none"],
        Float[Tensor, "batch proposal class"],
        Bool[Tensor, "batch proposal"],
        Bool[Tensor, " class"],
    ],
    Float[Tensor, "batch proposal class"],
]
"""Class probabilities of proposals: of the query's logits, the region's, whether there is a region, and
which classes are seen."""


@dataclass
class Words:
    """Embeddings of names by a CLIP that is not loaded before somebody asks; each tuple of names once."""

    load: Callable[[], CLIP]
    embed_queries: Embed
    embed_regions: Embed
    _clip: CLIP | None = None
    _known: dict[tuple[str, ...], tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def clip(self) -> CLIP:
        """The CLIP."""
        if self._clip is None:
            self._clip = self.load()
        return self._clip

    def __call__(
        self, names: tuple[str, ...]
    ) -> tuple[Float[Tensor, "query embed"], Float[Tensor, "query embed"]]:
        """What the queries of a model are compared with, and what regions are."""
        if names not in self._known:
            self._known[names] = (
                self.embed_queries(self.clip, names),
                self.embed_regions(self.clip, names),
            )
        return self._known[names]


@dataclass(frozen=True)
class ProposalSegmenter:
    """Scores of classes at pixels, those of MaskFormer: of each proposal its mask's probability times that
    of the class, summed; at the masks' own resolution (ours; the papers enlarge masks first)."""

    model: MaskProposals
    words: Words
    seen_words: frozenset[str]
    """What the model was taught under its own name; see `which_seen`."""
    fuse: Fuse | None = None
    """None answers by queries alone, and no region is looked at."""
    views: RegionViews = field(default_factory=RegionViews)
    logit_scale: float = 0.0
    """Of a region's cosines; 0 takes the CLIP's own."""
    gamma: float = 0.0
    """Taken from the scores of seen classes."""

    @property
    def multiple(self) -> int:
        """The stride of the masks."""
        return 4

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Scores, no cosines: of seen classes they may be below 0."""
        of_queries, of_regions = self.words(queries.names)
        seen = which_seen(queries, self.seen_words)
        found = self.model.propose(images)
        masks, logits = found.masks.float(), self.model.logits(found.embeddings, of_queries)
        if self.fuse is None:
            probabilities = query_probabilities(logits)
        else:
            clip = self.words.clip
            embeddings, valid = embed_regions(clip, images, masks, self.views)
            scale = self.logit_scale or clip.logit_scale
            probabilities = self.fuse(logits, scale * embeddings @ of_regions.T, valid, seen)
        return calibrated(semantic_scores(probabilities, masks), seen, self.gamma)

    @torch.no_grad()
    def segments(
        self, images: Float[Tensor, "batch 3 height width"], size: tuple[int, int]
    ) -> Int[Tensor, "batch label_height label_width"]:
        """The proposal whose mask is surest of each pixel, of maps of `size`."""
        masks = self.model.propose(images).masks.float()
        return F.interpolate(masks, size, mode="bilinear").argmax(dim=1)


def which_seen(queries: Queries, seen_words: frozenset[str]) -> Bool[Tensor, " query"]:
    """Which queries are of classes that a model was trained on.

    A benchmark with unseen classes says it. Of other questions, anybody's own words say, each query is
    seen of which a synonym is the name of a class that the model was taught: what is not, the CLIP knows
    better.
    """
    if not queries.seen.all():
        return queries.seen
    known = [not seen_words.isdisjoint(words_of(name)) for name in queries.names]
    return torch.tensor(known, device=queries.seen.device)


def words_of(name: str) -> list[str]:
    """The synonyms in a name, in small letters."""
    return [word.strip().lower() for word in name.split(",")]
