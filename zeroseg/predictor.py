"""Predictor: a trained model, or a CLIP that was never trained to segment, and your own words.

model = zeroseg.load("runs/x")
labels = model.segment("photo.jpg", ["cat", "sofa|couch", "grass"])
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from zeroseg.data.images import decode_image, resized
from zeroseg.data.picture_files import rgb
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.own_benchmarks import spelled
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction, Kind, check_no_correction
from zeroseg.evaluation.evaluate import class_scores, label_maps
from zeroseg.evaluation.open_vocabulary import OpenVocabulary, open_vocabulary
from zeroseg.evaluation.protocols import Protocol, ProtocolConfig
from zeroseg.evaluation.segmenters import Method, clip_segmenter, clip_spec
from zeroseg.evaluation.task import Task, task_for
from zeroseg.export.session import SUFFIX, as_exported, load_exported
from zeroseg.methods import METHODS, MethodConfig, saved
from zeroseg.models.clip import CLIP, TextEncoder
from zeroseg.models.segmenter import Answers, Segmenter

PREFIX = "clip:"

PHOTO = ProtocolConfig(name="photo")

Picture = str | Path | Image.Image | np.ndarray | Tensor
"""A file; or a picture as Pillow has it; or RGB as an array of [height width 3] or a tensor of
[3 height width], in bytes or as floats in [0, 1]."""


@dataclass(frozen=True)
class Predictor:
    """A model and the CLIP whose words it understands."""

    clip: TextEncoder
    reader: Callable[[str, Correction], Segmenter]
    """Who answers, by readout and correction; see `segmenter`."""
    image_size: int
    """Side that pictures are brought to where no protocol says another, in pixels."""
    answers: Answers = "cosines"
    """Of a model that answers scores no softmax is taken, whatever the protocol says."""

    def segmenter(self, readout: str = "", correction: Correction | Kind = "none") -> Segmenter:
        """The model as it answers; an empty readout is its default, the best one by validation.

        With a correction its teacher is asked about every picture, too. Raises InputError for a readout or a
        correction that it does not have.
        """
        if isinstance(correction, str):
            correction = Correction(kind=correction)
        return self.reader(readout, correction)

    def segment(
        self,
        image: Picture,
        names: Sequence[str],
        *,
        background: float | Sequence[str] | None = None,
        readout: str = "",
        correction: Correction | Kind = "none",
        protocol: ProtocolConfig = PHOTO,
    ) -> Int[Tensor, "height width"]:
        """The class of each pixel: its index among `names`, in each of which `|` is between synonyms.

        With a `background` threshold, 0 is what is below it and names count from 1; with words for it
        (`["sky", "wall"]`), 0 is what is one of them. Raises InputError for a picture that cannot be
        read, fewer than two names, or a readout or correction the model does not have.
        """
        task = self.task(names, background, protocol)
        return label_maps(*self._question(image, self.segmenter(readout, correction), task))[
            0
        ].cpu()

    def scores(
        self,
        image: Picture,
        names: Sequence[str],
        *,
        readout: str = "",
        correction: Correction | Kind = "none",
        protocol: ProtocolConfig = PHOTO,
    ) -> Float[Tensor, "class height width"]:
        """The probability of each of `names` at every pixel, or the score of a model that answers scores.
        Raises InputError as `segment` does."""
        task = self.task(names, None, protocol)
        return class_scores(*self._question(image, self.segmenter(readout, correction), task))[
            0
        ].cpu()

    def task(
        self,
        names: Sequence[str],
        background: float | Sequence[str] | None = None,
        protocol: ProtocolConfig = PHOTO,
    ) -> Task:
        """The question that these words make; with words for background, too, those are class 0."""
        if isinstance(background, Sequence):
            return self._task_with_words_for_background(names, background, protocol)
        if background is not None:
            protocol = dataclasses.replace(protocol, background_threshold=background)
        words = own_classes(names, background is not None)
        return task_for(self.clip, words, self.protocol(words, protocol))

    def open_vocabulary(
        self,
        names: Sequence[str],
        protocol: ProtocolConfig = PHOTO,
        *,
        shortlist: int = 64,
        same: float = 0.95,
    ) -> OpenVocabulary:
        """Names from which the segments of each picture are named; see `OpenVocabulary`. Raises InputError as
        `open_vocabulary` of that module, and for an exported model, which has no image tower."""
        if not isinstance(self.clip, CLIP):
            raise InputError(
                "an exported model has no image tower to find a picture's names by: name classes, or the run"
            )
        words = tuple(dict.fromkeys(map(spelled, names)))
        rules = self.protocol(own_classes(words, background=False), protocol)
        return open_vocabulary(self.clip, words, rules, shortlist=shortlist, same=same)

    def _task_with_words_for_background(
        self, names: Sequence[str], background: Sequence[str], protocol: ProtocolConfig
    ) -> Task:
        """All words are asked for alike; then the first ones are one class."""
        words = [background] if isinstance(background, str) else background
        if protocol.background_threshold is not None:
            raise InputError("background has words and a threshold: leave one of them out")
        task = self.task([*words, *names], None, protocol)
        owners = (task.queries.owners - (len(words) - 1)).clamp(min=0)
        return dataclasses.replace(
            task,
            benchmark=own_classes(names, background=True),
            queries=dataclasses.replace(task.queries, owners=owners),
        )

    def protocol(self, words: Benchmark, protocol: ProtocolConfig = PHOTO) -> Protocol:
        """A protocol as it is for anybody's words and this model: with plain names, and at the
        model's own size where it says none."""
        rules = dataclasses.replace(protocol, names="plain").on(words)
        softmax = "none" if self.answers == "scores" else rules.softmax
        short_side = rules.short_side or self.image_size
        return dataclasses.replace(rules, short_side=short_side, softmax=softmax)

    def _question(
        self, image: Picture, segmenter: Segmenter, task: Task
    ) -> tuple[Segmenter, Float[Tensor, "1 3 rows columns"], Task, tuple[int, int]]:
        """Who is asked, of which pixels at the model's size, what, and the picture's own size."""
        pixels = picture_pixels(image)
        size = (pixels.shape[1], pixels.shape[2])
        scaled = resized(pixels, task.protocol.picture_size(size, segmenter.multiple))
        return segmenter, (scaled[None].float() / 255).to(self.clip.mean.device), task, size


