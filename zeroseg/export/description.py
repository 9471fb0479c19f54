"""What an exported file says of itself."""

from dataclasses import dataclass, field
from typing import Literal

from zeroseg.models.segmenter import Answers

Precision = Literal["fp32", "fp16", "int8"]
"""Of the weights of the image's graph; int8 of matrix products alone. Words stay fp32."""
LIMITS: dict[Precision, float] = {"fp32": 0.001, "fp16": 0.01, "int8": 0.1}
"""Largest share of pixels that may have another label than torch's."""
KEY = "zeroseg"
"""Of the metadata of a file, whose value is one of the records below in JSON."""
IMAGES, CLASSES, SCORES = "images", "classes", "scores"
TOKENS, EMBEDDINGS = "tokens", "embeddings"


@dataclass(frozen=True, kw_only=True)
class OwnWords:
    """Of a method that embeds words in sentences of its own and holds seen classes back."""

    templates: tuple[str, ...]
    calibration: float
    """Taken from the scores of seen classes, after the graph."""
    seen_words: frozenset[str]
    """What the model was taught under its own name."""


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """The graph from images and class embeddings to scores."""

    format: Literal[1] = 1
    model: str
    """As it was named at export."""
    method: str
    readout: str
    answers: Answers
    multiple: int
    """Sides of images are multiples of it, at least twice."""
    image_size: int
    """Side that pictures are brought to where no protocol says another, in pixels."""
    embed_dim: int
    mean: tuple[float, ...]
    """Of pixels in [0, 1]; the graph itself takes it away."""
    std: tuple[float, ...]
    """That the graph divides by."""
    text_sha256: str = ""
    """Of the file of the text tower that was written beside it."""
    own_words: OwnWords | None = None
    precision: Precision = "fp32"
    differing: float = 0.0
    """Share of pixels whose label was not torch's when the file was checked."""
    checked_pixels: int = 0
    licence: str = ""
    """Of the weights, as it was told at export; empty if it was not."""
    code: dict[str, str] = field(default_factory=dict)
    """Versions and commit of what wrote the file."""


@dataclass(frozen=True, kw_only=True)
class ExportedText:
    """The graph from tokens to unit embeddings, and what makes tokens: CLIP's byte-pair encoding, as
    `open_clip.SimpleTokenizer` has it, padded with 0 and cut at the context."""

    format: Literal[1] = 1
    clip: str
    embed_dim: int
    context_length: int
    vocabulary: int
    start: int
    """Token that opens a text."""
    end: int
    """Token that closes it."""
    clean: str
    """How texts are cleaned first: a name in open_clip."""
