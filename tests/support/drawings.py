"""Pictures that lie as EXIF says, and label maps of what was drawn on them."""

import io

import numpy as np
from PIL import ExifTags, Image

from shards.sample import BadSample, Sample, Source
from tests.support.corpora import samples
from zeroseg.data.images import decode_pair
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets.benchmarks import IGNORE

WIDTH, HEIGHT = 20, 12


def photo(orientation: int = 1, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A JPEG whose upright picture has this size, stored as an orientation says."""
    width, height = size[::-1] if orientation > 4 else size
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 140)).save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()


def block(left: int, top: int, right: int, bottom: int, label: int = 1) -> np.ndarray:
    """Labels of the upright picture: a rectangle, and IGNORE around it."""
    labels = np.full((HEIGHT, WIDTH), IGNORE)
    labels[top:bottom, left:right] = label
    return labels


def label_map(sample: Sample | BadSample) -> np.ndarray:
    """As the file lies over the stored pixels."""
    assert isinstance(sample, Sample), sample
    assert sample.labels is not None
    return decode_labels(sample.labels).numpy()


def upright(sample: Sample | BadSample) -> np.ndarray:
    """As training and evaluation see it."""
    assert isinstance(sample, Sample), sample
    assert sample.labels is not None
    return decode_pair(sample.image, sample.labels)[1].numpy()


def only(source: Source) -> Sample | BadSample:
    """The one sample of a source."""
    (sample,) = samples(source)
    return sample
