"""Pictures read and decoded, in batches whose pictures a model sees at one size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from pipelines.segmenting.inputs import Source
from shards.sample import error_text
from zeroseg.data.images import decode_image, resized
from zeroseg.errors import NoRoom, UnfitPicture
from zeroseg.evaluation.evaluate import answers
from zeroseg.evaluation.open_vocabulary import Named, OpenVocabulary
from zeroseg.evaluation.task import Task
from zeroseg.models.segmenter import Segmenter

WAITING = 2**25
"""Pixels of the pictures that are held until others of their size come, at most, and one picture more."""


class Loaded(NamedTuple):
    """A picture at its own size, and at the model's."""

    source: Source
    version: str
    """Of the source, told before it was read: what changes meanwhile is segmented again."""
    pixels: UInt8[Tensor, "3 height width"]
    scaled: UInt8[Tensor, "3 rows columns"]


class Answered(NamedTuple):
    """A picture and what the model says of each of its pixels."""

    source: Source
    version: str
    """As in `Loaded`."""
    pixels: UInt8[Tensor, "3 height width"]
    labels: Int[Tensor, "height width"]
    scores: Float[Tensor, "height width"]
    """Of the word that is the best there, whatever is background in the end."""
    named: tuple[Named, ...] = ()
    """With a vocabulary, the classes that are there."""


def answered(
    todo: Iterable[Source],
    question: Task | OpenVocabulary,
    segmenter: Segmenter,
    batch_size: int,
    lose: Callable[[Source, str], None],
) -> Iterator[Answered]:
    """Every picture's answer, as it comes; `lose` is told of each that cannot be read or does not fit, and why.

    Raises NoRoom where a disk is full.
    """
    task = question if isinstance(question, Task) else question.task
    for batch in _batches(todo, task, segmenter.multiple, batch_size, lose):
        try:
            yield from _asked(batch, question, segmenter)
        except UnfitPicture as error:
            for one in batch:
                lose(one.source, str(error))


def _asked(
    batch: Sequence[Loaded], question: Task | OpenVocabulary, segmenter: Segmenter
) -> Iterator[Answered]:
    task = question if isinstance(question, Task) else question.task
    device = task.queries.embeddings.device
    images = (torch.stack([one.scaled for one in batch]).float() / 255).to(device)
    sizes = [(one.pixels.shape[1], one.pixels.shape[2]) for one in batch]
    if isinstance(question, OpenVocabulary):  # each picture is asked about its own names
        for one, image, size in zip(batch, images, sizes, strict=True):
            labels, scores, named = question.name(segmenter, image[None], size)
            yield Answered(*one[:3], labels.cpu(), scores.cpu(), named)
        return
    found = answers(segmenter, images, task, sizes)
    for one, (scores, labels) in zip(batch, found, strict=True):
        yield Answered(*one[:3], labels.cpu(), scores.cpu())


def _batches(
    todo: Iterable[Source],
    task: Task,
    multiple: int,
    batch_size: int,
    lose: Callable[[Source, str], None],
) -> Iterator[list[Loaded]]:
    """Full batches as soon as they are; the largest, full or not, when too many pixels wait."""
    waiting: dict[tuple[int, ...], list[Loaded]] = {}
    for source in todo:
        try:
            loaded = _loaded(source, task, multiple)
        except NoRoom:
            raise
        except (
            Exception
        ) as error:  # whatever a storage or a picture library makes of what is no picture
            lose(source, error_text(error))
            continue
        group = waiting.setdefault(tuple(loaded.scaled.shape), [])
        group.append(loaded)
        held = sum(one.pixels[0].numel() for others in waiting.values() for one in others)
        if len(group) == batch_size or held > WAITING:
            largest = max(waiting, key=lambda shape: len(waiting[shape]))
            yield waiting.pop(largest)
    yield from waiting.values()


def _loaded(source: Source, task: Task, multiple: int) -> Loaded:
    version, pixels = source.version(), decode_image(source.read())
    size = task.protocol.picture_size((pixels.shape[1], pixels.shape[2]), multiple)
    return Loaded(source, version, pixels, resized(pixels, size))
