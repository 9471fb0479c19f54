"""Graphs: a segmenter as one function of images and class embeddings, a text tower as one of tokens.

Windows, softmax, background and the resizing to a picture are no part of it: they are shared code.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.evaluation.class_masks import ClassMasks
from zeroseg.evaluation.fusion import query_probabilities
from zeroseg.evaluation.proposal_segmenter import ProposalSegmenter
from zeroseg.evaluation.segmenters import DenseCLIP, Student
from zeroseg.export.description import ExportedText, OwnWords
from zeroseg.methods.method import MethodConfig
from zeroseg.methods.proposal_method import ProposalMethod
from zeroseg.methods.zegclip import ZegCLIP
from zeroseg.methods.zsseg import ZSSeg
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import templates_named
from zeroseg.models.proposals import semantic_scores
from zeroseg.models.segmenter import Segmenter

Scores = Callable[[Tensor, Tensor], Tensor]
PATCHES = 512
"""A side, up to which an enlargement is the same in a graph, whose numbers are float32."""


class ImageGraph(nn.Module):
    """Scores of classes, as a segmenter answers, before any calibration."""

    def __init__(self, network: nn.Module, scores: Scores) -> None:
        super().__init__()
        self.network, self.scores = network, scores

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        classes: Float[Tensor, "class embed"],
    ) -> Float[Tensor, "batch class rows columns"]:
        """Of images in [0, 1] and unit embeddings."""
        return self.scores(images, classes)


class TextGraph(nn.Module):
    """A CLIP's text tower."""

    def __init__(self, clip: CLIP) -> None:
        super().__init__()
        self.network: Any = clip.model

    def forward(self, tokens: Int[Tensor, "text context"]) -> Float[Tensor, "text embed"]:
        """Unit embeddings."""
        return F.normalize(self.network.encode_text(tokens).float(), dim=-1)


def image_graph(segmenter: Segmenter) -> tuple[ImageGraph, Tensor, Tensor]:
    """The graph of a segmenter, with the mean and the deviation that it takes of pixels.

    Raises InputError, saying why, for one whose answer is not one pass of images and class embeddings.
    """
    match segmenter:
        case Student(model=student, readout=readout):
            _check_zoom(student.config.zoom, segmenter.multiple)
            graph = ImageGraph(student, lambda i, c: student.predict(i, c, readout))
            return graph, student.trunk.mean, student.trunk.std
        case DenseCLIP(clip=clip, method=method, grid=0):
            graph = ImageGraph(clip, lambda i, c: _products(clip.dense(i, method), c))
            return graph, clip.mean, clip.std
        case ClassMasks(model=model, readout=readout):
            _check_zoom(model.zoom, segmenter.multiple)
            if readout == "patches":
                graph = ImageGraph(
                    model, lambda i, c: _products(model.tower(model.enlarged(i)).patches, c)
                )
            else:
                graph = ImageGraph(model, lambda i, c: model(i, c)[-1].sigmoid())
            return graph, model.tower.mean, model.tower.std
        case ProposalSegmenter(model=proposals, fuse=None):

            def by_queries(images: Tensor, classes: Tensor) -> Tensor:
                found = proposals.propose(images)
                logits = proposals.logits(found.embeddings, classes)
                return semantic_scores(query_probabilities(logits), found.masks)

            backbone = proposals.backbone
            return ImageGraph(proposals, by_queries), backbone.mean, backbone.std
        case ProposalSegmenter():
            why = "it shows a CLIP each region that it found: export --readout query"
        case _:
            why = WHY.get(
                type(segmenter).__name__, "only dense readings and trained decoders are one pass"
            )
    raise InputError(f"this model is no graph of images and class embeddings: {why}")


WHY = {
    "ClosedVocabulary": "it knows the classes of one benchmark by name, and no embedding of a word "
    "enters",
    "ViewAverage": "it asks the CLIP about many views of an image: export a dense reading, as maskclip",
    "CorrectedCLIP": "it asks the CLIP about many views of an image: export a dense reading, as maskclip",
}


def own_words(method: MethodConfig, segmenter: Segmenter) -> OwnWords | None:
    """The sentences and the calibration of a method that has its own; None takes a protocol's.

    Raises InputError for words that a learnt prompt says, which no text tower alone embeds.
    """
    if isinstance(method, ZegCLIP) and isinstance(segmenter, ClassMasks):
        calibration = segmenter.calibration if segmenter.readout == "decoder" else 0.0
        return OwnWords(
            templates=templates_named(method.templates),
            calibration=calibration,
            seen_words=segmenter.seen_words,
        )
    if isinstance(method, ProposalMethod) and isinstance(segmenter, ProposalSegmenter):
        if isinstance(method, ZSSeg) and method.prompted_queries:
            raise InputError(
                "this model's queries are sentences of a learnt prompt, which the text tower alone "
                "does not say: it cannot be exported"
            )
        return OwnWords(
            templates=templates_named(method.query_templates),
            calibration=segmenter.gamma,
            seen_words=segmenter.seen_words,
        )
    return None


def described_text(clip: CLIP) -> ExportedText:
    """What a text graph says of itself. Raises InputError for a tokenizer that is not CLIP's own."""
    tokenizer = clip.tokenizer
    if not isinstance(tokenizer, SimpleTokenizer) or tokenizer.reduction_fn is not None:
        raise InputError(
            f"words of {clip.config} are cut by a {type(tokenizer).__name__}, not by CLIP's own byte-pair "
            "encoding: such a model cannot be exported"
        )
    return ExportedText(
        clip=str(clip.config),
        embed_dim=clip.embed_dim,
        context_length=tokenizer.context_length or 77,
        vocabulary=tokenizer.vocab_size,
        start=tokenizer.sot_token_id,
        end=tokenizer.eot_token_id,
        clean=tokenizer.clean_fn.__name__.removeprefix("_clean_"),
    )


def _products(features: Tensor, classes: Tensor) -> Tensor:
    return torch.einsum("behw,qe->bqhw", features, classes)


def _check_zoom(zoom: float, patch: int) -> None:
    """Raises InputError where float32 would round an enlarged side to another number of patches."""
    sides = patch * torch.arange(1, PATCHES + 1)
    exact = torch.tensor([round(side * zoom / patch) for side in sides.tolist()])
    if not (sides.float() * zoom / patch).round().equal(exact.float()):
        raise InputError(f"zoom is {zoom}: to export the model choose a multiple of 0.25")
