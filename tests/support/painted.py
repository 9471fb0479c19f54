"""Scenes with unseen objects, whose unseen pixels are labelled as they are or painted at random."""

import io

import numpy as np
import torch
from PIL import Image

from shards.scenes import scene
from zeroseg.data.batch import Batch
from zeroseg.data.transforms import Transform
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.store.reader import RawSample

UNSEEN = [SCENES.classes.index(name) for name in sorted(SCENES.unseen)]


def painted_batch(transform: Transform, seed: int | None = None, images: int = 3) -> Batch:
    """The same images for every seed; with one, the labels of unseen pixels are any unseen classes."""
    shown = [transform(sample(index, seed), 0) for index in range(images)]
    return Batch(
        tuple(str(index) for index in range(images)),
        torch.stack([of["images"] for of in shown]),
        torch.stack([of["labels"] for of in shown]),
    )


def sample(index: int, seed: int | None) -> RawSample:
    """A scene of unseen objects before all kinds of stuff, as shards hold it."""
    pixels, labels = scene(np.random.default_rng([7, index]), sorted(SCENES.unseen))
    hidden = np.isin(labels, UNSEEN)
    assert hidden.any()
    if seed is not None:
        painted = np.random.default_rng(seed).choice(UNSEEN, labels.shape).astype(np.uint8)
        labels = np.where(hidden, painted, labels)
    members = {"webp": encoded(pixels, "webp", lossless=True), "png": encoded(labels, "png")}
    return RawSample("shard-0.tar", str(index), members)


def encoded(pixels: np.ndarray, kind: str, **options: bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()
