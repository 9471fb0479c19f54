"""ZS3Net (Bucher et al., NeurIPS 2019): a classifier of unseen classes, learnt from generated features."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.datasets.vocabularies import named_classes
from zeroseg.datasets.word_vectors import WordVectors
from zeroseg.errors import InputError
from zeroseg.evaluation.closed_vocabulary import ClosedVocabulary
from zeroseg.methods.deeplab import check_no_readout, closed_vocabulary
from zeroseg.methods.method import MethodConfig, Training
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained, take
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.deeplab import DeepLabConfig
from zeroseg.models.generator import GeneratorConfig
from zeroseg.models.prompts import templates_named
from zeroseg.models.segmenter import Answers
from zeroseg.models.zs3net import ZS3Network
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.generative_objective import Generation, GenerativeLearning

FROZEN = ("backbone.", "aspp.", "decoder.")
"""How names of the weights begin that stay as the stage before left them."""
CLASSIFIER = "classifier."


@dataclass(frozen=True, kw_only=True)
class ZS3Net(MethodConfig):
    """Generators of features and a new classifier, on the frozen features of a DeepLab.

    By its nature the names of the unseen classes are known in training. Their pixels are not: stricter
    than the paper, which reads label maps of unseen classes to say where to generate.
    """

    labels: Supervision
    network: DeepLabConfig
    """That of the stage before."""
    start: Trained
    """A model of DeepLab, learnt from the same seen classes."""
    generator: GeneratorConfig
    generation: Generation = field(default_factory=Generation)
    vectors: WordVectors | None = None
    """Class embeddings of a file, such as the paper's word2vec. None: those of the CLIP's text tower
    (ours), which has seen images: a stronger prior."""
    templates: str = "simple"
    """Prompts of the CLIP, a name in `zeroseg.models.prompts.TEMPLATES`."""
    generator_rate: float = 1.0
    """Share of the learning rate of the generators. The paper has Adam at 2e-4 for them and SGD for the
    classifier; a run has one optimizer."""
    clip: CLIPConfig = field(default_factory=CLIPConfig)
    """Whose text tower embeds the classes, and whose embeddings an evaluation asks with."""

    def __post_init__(self) -> None:
        templates_named(self.templates)
        if self.labels.unseen_labels != "hidden":
            raise InputError(
                "method.labels.unseen_labels is pseudo: ZS3Net generates features of unseen classes; "
                "train DeepLab on pseudo labels, started from it"
            )

    @property
    def answers(self) -> Answers:
        """Probabilities."""
        return "scores"

    @property
    def image_size(self) -> int:
        """Side of the crops."""
        return self.labels.augmentation.size

    def model(self) -> ZS3Network:
        """A new one, with a place for every class of the benchmark."""
        return ZS3Network(
            self.network,
            len(self.labels.benchmark.classes),
            self.generator,
            regions=self.generation.context_weight != 0,
        )

    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """The frozen weights of the stage before; the embeddings of all classes; the label maps."""
        assert isinstance(model, ZS3Network)
        take(model, self.start.of("DeepLab", split=self.labels.split), FROZEN, self.start.path)
        embeddings = self.class_embeddings(device)
        if embeddings.shape[1] != self.generator.embed_dim:
            raise InputError(
                f"class embeddings have {embeddings.shape[1]} dimensions: set "
                "method.generator.embed_dim to that"
            )
        classes = range(len(embeddings))
        unseen = tuple(label for label in classes if label not in self.labels.classes)
        return Training(
            GenerativeLearning(embeddings, unseen, self.generator, self.generation),
            self.labels.transform(),
            self.clip,
            self.rate_scale,
        )

    def class_embeddings(self, device: torch.device) -> Float[Tensor, "class embed"]:
        """Unit embeddings of every class of the benchmark, unseen ones too.

        Raises InputError for a class without a word vector.
        """
        names = named_classes(self.labels.benchmark)
        if self.vectors is not None:
            return self.vectors.class_embeddings(names).to(device)
        return CLIP(self.clip, device).class_embeddings(names, templates_named(self.templates))

    def rate_scale(self, name: str) -> float:
        """Share of the learning rate of a parameter: 1 for the classifier."""
        return 1.0 if name.startswith(CLASSIFIER) else self.generator_rate

    def segmenter(
        self, model: nn.Module, readout: str = "", clip: CLIP | None = None
    ) -> ClosedVocabulary:
        """All classes of the benchmark, by their names."""
        check_no_readout(readout, self.label)
        classes = tuple(range(len(self.labels.benchmark.classes)))
        return closed_vocabulary(model, self.labels, classes)
