"""ZegCLIP: a frozen CLIP with prompts and a light decoder of masks, learnt from labels of seen classes."""

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import nn

from zeroseg.errors import InputError
from zeroseg.evaluation.class_masks import ClassMasks, MaskReadout, embedding_words
from zeroseg.evaluation.proposal_segmenter import words_of
from zeroseg.methods.method import MethodConfig, Training
from zeroseg.methods.supervision import Supervision
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.clip_loading import model_name, untrained_tower
from zeroseg.models.deep_prompts import Patches, PromptedTower
from zeroseg.models.prompts import templates_named
from zeroseg.models.segmenter import Answers
from zeroseg.models.zegclip import MaskDecoder, ZegCLIPModel
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.class_masks import ClassMaskLoss, ClassMaskObjective


@dataclass(frozen=True, kw_only=True)
class ZegCLIP(MethodConfig):
    """One-stage zero-shot segmentation (Zhou et al., CVPR 2023), inductive; numbers of its code for VOC.

    Prompts and decoder learn, the CLIP's image tower does not: a saved model holds it, the text tower stays
    where `clip` is.
    """

    clip: CLIPConfig
    labels: Supervision
    prompts: int = 10
    """Learnt tokens in each block of the tower, 100 for COCO-Stuff; 0 for towers that are no ViT."""
    patches: Patches = "raw"
    """How the last block embeds patches: see `Patches`."""
    zoom: float = 1.0
    """Ours: pictures are enlarged by it for the tower, in training and at test."""
    descriptor: bool = True
    """Whether queries are the relationship descriptor; otherwise text embeddings alone."""
    width: int = 0
    """Of the decoder; 0 takes that of the CLIP's embeddings, as the code does."""
    layers: int = 3
    """Of the decoder."""
    heads: int = 8
    """Of its attention."""
    dropout: float = 0.1
    """In prompts and decoder."""
    initial_std: float = 0.02
    """Of the decoder's weights, as in the code, from where thousands of steps lead away; 0 takes one over
    the root of each layer's inputs (ours, for short trainings)."""
    templates: str = "simple"
    """A name in `zeroseg.models.prompts.TEMPLATES`; the code averages several for COCO-Stuff alone."""
    loss: ClassMaskLoss = field(default_factory=ClassMaskLoss)
    calibration: float = 0.1
    """Taken from the scores of seen classes at test; 0.1 is in the code, the paper is silent."""

    def __post_init__(self) -> None:
        for name, least in (("prompts", 0), ("width", 0), ("layers", 1), ("heads", 1)):
            if getattr(self, name) < least:
                raise InputError(
                    f"method.{name} is {getattr(self, name)}: it must be at least {least}"
                )
        if self.initial_std < 0:
            raise InputError(f"method.initial_std is {self.initial_std}: it must be at least 0")
        if self.zoom <= 0:
            raise InputError(f"method.zoom is {self.zoom}: it must be positive")
        if not 0 <= self.dropout < 1:
            raise InputError(f"method.dropout is {self.dropout}: it must lie in [0, 1)")
        templates_named(self.templates)

    @property
    def readouts(self) -> tuple[MaskReadout, ...]:
        """The decoder, and what it reads."""
        return ("decoder", "patches")

    @property
    def answers(self) -> Answers:
        """Sigmoids of masks, which are no cosines."""
        return "scores"

    @property
    def image_size(self) -> int:
        """Side of the crops."""
        return self.labels.augmentation.size

    def model(self) -> ZegCLIPModel:
        """A new one. Raises InputError for prompts in a tower that cannot have them, and for heads that do
        not divide the decoder's width."""
        name = model_name(self.clip.architecture, self.clip.register)
        visual = untrained_tower(name, self.clip.weights)
        tower = PromptedTower(visual, self.prompts, self.patches, self.dropout)
        width = self.width or tower.embed_dim
        if width % self.heads:
            raise InputError(f"method.heads is {self.heads}: it must divide the width, {width}")
        decoder = MaskDecoder(
            tower.embed_dim,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
            descriptor=self.descriptor,
            initial_std=self.initial_std,
        )
        return ZegCLIPModel(tower, decoder, self.zoom)

    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """The CLIP's own tower, and losses of masks of the classes that training may know."""
        assert isinstance(model, ZegCLIPModel)
        # open_clip draws the weights that it is about to replace.
        with torch.random.fork_rng(devices=[]):
            clip = CLIP(dataclasses.replace(self.clip, precision="fp32"), device)
        model.tower.start_from(clip)
        classes = clip.class_embeddings(self.labels.names, templates_named(self.templates))
        objective = ClassMaskObjective(classes, self.labels.rows(device), self.loss)
        return Training(objective, self.labels.transform(), self.clip)

    def segmenter(
        self, model: nn.Module, readout: str = "", clip: CLIP | None = None
    ) -> ClassMasks:
        """The model by a readout; asks the CLIP for the words."""
        assert isinstance(model, ZegCLIPModel)
        for known in self.readouts:
            if known == (readout or self.readouts[0]):
                return ClassMasks(
                    model,
                    embedding_words(
                        lambda: clip or CLIP(self.clip, model.tower.mean.device),
                        templates_named(self.templates),
                    ),
                    frozenset(word for name in self.labels.names for word in words_of(name)),
                    known,
                    self.calibration,
                )
        raise InputError(f"readout {readout!r}: ZegCLIP has {', '.join(self.readouts)}")
