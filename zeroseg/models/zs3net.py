"""ZS3Net (Bucher et al., NeurIPS 2019): frozen features, generators of such, and a classifier of both."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from zeroseg.models.deeplab import DeepLabConfig, DeepLabLayers
from zeroseg.models.generator import Generator, GeneratorConfig, GraphGenerator


class AskedRegions(NamedTuple):
    """Regions whose features are to be generated together; several maps have the same regions."""

    embeddings: Float[Tensor, "batch map region embed"]
    noise: Float[Tensor, "batch map region noise"]
    touching: Bool[Tensor, "batch 1 region region"]


class Asked(NamedTuple):
    """Features that are to be generated beside the real ones of a batch."""

    embeddings: Float[Tensor, "batch sample embed"]
    noise: Float[Tensor, "batch sample noise"]
    regions: AskedRegions | None = None


class Answered(NamedTuple):
    """Real and generated features, and what the classifier makes of them."""

    features: Float[Tensor, "batch feature rows columns"]
    logits: Float[Tensor, "batch class rows columns"]
    generated: Float[Tensor, "batch sample width"]
    generated_logits: Float[Tensor, "batch sample class"]
    regions: Float[Tensor, "batch map region width"] | None
    region_logits: Float[Tensor, "batch map region class"] | None


class ZS3Network(DeepLabLayers):
    """A DeepLabv3+ of which the classifier alone learns, and the generators that it learns from.

    What comes before the classifier is frozen and in eval mode. No gradient of the classifier reaches a
    generator.
    """

    def __init__(
        self, config: DeepLabConfig, classes: int, generator: GeneratorConfig, *, regions: bool
    ) -> None:
        """`regions`: with a generator of regions that know their neighbours."""
        super().__init__(config, classes)
        self.frozen = (self.backbone, self.aspp, self.decoder)
        for module in self.frozen:
            module.requires_grad_(False)
        self.generator = Generator(generator, config.width)
        self.graph_generator = GraphGenerator(generator, config.width) if regions else None

    def train(self, mode: bool = True) -> "ZS3Network":
        """Training mode for the generators."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def forward(self, images: Float[Tensor, "batch 3 height width"], asked: Asked) -> Answered:
        """Real features of images in [0, 1], and those that were asked for."""
        with torch.no_grad():
            features = self.features(images)
        generated = self.generator(asked.embeddings, asked.noise)
        regions = region_logits = None
        if asked.regions is not None:
            assert self.graph_generator is not None
            regions = self.graph_generator(*asked.regions)
            region_logits = self.classified(regions.detach())
        return Answered(
            features,
            self.classifier(features),
            generated,
            self.classified(generated.detach()),
            regions,
            region_logits,
        )

    def classified(
        self, features: Float[Tensor, "*sample width"]
    ) -> Float[Tensor, "*sample class"]:
        """Logits of single features."""
        return nn.functional.linear(
            features, self.classifier.weight[:, :, 0, 0], self.classifier.bias
        )
