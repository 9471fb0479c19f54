"""One sample of a shard: whether its bytes are what training and evaluation need."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from enum import StrEnum
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from shards.contents import StoredSample, size_of
from shards.sample import Sample, error_text
from zeroseg.data.images import decode_image, stored_size
from zeroseg.data.label_files import decode_labels
from zeroseg.data.samples import LABELS
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.store.keys import unfit
from zeroseg.store.tar_index import Span, image_extension

FACTS = "json"
"""Extension of the member in which a builder says what the image is."""
_FACTS_OF_OURS = {"width", "height", "source", "sha256"}


class Cause(StrEnum):
    """What can be wrong, in the order in which it is told."""

    UNREADABLE = "unreadable shard"
    MANIFEST = "not as the manifest says"
    CHECKSUM = "wrong checksum"
    DAMAGED = "damaged tar"
    INDEX = "wrong index"
    KEY = "unusable key"
    DUPLICATE = "duplicate key"
    SPLIT = "split sample"
    NO_IMAGE = "no image"
    EMPTY = "empty member"
    IMAGE = "undecodable image"
    FACTS = "json disagrees with the image"
    NO_LABELS = "no label map"
    LABEL_SIZE = "label map of another size"
    LABELS = "undecodable label map"
    LABEL_VALUE = "label without a class"


class SampleError(Exception):
    """The first thing that is wrong with a sample."""

    def __init__(self, cause: Cause, detail: str | Exception) -> None:
        super().__init__(error_text(detail) if isinstance(detail, Exception) else detail)
        self.cause = cause


class _Members(NamedTuple):
    """The bytes of a sample that count."""

    image: bytes
    labels: bytes | None
    facts: bytes | None


def verify_sample(file: BufferedReader, sample: StoredSample, classes: Sequence[str]) -> None:
    """Decode a sample. Raises SampleError at the first thing that is wrong with it.

    With classes, every sample needs a label map, and so every PNG is one.
    """
    extensions = [extension for extension, _ in sample.members]
    if len(set(extensions)) < len(extensions):
        raise SampleError(
            Cause.DUPLICATE, f"one of its members comes twice: {', '.join(extensions)}"
        )
    if classes and image_extension(dict(sample.members)) == LABELS:
        raise SampleError(Cause.NO_IMAGE, f"it has only {', '.join(extensions)}")
    members = _read_members(file, sample)
    stored = _stored_size(members.image)
    if members.facts is not None:
        _verify_facts(members.facts, members.image, stored)
    if members.labels is not None:
        _verify_labels(members.labels, stored, classes)
    elif classes:
        raise SampleError(Cause.NO_LABELS, "its set has classes")
    verify_key(sample)


def verify_key(sample: StoredSample) -> None:
    """Last, since all else of the sample can be right. Raises SampleError for what no index holds."""
    for name in (sample.key, *(extension for extension, _ in sample.members)):
        if reason := unfit(name) or ("has a space" if " " in name else ""):
            raise SampleError(Cause.KEY, f"an index cannot hold a name that {reason}")


def _read_members(file: BufferedReader, sample: StoredSample) -> _Members:
    spans = dict(sample.members)
    image = image_extension(spans)
    if image is None:
        raise SampleError(Cause.NO_IMAGE, f"it has only {', '.join(spans)}")
    return _Members(
        _read(file, image, spans[image]),
        _read(file, LABELS, spans[LABELS]) if LABELS in spans and image != LABELS else None,
        _read(file, FACTS, spans[FACTS]) if FACTS in spans else None,
    )


def _read(file: BufferedReader, extension: str, span: Span) -> bytes:
    if span.size == 0:
        raise SampleError(Cause.EMPTY, extension)
    if span.offset + span.size > size_of(file):
        raise SampleError(Cause.DAMAGED, f"the shard ends inside its {extension}")
    return os.pread(file.fileno(), span.size, span.offset)


def _stored_size(image: bytes) -> tuple[int, int]:
    """(height, width) of an image as it is stored, which must decode."""
    try:
        decode_image(image)
        return stored_size(image)
    except Exception as error:  # whatever a picture library makes of damaged bytes
        raise SampleError(Cause.IMAGE, error) from error


def _verify_facts(data: bytes, image: bytes, stored: tuple[int, int]) -> None:
    facts = _facts(data)
    if facts is None:
        return
    if facts["sha256"] != hashlib.sha256(image).hexdigest():
        raise SampleError(Cause.FACTS, "its bytes have another SHA-256")
    told = (facts["height"], facts["width"])
    if told != stored:
        raise SampleError(Cause.FACTS, f"(height, width) {told} there, {stored} in the image")


def _facts(data: bytes) -> dict[str, Any] | None:
    """What the builder wrote of an image; None where another program wrote something else."""
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SampleError(Cause.FACTS, error) from error
    ours = isinstance(facts, dict) and facts.keys() == _FACTS_OF_OURS
    return facts if ours else None


def right_sample(file: BufferedReader, sample: StoredSample) -> Sample:
    """A sample that was verified, as it goes into another set."""
    members = _read_members(file, sample)
    facts = members.facts and _facts(members.facts)
    source = str(facts["source"]) if facts else ""
    return Sample(sample.key, members.image, members.labels, source)


def _verify_labels(data: bytes, size: tuple[int, int], classes: Sequence[str]) -> None:
    """Label maps lie over the image as it is stored: training and evaluation turn both alike."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            stored = (picture.height, picture.width)
            picture.verify()  # checksums of all chunks, which decoding partly passes over
        labels = decode_labels(data).numpy() if stored == size else None
    except Exception as error:  # whatever a picture library makes of damaged bytes
        raise SampleError(Cause.LABELS, error) from error
    if labels is None:
        raise SampleError(
            Cause.LABEL_SIZE, f"(height, width) {stored}, the image as it is stored {size}"
        )
    values = np.flatnonzero(np.bincount(labels.ravel())).tolist()
    unknown = [v for v in values if v != IGNORE and v >= len(classes)]
    if classes and unknown:
        rest = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        found = f"values {unknown[:10]}{rest}"
        raise SampleError(Cause.LABEL_VALUE, f"{found} with {len(classes)} classes")