def load(
    model: str | Path,
    *,
    device: torch.device | str | None = None,
    methods: Sequence[type[MethodConfig]] = METHODS,
) -> Predictor:
    """Load a run folder, a model folder in one, `clip:ARCHITECTURE:WEIGHTS:METHOD`, or a file of
    `zeroseg export onnx`, which runs on the CPU.

    `methods` are those that a saved model may be of. Raises InputError when there is no such model.
    """
    if str(model).endswith(SUFFIX) and not str(model).startswith(PREFIX):
        exported = load_exported(Path(model))
        about = exported.about
        reader = partial(as_exported, exported)
        return Predictor(exported.words, reader, about.image_size, about.answers)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if str(model).startswith(PREFIX):
        config, method = clip_spec(str(model))
        clip = CLIP(config, device)
        return Predictor(clip, partial(_untrained, clip, method), clip.image_size)
    description, module = saved.load(Path(model), methods)
    module.to(device)
    config, clip = description.method, CLIP(description.text, device)
    return Predictor(
        clip,
        lambda readout, correction: config.corrected(
            module, readout or description.readout, clip, correction
        ),
        config.image_size,
        config.answers,
    )


def _untrained(clip: CLIP, method: Method, readout: str, correction: Correction) -> Segmenter:
    """A CLIP as it segments without training, which knows one readout."""
    check_no_correction(correction)
    return clip_segmenter(clip, method)


def own_classes(names: Sequence[str], background: bool) -> Benchmark:
    """Anybody's words as a class list. Raises InputError on duplicates or a single name."""
    words = tuple(", ".join(part.strip() for part in name.split("|")) for name in names)
    return Benchmark(
        name="your classes",
        classes=("background", *words) if background else words,
        background=background,
    )


def picture_pixels(image: Picture) -> UInt8[Tensor, "3 height width"]:
    """A picture's pixels. Raises InputError when it is none."""
    if isinstance(image, str | Path):
        if not Path(image).is_file():
            raise InputError(f"photo {image} does not exist")
        try:
            return decode_image(Path(image).read_bytes())
        except Exception as error:  # whatever a picture library makes of a file that is no picture
            raise InputError(f"photo {image} cannot be decoded: {error}") from error
    if isinstance(image, Image.Image):
        image = rgb(image)
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image))
        image = image.permute(2, 0, 1) if image.ndim == 3 else image
    if image.ndim != 3 or image.shape[0] != 3:
        raise InputError(
            f"a picture of shape {tuple(image.shape)}: give [height width 3] as an array, "
            "[3 height width] as a tensor"
        )
    if image.is_floating_point():
        image = (255 * image.clamp(0, 1)).round().byte()
    if image.dtype != torch.uint8:
        raise InputError(f"a picture of {image.dtype}: give bytes, or floats in [0, 1]")
    return image
