"""How a model of class masks answers: the sigmoid of each mask, seen classes held back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.fusion import calibrated
from zeroseg.evaluation.proposal_segmenter import which_seen
from zeroseg.models.clip import TextEncoder
from zeroseg.models.zegclip import ZegCLIPModel

MaskReadout = Literal["decoder", "patches"]
"""The decoder's masks, or the cosines of the tower's patches with the words."""

Words = Callable[[tuple[str, ...]], Float[Tensor, "query embed"]]


def embedding_words(clip: Callable[[], TextEncoder], templates: tuple[str, ...]) -> Words:
    """Class embeddings of names in a method's own templates, by a CLIP that is not loaded before somebody
    asks; each list of names once."""
    return lru_cache(maxsize=8)(lambda names: clip().class_embeddings(names, templates))


@dataclass(frozen=True)
class ClassMasks:
    """ZegCLIP at test: sigmoid(mask) less `calibration` for seen classes; scores, no cosines."""

    model: ZegCLIPModel
    words: Words
    seen_words: frozenset[str]
    """What the model was taught under its own name; see `which_seen`."""
    readout: MaskReadout
    calibration: float

    @property
    def multiple(self) -> int:
        """The tower's patch size."""
        return self.model.tower.patch_size

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Scores of patches."""
        words = self.words(queries.names)
        if self.readout == "patches":
            patches = self.model.tower(self.model.enlarged(images)).patches
            return torch.einsum("behw,qe->bqhw", patches, words)
        masks = self.model(images, words)[-1]
        return calibrated(masks.sigmoid(), which_seen(queries, self.seen_words), self.calibration)
