"""DeepLabv3+ (Chen et al., ECCV 2018), supervised on seen classes: ZS3Net's first stage, and its last.

With pseudo labels of unseen classes, from a model that ZS3Net has trained, it is ZS5Net (Bucher et al.,
NeurIPS 2019, section 3.4).
"""

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from zeroseg.datasets.vocabularies import named_classes
from zeroseg.errors import InputError
from zeroseg.evaluation.closed_vocabulary import ClosedVocabulary
from zeroseg.methods.method import MethodConfig, Training
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained, take
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.deeplab import DeepLabConfig, DeepLabLayers, DeepLabV3Plus
from zeroseg.models.segmenter import Answers
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.pixel_losses import PixelSupervision

BACKBONE = "backbone."
"""How names of the backbone's weights begin."""


@dataclass(frozen=True, kw_only=True)
class DeepLab(MethodConfig):
    """Cross entropy of the labelled pixels. Of a class that it has not learnt no pixel ever is."""

    labels: Supervision
    network: DeepLabConfig
    start: Trained | None = None
    """A model of this method or of ZS3Net that it goes on from. None: the backbone's own weights."""
    head_rate: float = 10.0
    """Share of the learning rate of all but the backbone; the ZS3Net authors' code."""
    clip: CLIPConfig = field(default_factory=CLIPConfig)
    """Whose class embeddings an evaluation asks with; this method does not read them."""

    @property
    def answers(self) -> Answers:
        """Probabilities."""
        return "scores"

    @property
    def image_size(self) -> int:
        """Side of the crops."""
        return self.labels.augmentation.size

    def model(self) -> DeepLabV3Plus:
        """A new one, with a place for every class of the benchmark."""
        return DeepLabV3Plus(self.network, len(self.labels.benchmark.classes))

    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """The backbone's weights, or all of another stage's; then the label maps."""
        assert isinstance(model, DeepLabV3Plus)
        if self.start is None:
            self.network.backbone.load(model.backbone)
        else:
            take(
                model,
                self.start.of("DeepLab", "ZS3Net", split=self.labels.split),
                [""],
                self.start.path,
            )
        return Training(
            PixelSupervision(self.labels.classes, self.labels.rows(device)),
            self.labels.transform(),
            self.clip,
            partial(rate_scale, head=self.head_rate),
        )

    def segmenter(
        self, model: nn.Module, readout: str = "", clip: CLIP | None = None
    ) -> ClosedVocabulary:
        """The classes that training knew, by their names; the unseen ones with pseudo labels alone."""
        check_no_readout(readout, self.label)
        return closed_vocabulary(model, self.labels, self.labels.classes)


def check_no_readout(readout: str, label: str) -> None:
    """Raises InputError for any readout."""
    if readout:
        raise InputError(f"readout {readout!r}: {label} can be read in one way, name none")


def rate_scale(name: str, *, head: float) -> float:
    """Share of the learning rate of a parameter: 1 in the backbone."""
    return 1.0 if name.startswith(BACKBONE) else head


def closed_vocabulary(
    model: nn.Module, labels: Supervision, learnt: tuple[int, ...]
) -> ClosedVocabulary:
    """A network as it answers by the names of a benchmark, of whose classes it has learnt these."""
    assert isinstance(model, DeepLabLayers)
    names = named_classes(labels.benchmark)
    return ClosedVocabulary(
        model.logits, names, frozenset(learnt), model.config.backbone.output_stride
    )
