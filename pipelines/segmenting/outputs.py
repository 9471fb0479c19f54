"""The files of one picture's answer: label map, overlay, confidence, and what says that they are whole."""

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from pipelines.exports.pictures import Legend
from pipelines.segmenting.batches import Answered
from pipelines.segmenting.inputs import Source
from shards.sample import encoded
from zeroseg.data.label_files import label_ids
from zeroseg.errors import InputError
from zeroseg.evaluation.open_vocabulary import Named
from zeroseg.evaluation.pictures import overlay, with_legend
from zeroseg.evaluation.protocols import Protocol
from zeroseg.store.storage import write_atomically

LABELS, OVERLAY, CONFIDENCE, FACTS = ".labels.png", ".overlay.png", ".confidence.png", ".json"


@dataclass(frozen=True)
class Outputs:
    """A folder of answers."""

    folder: Path
    legend: Legend
    protocol: Protocol
    confidence: bool
    overlays: bool

    def is_whole(self, source: Source) -> bool:
        """Whether all files are there, of this picture as it is now.

        Raises InputError where they are another picture's, or no answer.
        """
        facts = self._path(source, FACTS)
        try:
            about = json.loads(facts.read_bytes())
            where, version = about["source"], about["version"]
        except FileNotFoundError:
            return False
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(f"{facts} is no answer of zeroseg: choose another --output") from error
        if where != source.where:
            raise InputError(
                f"{self.folder} has the answer of {where} under the name of {source.where}: choose "
                "another --output"
            )
        try:
            now = source.version()
        except OSError:  # a link to nothing, say: reading it will tell
            return False
        return version == now and all(self._path(source, kind).exists() for kind in self._kinds)

    def write(self, answer: Answered) -> str:
        """Write all files, the facts last; return what they show in a line.

        Files of an earlier answer that are not asked for now are removed, since they are of other pixels.
        """
        classes, labels = self.legend.classes, answer.labels
        share = torch.bincount(labels.flatten(), minlength=len(classes)) / labels.numel()
        present = {i: name for i, name in enumerate(classes) if share[i] > 0}
        if answer.named:
            present = {one.label: one.name for one in answer.named}
            about: dict[str, Any] = {"segments": [_told(o, classes, share) for o in answer.named]}
        else:
            shares = zip(classes, share.tolist(), strict=True)
            about = {"classes": classes, "share_of_pixels": {c: round(s, 4) for c, s in shares}}
        about |= {
            "protocol": dataclasses.asdict(self.protocol),
            "source": answer.source.where,
            "version": answer.version,
        }
        files = {LABELS: self._indexed(labels.numpy())}
        if self.overlays:
            files[OVERLAY] = self._overlay(answer, present)
        if self.confidence:
            pixels, about["confidence"] = _grey(answer.scores, self.protocol)
            files[CONFIDENCE] = encoded(pixels, "png")
        for kind in {OVERLAY, CONFIDENCE} - files.keys():
            self._path(answer.source, kind).unlink(missing_ok=True)
        for kind, data in files.items():
            write_atomically(str(self._path(answer.source, kind)), data)
        text = json.dumps(about, indent=2)
        write_atomically(str(self._path(answer.source, FACTS)), text.encode())
        shown = ", ".join(f"{name} {100 * share[i]:.0f} %" for i, name in present.items())
        return f"{self._path(answer.source, self._kinds[-1])}: {shown}"

    def labels(self, source: Source) -> UInt[ndarray, "height width"]:
        """A label map that is there."""
        return label_ids(self._path(source, LABELS).read_bytes())

    @property
    def _kinds(self) -> list[str]:
        """Files of one answer beside the facts."""
        wanted = {LABELS: True, CONFIDENCE: self.confidence, OVERLAY: self.overlays}
        return [kind for kind, is_wanted in wanted.items() if is_wanted]

    def _path(self, source: Source, kind: str) -> Path:
        return self.folder / f"{source.stem}{kind}"

    def _overlay(self, answer: Answered, present: dict[int, str]) -> bytes:
        """The picture in its classes' colours above their names."""
        pixels, colours = answer.pixels.permute(1, 2, 0).numpy(), self.legend.colours
        tinted = overlay(pixels, answer.labels, colours=colours)
        return encoded(with_legend(tinted, present, colours=colours), "png")

    def _indexed(self, labels: ndarray) -> bytes:
        """A label map in its classes' colours, or in 16 bits, which have none."""
        if len(self.legend.classes) > 255:
            return encoded(labels.astype(np.uint16), "png")
        indexed = Image.fromarray(labels.astype(np.uint8), mode="P")
        colours = np.full((256, 3), 255, np.uint8)
        colours[: len(self.legend.classes)] = self.legend.colours
        indexed.putpalette(colours.tobytes())
        return _png(indexed)


def _told(named: Named, classes: Sequence[str], share: Float[Tensor, " class"]) -> dict[str, Any]:
    """A class of a picture with all its names, and what else it may be."""
    return {
        "label": named.label,
        "name": named.name,
        "class": classes[named.label],
        "share_of_pixels": round(float(share[named.label]), 4),
        "score": round(named.score, 4),
        "alternatives": [
            {"name": name, "score": round(score, 4)} for name, score in named.alternatives
        ],
    }


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def _grey(
    scores: Float[Tensor, "height width"], protocol: Protocol
) -> tuple[UInt8[ndarray, "height width"], dict[str, Any]]:
    """Scores in 8 bits, and what black and white are: 0 and 1 of probabilities, else the lowest and the
    highest score of the picture."""
    if protocol.softmax != "none":
        kind, black, white = "probability", 0.0, 1.0
    else:
        kind, black, white = "score", float(scores.min()), float(scores.max())
    levels = (scores.double() - black) / max(white - black, 1e-12)
    pixels = (255 * levels.clamp(0, 1)).round().byte().numpy()
    return pixels, {"is": kind, "black": black, "white": white}
