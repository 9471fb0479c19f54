"""Images with label maps, as the official releases of segmentation datasets lay them out.

A release's ids become the shards' labels by a table: every id the release uses, and its label. An
id that is not in the table means that the file is no label map of this release.
"""

import importlib.util
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt, UInt16
from numpy import ndarray
from PIL import ImageFile

from shards.folder import distinct_keys
from shards.sample import BadSample, Sample, error_text, image_size, key_of
from zeroseg.data.label_files import label_file
from zeroseg.errors import InputError
from zeroseg.store.storage import list_files

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading values out of JSON of another form raises."""


@dataclass(frozen=True)
class Pair:
    """An image and its label map; either file may turn out to be missing."""

    key: str
    root: Path
    image: str
    """Below the root."""
    labels: Path


def read_pair(
    table: Mapping[int, int], decode: Callable[[bytes], UInt[ndarray, "height width"]], pair: Pair
) -> Iterator[Sample | BadSample]:
    """The one sample of a pair, its ids looked up in the table; see `label_ids` for those of a PNG.

    A label map keeps its file's own bytes where those say the same labels.
    """
    image = pair.root / pair.image
    try:
        with naming(image):
            data = image.read_bytes()
            width, height = image_size(data)
        with naming(pair.labels):
            stored = pair.labels.read_bytes()
            ids = decode(stored)
            if ids.shape != (height, width):
                size = f"{ids.shape[1]}x{ids.shape[0]}"
                raise BadSample(f"{size} pixels, but its image {image} has {width}x{height}")
            labels = relabelled(ids, table)
    except BadSample as error:
        yield error
        return
    yield Sample(pair.key, data, label_file(labels, stored), pair.image)


@contextmanager
def naming(path: Path | str) -> Generator[None]:
    """Whatever goes wrong inside becomes a BadSample that begins with the path."""
    try:
        yield
    except BadSample as error:
        raise BadSample(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise BadSample(f"{path}: missing") from error
    except Exception as error:  # decoders have exceptions of their own for damaged files
        raise BadSample(f"{path}: not readable ({error_text(error)})") from error


def relabelled(
    ids: UInt[ndarray, "height width"], table: Mapping[int, int]
) -> UInt16[ndarray, "height width"]:
    """Labels in place of ids. Raises BadSample naming an id that the table lacks."""
    found = np.flatnonzero(np.bincount(ids.ravel())).tolist()
    if strange := [i for i in found if i not in table]:
        raise BadSample(f"holds id {strange[0]}, which this dataset does not have")
    labels = np.zeros(found[-1] + 1, np.uint16)
    labels[found] = [table[i] for i in found]
    return labels[ids]


def matrix_ids(values: object) -> UInt16[ndarray, "height width"]:
    """Ids of a `.mat` file's matrix, whatever kind of number it was saved as.

    Raises BadSample for what is no matrix of numbers, or holds one that is no id of 16 bits.
    """
    if not isinstance(values, ndarray) or values.ndim != 2 or values.dtype.kind not in "uif":
        found = f"{values.ndim} axes of {values.dtype}" if isinstance(values, ndarray) else "none"
        raise BadSample(f"a matrix of ids is needed, this is {found}")
    with np.errstate(invalid="ignore"):
        ids = values.astype(np.uint16)
    if (strange := values[ids != values]).size:
        raise BadSample(f"holds {strange[0]}, which is no id")
    return ids


def refuse_deep_colours(picture: ImageFile.ImageFile) -> None:
    """Raises BadSample for colours of 16 bits, of which Pillow reads the upper 8: 110 becomes 0."""
    if picture.mode in ("RGB", "RGBA", "LA") and ";16" in str(picture.tile[0][3]):
        raise BadSample("has colours of 16 bits: save it with 8")


def paired(
    root: Path,
    images: str,
    labels: Path,
    *,
    suffixes: Sequence[str] = (".jpg",),
    image_end: str = "",
    labels_end: str = "",
    maps: Sequence[str] = (".png",),
) -> list[Pair]:
    """Images `<name><image_end>.jpg` in folder `images` below the root, each with the label map
    `<name><labels_end>.png` of the same place below `labels`, in order of name.

    `suffixes` and `maps` have others that files may end in, the usual one first.

    A name that only one of the two folders holds makes a pair too, for it to be reported. Raises
    InputError when there is none, or when two images have one name.
    """
    photos = _by_name(root / images, suffixes, image_end)
    found = _by_name(labels, maps, labels_end)
    if not photos:
        raise InputError(f"no {image_end}{suffixes[0]} below {root / images}: check the folder")
    return [
        Pair(
            key_of(f"{name}.jpg"),
            root,
            str(PurePosixPath(images) / photos.get(name, f"{name}{image_end}{suffixes[0]}")),
            labels / found.get(name, f"{name}{labels_end}{maps[0]}"),
        )
        for name in sorted(photos.keys() | found.keys())
    ]


def _by_name(folder: Path, suffixes: Sequence[str], end: str) -> dict[str, str]:
    paths = [path for path, _ in list_files(str(folder), frozenset(suffixes))]
    stems = {str(PurePosixPath(path).with_suffix("")): path for path in paths}
    distinct_keys(str(folder), paths)
    return {stem.removesuffix(end): path for stem, path in stems.items() if stem.endswith(end)}


def locate(places: Sequence[Path], dataset: str, parts: Mapping[str, str]) -> Path:
    """The first place that holds any of a release's parts, which must then hold all.

    `parts` gives the archive that holds each. Raises InputError naming what is missing; where no
    place holds anything, in the last one.
    """
    held = (place for place in places if any((place / part).exists() for part in parts))
    place = next(held, places[-1])
    for part, archive in parts.items():
        need(place / part, dataset, archive)
    return place


def need(path: Path, dataset: str, archive: str) -> Path:
    """The path. Raises InputError when there is no such file or folder."""
    if not path.exists():
        raise InputError(f"{dataset} needs {path}: unpack {archive}")
    return path


def read_file(path: Path) -> bytes:
    """The bytes of a file that all samples need. Raises InputError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): unpack it again") from error


def need_package(package: str, purpose: str, extra: str = "build") -> None:
    """Raises InputError when a package of an extra is not installed."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{purpose} needs {package}: run `pip install 'zeroseg[{extra}]'`")


def names_in(path: Path) -> list[str]:
    """The image names of a split's list, one to a line. Raises InputError when there is none."""
    names = read_file(path).decode("utf-8-sig", "surrogateescape").split()
    if not names:
        raise InputError(f"{path} names no image: unpack it again")
    return names
