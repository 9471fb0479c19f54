"""What ZegFormer and zsseg share: proposals trained on seen classes, and a frozen CLIP that knows more."""

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.data.regions import RegionViews
from zeroseg.errors import InputError
from zeroseg.evaluation.proposal_segmenter import ProposalSegmenter, Words, words_of
from zeroseg.methods.method import MethodConfig, Training
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained, take
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.prompts import templates_named
from zeroseg.models.proposals import MaskProposals, MaskProposalsConfig
from zeroseg.models.segmenter import Answers
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.mask_objective import MaskLosses, MaskObjective

BACKBONE = ("backbone.",)
PARTS = (*BACKBONE, "pixel_decoder.", "query_decoder.", "mask_head.", "class_head.", "no_object")
"""How names of the weights of proposals begin."""


@dataclass(frozen=True, kw_only=True)
class ProposalMethod(MethodConfig):
    """Proposals, whose queries learn the CLIP's embeddings of seen classes from label maps."""

    clip: CLIPConfig
    """Which says words, and at test looks at regions. It is frozen and no part of the model."""
    labels: Supervision
    proposals: MaskProposalsConfig
    losses: MaskLosses = field(default_factory=MaskLosses)
    query_templates: str
    """A name in `zeroseg.models.prompts.TEMPLATES`: the sentences that queries learn and answer to."""
    region_templates: str
    """Those that regions are compared with."""
    regions: RegionViews = field(default_factory=RegionViews)
    """How the CLIP is shown a proposal."""
    logit_scale: float = 0.0
    """Of a region's cosines before its softmax; 0 takes the CLIP's own, 100 for OpenAI's."""
    backbone_rate: float = 0.1
    """Share of the learning rate that the backbone has."""
    start: Trained | None = None
    """A model of the same method that this one starts from: the stage before self-training, whose labels
    are `pseudo`. Or (ours) one of `DeepLab`, taught the same seen classes, of which it takes the backbone
    alone: where there are no weights of ImageNet. None: the backbone's own weights."""

    def __post_init__(self) -> None:
        for name in (self.query_templates, self.region_templates):
            templates_named(name)
        if self.logit_scale < 0 or not 0 <= self.backbone_rate <= 1:
            raise InputError(
                f"method.logit_scale is {self.logit_scale}, method.backbone_rate "
                f"{self.backbone_rate}: the first is at least 0, the second lies in [0, 1]"
            )

    @property
    def answers(self) -> Answers:
        """Probabilities of proposals at pixels, no cosines."""
        return "scores"

    @property
    def image_size(self) -> int:
        """Side of the training's crops."""
        return self.labels.augmentation.size

    def model(self) -> MaskProposals:
        """New proposals."""
        return MaskProposals(self.proposals)

    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """Label maps, and the embeddings of the classes that training may know of, and of no other."""
        assert isinstance(model, MaskProposals)
        clip = CLIP(self.clip, device)
        if clip.embed_dim != self.proposals.embed_dim:
            raise InputError(
                f"{self.clip} embeds in {clip.embed_dim} dimensions: "
                "set method.proposals.embed_dim to that"
            )
        self.begin(model)
        classes = self.embed_queries(model.to(device), clip, self.labels.names)
        return Training(
            MaskObjective(classes, self.labels.rows(device), self.losses),
            self.labels.transform(),
            self.clip,
            self.rate_scale,
        )

    def begin(self, model: MaskProposals) -> None:
        """Give a model the weights that it starts from. Raises InputError when they do not fit."""
        if self.start is None:
            self.proposals.backbone.load(model.backbone)
            return
        tensors = self.start.of(type(self).__name__, "DeepLab", split=self.labels.split)
        parts = BACKBONE if self.start.method() == "DeepLab" else PARTS
        take(model, tensors, parts, self.start.path)

    def rate_scale(self, name: str) -> float:
        """The backbone's share of the learning rate, and one for all else."""
        return self.backbone_rate if name.startswith(BACKBONE) else 1.0

    def segmenter(
        self, model: nn.Module, readout: str = "", clip: CLIP | None = None
    ) -> ProposalSegmenter:
        """The proposals by a readout."""
        assert isinstance(model, MaskProposals)
        readout = readout or self.readouts[0]
        if readout not in self.readouts:
            raise InputError(f"readout {readout!r}: {self.label} has {', '.join(self.readouts)}")
        device = model.no_object.device
        words = Words(
            (lambda: clip) if clip is not None else partial(loaded, self.clip, device),
            partial(self.embed_queries, model),
            partial(self.embed_regions, model),
        )
        unseen = self.labels.unseen_names
        taught = [name for name in self.labels.names if name not in unseen]
        seen_words = frozenset(word for name in taught for word in words_of(name))
        return self.answering(ProposalSegmenter(model, words, seen_words), readout)

    @abstractmethod
    def answering(self, plain: ProposalSegmenter, readout: str) -> ProposalSegmenter:
        """A segmenter that answers by queries, made to answer by a readout."""

    def embed_queries(
        self, model: MaskProposals, clip: CLIP, names: tuple[str, ...]
    ) -> Float[Tensor, "class embed"]:
        """What the model's queries are compared with."""
        return clip.class_embeddings(names, templates_named(self.query_templates))

    def embed_regions(
        self, model: MaskProposals, clip: CLIP, names: tuple[str, ...]
    ) -> Float[Tensor, "class embed"]:
        """What regions are compared with."""
        return clip.class_embeddings(names, templates_named(self.region_templates))


def loaded(config: CLIPConfig, device: torch.device) -> CLIP:
    """A CLIP, without a trace in the random numbers, which open_clip draws for weights that it replaces."""
    with torch.random.fork_rng(devices=[]):
        return CLIP(config, device)
