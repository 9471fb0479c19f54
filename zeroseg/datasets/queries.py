"""Queries: what a segmenter is asked."""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Queries:
    """Class names as words and as embeddings, one a query, on one device.

    They travel together, so that a segmenter with a text encoder of its own embeds the names, and one
    that treats unseen classes apart knows them. A class may have several queries, and background some.
    """

    names: tuple[str, ...]
    """Commas separate synonyms."""
    owners: Int[Tensor, " query"]
    """Index of the class that each query stands for."""
    seen: Bool[Tensor, " query"]
    """Whether that class was in the training images; True if the benchmark has no unseen classes."""
    embeddings: Float[Tensor, "query embed"]
    """Unit text embeddings of the protocol's prompt templates, by the CLIP the segmenter speaks."""
