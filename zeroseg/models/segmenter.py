"""Segmenters: whatever answers queries about the places of an image."""

from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.datasets.queries import Queries

Answers = Literal["cosines", "scores"]
"""Cosines, of which the evaluation takes a softmax; or scores to compare as they are."""


@runtime_checkable
class Segmenter(Protocol):
    """Whatever can be evaluated: scores of queries on a grid over the image.

    The scores are cosines, of which the evaluation takes the softmax as its protocol says; or any
    numbers, the larger the likelier, under a protocol with `softmax="none"`.
    """

    @property
    def multiple(self) -> int:
        """Sides of images and windows are multiples of this; 1 welcomes any."""
        ...

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Scores at the segmenter's own resolution, its patches say; linear in between.

        Images are in [0, 1].
        """
        ...


@runtime_checkable
class ShowsSegments(Protocol):
    """A segmenter that can also show the regions it sees, whatever they are called."""

    def segments(
        self, images: Float[Tensor, "batch 3 height width"], size: tuple[int, int]
    ) -> Int[Tensor, "batch label_height label_width"]:
        """Index of the segment that owns each pixel of maps of `size`."""
        ...


@runtime_checkable
class EmbedsSegments(Protocol):
    """A segmenter whose regions have embeddings of their own, in the space of its texts."""

    def segment_embeddings(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch segment embed"]:
        """Unit vector of each segment."""
        ...
