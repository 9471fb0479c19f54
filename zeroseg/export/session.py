"""Running an exported file by onnxruntime: a segmenter and its words, without torch's model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError, UnfitPicture
from zeroseg.evaluation.class_masks import Words, embedding_words
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.fusion import calibrated
from zeroseg.evaluation.proposal_segmenter import which_seen
from zeroseg.export.description import (
    CLASSES,
    IMAGES,
    KEY,
    TOKENS,
    ExportedModel,
    ExportedText,
)
from zeroseg.models.clip import TextEncoder
from zeroseg.records import read_record

SUFFIX = ".onnx"
TEXTS = 64
"""In one pass of the text's graph."""
About = TypeVar("About", ExportedModel, ExportedText)


def text_file(path: Path) -> Path:
    """Where the text tower of a file is: `x.text.onnx` beside `x.onnx`."""
    return path.with_suffix(f".text{path.suffix}")


class ExportedWords(TextEncoder):
    """The text tower of an exported file, in the place of a CLIP.

    Raises InputError when the file is missing, broken or not of `zeroseg export`.
    """

    def __init__(self, file: Path, mean: tuple[float, ...]) -> None:
        """Of the file of the images' graph; `mean` is that of its pixels."""
        self.session, self.about = opened(text_file(file), ExportedText)
        self.embed_dim = self.about.embed_dim
        self.tokenizer = SimpleTokenizer(
            context_length=self.about.context_length, clean=self.about.clean
        )
        self.mean = torch.tensor(mean).view(1, 3, 1, 1)
        digests = " ".join(file_digest(path) for path in (file, text_file(file)))
        self.weights_sha256 = hashlib.sha256(digests.encode()).hexdigest()

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "text embed"]:
        """Unit-norm embeddings of sentences."""
        tokens = self.tokenizer(list(texts)).numpy()
        parts = [
            self.session.run(None, {TOKENS: tokens[start : start + TEXTS]})[0]
            for start in range(0, len(tokens), TEXTS)
        ]
        return torch.from_numpy(np.concatenate(parts))


@dataclass(frozen=True)
class ExportedSegmenter:
    """The graph of a file as a segmenter, on the CPU."""

    session: Any
    about: ExportedModel
    words: ExportedWords
    own: Words | None = None
    """Class embeddings in the method's own sentences, if it has such."""

    @property
    def multiple(self) -> int:
        """As the model that was exported."""
        return self.about.multiple

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Scores as that model gave them.

        Raises InputError for embeddings of another width, and UnfitPicture for sides below two of `multiple`.
        """
        own = self.about.own_words
        classes = self.own(queries.names) if self.own else queries.embeddings
        if classes.shape[1] != self.about.embed_dim:
            raise InputError(
                f"class embeddings have {classes.shape[1]} dimensions, the graph takes "
                f"{self.about.embed_dim}: embed words by the text tower beside it"
            )
        if min(images.shape[2:]) < 2 * self.multiple:
            height, width = images.shape[2:]
            raise UnfitPicture(
                f"image of {height} x {width} pixels: an exported model takes sides from "
                f"{2 * self.multiple}, set protocol.short_side"
            )
        feed = {IMAGES: images.cpu().numpy(), CLASSES: classes.cpu().numpy()}
        scores = torch.from_numpy(self.session.run(None, feed)[0])
        if own is None or not own.calibration:
            return scores
        return calibrated(scores, which_seen(queries, own.seen_words), own.calibration)


def load_exported(path: Path) -> ExportedSegmenter:
    """The segmenter of a file of `zeroseg export onnx`, and its words from the file beside it.

    Raises InputError when one of them is missing, broken or another's.
    """
    session, about = opened(path, ExportedModel)
    if text_file(path).is_file() and file_digest(text_file(path)) != about.text_sha256:
        raise InputError(
            f"{text_file(path)} is not the text tower that {path} was exported with: keep each beside its "
            "own, or export both again"
        )
    words = ExportedWords(path, about.mean)
    own = None
    if about.own_words is not None:
        own = embedding_words(lambda: words, about.own_words.templates)
    return ExportedSegmenter(session, about, words, own)


def as_exported(
    segmenter: ExportedSegmenter, readout: str, correction: Correction
) -> ExportedSegmenter:
    """The segmenter, which knows one readout. Raises InputError for another, and for a correction."""
    about = segmenter.about
    if readout not in ("", about.readout):
        raise InputError(
            f"readout {readout!r}: this file is of {about.readout or 'the only one'}, export another"
        )
    if correction.kind != "none":
        raise InputError("an exported model has no teacher to correct it: leave the correction out")
    return segmenter


def opened(path: Path, kind: type[About]) -> tuple[Any, About]:
    """A session of onnxruntime, and what the file says of itself.

    Raises InputError for a file that is missing, broken or not of `zeroseg export`.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: zeroseg export onnx writes a model as two files")
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path} needs onnxruntime: pip install 'zeroseg[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        text = session.get_modelmeta().custom_metadata_map.get(KEY)
    except Exception as error:  # onnxruntime raises classes of its own
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is no ONNX file that can be run: {reason}; export it again"
        ) from error
    if text is None:
        raise InputError(f"{path} is ONNX of another tool: give a file of zeroseg export onnx")
    return session, read_record(kind, text, str(path))


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
