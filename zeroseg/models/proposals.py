"""Mask proposals: class-agnostic masks of an image, and an embedding of each in the text's space.

MaskFormer (Cheng et al., NeurIPS 2021) with the class head of ZegFormer (Ding et al., CVPR 2022) or of
zsseg (Xu et al., ECCV 2022).
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.models.backbone import Backbone
from zeroseg.models.pixel_decoder import GROUP, PixelDecoder
from zeroseg.models.query_decoder import QueryDecoder

HEAD_WIDTH = 1024
"""Hidden units of zsseg's class head."""


class Proposals(NamedTuple):
    """What one decoder layer proposes, a proposal a query."""

    masks: Float[Tensor, "batch proposal rows columns"]
    """Logits at stride 4."""
    embeddings: Float[Tensor, "batch proposal embed"]
    """Of the class head, of any length."""
    logits: Float[Tensor, "batch proposal class_and_none"] | None = None
    """Of the classes that were asked for, "no object" last."""


@dataclass(frozen=True, kw_only=True)
class MaskProposalsConfig:
    """A backbone, a pixel decoder, and queries; by default ZegFormer's."""

    backbone: Backbone = field(default_factory=Backbone)
    queries: int = 100
    width: int = 256
    """Of pixel features and queries."""
    layers: int = 6
    """Of the query decoder; each is supervised."""
    heads: int = 8
    feedforward: int = 2048
    """Hidden units between the attentions."""
    dropout: float = 0.1
    memory_stride: int = 0
    """Ours: stride of the backbone's map that queries read, for small images. 0 is the last, the
    papers'."""
    embed_dim: int = 512
    """Of the CLIP's embeddings."""
    head: Literal["linear", "mlp"] = "linear"
    """Of a query's class embedding: ZegFormer's layer, or zsseg's two."""
    unit_no_object: bool = False
    """Whether the vector of "no object" is brought to unit length: zsseg's is."""
    temperature: float = 0.01
    """That cosines are divided by."""

    def __post_init__(self) -> None:
        if self.width % GROUP or self.width % self.heads:
            raise InputError(
                f"proposals.width is {self.width}: it must be a multiple of {GROUP} and of the "
                f"{self.heads} heads"
            )
        for name in ("queries", "layers", "embed_dim"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"proposals.{name} is {getattr(self, name)}: it must be at least 1"
                )


class MaskProposals(nn.Module):
    """Masks of an image of any size, each with an embedding."""

    def __init__(self, config: MaskProposalsConfig) -> None:
        """Raises InputError for a backbone that does not fit."""
        super().__init__()
        self.config = config
        self.backbone = config.backbone.build()
        strides, channels = self.backbone.strides, self.backbone.channels
        stride = config.memory_stride or strides[-1]
        if stride not in strides:
            raise InputError(f"proposals.memory_stride is {stride}: choose one of {strides}")
        self.memory = strides.index(stride)
        width, embed = config.width, config.embed_dim
        self.pixel_decoder = PixelDecoder(channels, width)
        self.query_decoder = QueryDecoder(
            channels[self.memory],
            queries=config.queries,
            width=width,
            layers=config.layers,
            heads=config.heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
        )
        self.mask_head = perceptron(width, width, width, width)
        if config.head == "linear":
            self.class_head: nn.Module = nn.Linear(width, embed)
        else:
            self.class_head = perceptron(width, HEAD_WIDTH, embed)
        self.no_object = nn.Parameter(torch.empty(embed))
        if config.unit_no_object:
            nn.init.normal_(self.no_object, std=embed**-0.5)
        else:
            nn.init.kaiming_uniform_(self.no_object[None], a=math.sqrt(5))

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        classes: Float[Tensor, "class embed"] | None = None,
    ) -> list[Proposals]:
        """Proposals of images in [0, 1] after every decoder layer; the last are the answer.

        With the unit embeddings of classes they have logits.
        """
        pixels, states = self._decoded(images)
        return [self._proposals(pixels, queries, classes) for queries in states]

    def propose(self, images: Float[Tensor, "batch 3 height width"]) -> Proposals:
        """Those after the last layer alone."""
        pixels, states = self._decoded(images)
        return self._proposals(pixels, states[-1], None)

    def logits(
        self,
        embeddings: Float[Tensor, "batch proposal embed"],
        classes: Float[Tensor, "class embed"],
    ) -> Float[Tensor, "batch proposal class_and_none"]:
        """Cosines over the temperature, "no object" last, of unit class embeddings."""
        with torch.autocast(embeddings.device.type, enabled=False):
            none = self.no_object.float()
            if self.config.unit_no_object:
                none = F.normalize(none, dim=0)
            columns = torch.cat([classes.float(), none[None]])
            return F.normalize(embeddings.float(), dim=-1) @ columns.T / self.config.temperature

    def _decoded(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> tuple[
        Float[Tensor, "batch channel rows columns"], list[Float[Tensor, "batch proposal channel"]]
    ]:
        maps = self.backbone(images)
        return self.pixel_decoder(maps), self.query_decoder(maps[self.memory])

    def _proposals(
        self,
        pixels: Float[Tensor, "batch channel rows columns"],
        queries: Float[Tensor, "batch proposal channel"],
        classes: Float[Tensor, "class embed"] | None,
    ) -> Proposals:
        masks = torch.einsum("bqd,bdrc->bqrc", self.mask_head(queries), pixels)
        embeddings = self.class_head(queries)
        logits = None if classes is None else self.logits(embeddings, classes)
        return Proposals(masks, embeddings, logits)


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers between these widths with ReLUs between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def semantic_scores(
    probabilities: Float[Tensor, "batch proposal class"],
    masks: Float[Tensor, "batch proposal rows columns"],
) -> Float[Tensor, "batch class rows columns"]:
    """Scores of classes at pixels: of the proposals' mask logits the sigmoids, each times what its class
    probability is, summed (MaskFormer, section 3.4).
    """
    return torch.einsum("bqk,bqrc->bkrc", probabilities, masks.sigmoid())
