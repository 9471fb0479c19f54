"""ZegFormer (Ding et al., "Decoupling Zero-Shot Semantic Segmentation", CVPR 2022).

Facts of the code are those of dingjiansw101/ZegFormer at commit 8cb9e8f.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zeroseg.errors import InputError
from zeroseg.evaluation.fusion import query_probabilities, region_probabilities, zegformer_fusion
from zeroseg.evaluation.proposal_segmenter import ProposalSegmenter
from zeroseg.methods.proposal_method import ProposalMethod


@dataclass(frozen=True, kw_only=True)
class ZegFormer(ProposalMethod):
    """Queries for what was seen, the CLIP for what was not; scores of seen classes are lowered."""

    query_templates: str = "scene"
    """The authors' for PASCAL VOC; for COCO-Stuff and ADE20K they average eight."""
    region_templates: str = "masked"
    share: float = 2 / 3
    """The papers' lambda: of the query in seen classes, of the region in unseen ones."""
    gamma: float = 0.1
    """Taken from the scores of seen classes at every pixel, in every readout but `uncalibrated`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.share <= 1 or self.gamma < 0:
            raise InputError(
                f"method.share is {self.share}, method.gamma {self.gamma}: the first lies in "
                "[0, 1], the second is at least 0"
            )

    @property
    def readouts(self) -> tuple[str, ...]:
        """Queries and regions fused, by what the CLIP is shown of them; the same of `method.regions.kind`
        without calibration; regions alone; queries alone."""
        return ("cropmask", "mask", "crop", "uncalibrated", "regions", "query")

    def answering(self, plain: ProposalSegmenter, readout: str) -> ProposalSegmenter:
        """By one of the readouts."""
        plain = replace(plain, gamma=0.0 if readout == "uncalibrated" else self.gamma)
        if readout == "query":
            return plain
        views = self.regions
        if readout in ("cropmask", "mask", "crop"):
            views = replace(views, kind=readout)
        share = None if readout == "regions" else self.share
        fuse = partial(fused, share=share)
        return replace(plain, fuse=fuse, views=views, logit_scale=self.logit_scale)


def fused(
    logits: Float[Tensor, "batch proposal class_and_none"],
    region_logits: Float[Tensor, "batch proposal class"],
    valid: Bool[Tensor, "batch proposal"],
    seen: Bool[Tensor, " class"],
    share: float | None,
) -> Float[Tensor, "batch proposal class"]:
    """Of proposals with a region the fusion, or the region alone without a share; of others the query."""
    queries = query_probabilities(logits)
    regions = region_probabilities(region_logits, logits[..., -1])
    if share is not None:
        regions = zegformer_fusion(queries, regions, seen, share)
    return torch.where(valid[..., None], regions, queries)
