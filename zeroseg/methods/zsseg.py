"""zsseg (Xu et al., "A Simple Baseline for Open-Vocabulary Semantic Segmentation with Pre-trained
Vision-language Model", ECCV 2022).

Facts of the code are those of MendelXu/zsseg.baseline at commit d77c3af.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zeroseg.errors import InputError
from zeroseg.evaluation.fusion import query_probabilities, region_probabilities, zsseg_ensemble
from zeroseg.evaluation.proposal_segmenter import ProposalSegmenter
from zeroseg.methods.proposal_method import ProposalMethod
from zeroseg.methods.trained import Trained, take
from zeroseg.models.clip import CLIP
from zeroseg.models.learnt_prompt import LearntPrompt, PromptConfig
from zeroseg.models.proposals import MaskProposals, MaskProposalsConfig

PROMPT = "prompt."
"""How names of a learnt prompt's weights begin in a model that has one."""


class PromptedProposals(MaskProposals):
    """Proposals with the prompt by which their regions are asked about; it does not learn here."""

    def __init__(self, config: MaskProposalsConfig, prompt: PromptConfig) -> None:
        super().__init__(config)
        self.prompt = LearntPrompt(prompt).requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class ZSSeg(ProposalMethod):
    """Queries and the CLIP in a geometric mean, with other weights for seen and unseen classes."""

    query_templates: str = "sculpture"
    region_templates: str = "sculpture"
    """Without a learnt prompt."""
    prompt_from: Trained | None = None
    """A run of `PromptLearning`, whose vectors become a part of this model: a saved one is whole."""
    prompt: PromptConfig = field(default_factory=PromptConfig)
    """The shape of those vectors."""
    prompted_queries: bool = False
    """Whether queries too learn the sentences of the learnt prompt: the authors' config for COCO-Stuff,
    not that for PASCAL VOC."""
    weight: float = 0.7
    """Of the query in seen classes, of the region in unseen ones; the authors' for PASCAL VOC, 0.8 for
    COCO-Stuff."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.weight <= 1:
            raise InputError(f"method.weight is {self.weight}: it must lie in [0, 1]")
        if self.prompted_queries and self.prompt_from is None:
            raise InputError("method.prompted_queries needs a prompt: set method.prompt_from")

    @property
    def readouts(self) -> tuple[str, ...]:
        """Both classifiers; the queries alone; the regions alone."""
        return ("ensemble", "query", "regions")

    def model(self) -> MaskProposals:
        """New proposals, with a prompt if one is to be taken."""
        if self.prompt_from is None:
            return super().model()
        return PromptedProposals(self.proposals, self.prompt)

    def begin(self, model: MaskProposals) -> None:
        """Take the prompt, too."""
        super().begin(model)
        if self.prompt_from is not None:
            vectors = self.prompt_from.of("PromptLearning", split=self.labels.split)
            named = {PROMPT + name: value for name, value in vectors.items()}
            take(model, named, (PROMPT,), self.prompt_from.path)

    def answering(self, plain: ProposalSegmenter, readout: str) -> ProposalSegmenter:
        """By one of the readouts."""
        if readout == "query":
            return plain
        weight = None if readout == "regions" else self.weight
        fuse = partial(ensembled, weight=weight)
        return replace(plain, fuse=fuse, views=self.regions, logit_scale=self.logit_scale)

    @torch.no_grad()
    def embed_queries(
        self, model: MaskProposals, clip: CLIP, names: tuple[str, ...]
    ) -> Float[Tensor, "class embed"]:
        """By the learnt prompt, if queries have it."""
        if self.prompted_queries:
            return self.embed_regions(model, clip, names)
        return super().embed_queries(model, clip, names)

    @torch.no_grad()
    def embed_regions(
        self, model: MaskProposals, clip: CLIP, names: tuple[str, ...]
    ) -> Float[Tensor, "class embed"]:
        """By the learnt prompt, if there is one."""
        if self.prompt_from is None:
            return super().embed_regions(model, clip, names)
        assert isinstance(model, PromptedProposals)
        return model.prompt(clip, names)


def ensembled(
    logits: Float[Tensor, "batch proposal class_and_none"],
    region_logits: Float[Tensor, "batch proposal class"],
    valid: Bool[Tensor, "batch proposal"],
    seen: Bool[Tensor, " class"],
    weight: float | None,
) -> Float[Tensor, "batch proposal class"]:
    """Of both, where a proposal without a region has 1 for every class, as in the authors' code; or of the
    region alone without a weight, and a proposal without one says nothing, unless the image has no other.
    """
    queries, regions = query_probabilities(logits), region_probabilities(region_logits)
    if weight is not None:
        regions = torch.where(valid[..., None], regions, 1.0)
        return zsseg_ensemble(queries, regions, seen, weight)
    nobody = ~valid.any(dim=1)[:, None, None]
    return torch.where(valid[..., None], regions, queries * nobody)
