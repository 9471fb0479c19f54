"""A folder of photos, searched to any depth, as unlabelled images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from shards.sample import BadSample, Sample, Source, image_size, key_of
from zeroseg.errors import InputError
from zeroseg.store.storage import join, list_files, read_bytes

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
"""Of picture files, in lower case; either case is found."""


@dataclass(frozen=True)
class Folder:
    """Every picture below a folder or URL; its key is its path."""

    photos: str
    """Folder or URL."""

    def source(self) -> Source:
        """Raises InputError when there is no picture, or when two would have one key."""
        units = list_files(self.photos, SUFFIXES)
        if not units:
            raise InputError(
                f"no {', '.join(sorted(SUFFIXES))} below {self.photos}: check the folder"
            )
        distinct_keys(self.photos, (path for path, _ in units))
        return Source(
            units=units,
            read=partial(read_picture, self.photos),
            built_from={"kind": "folder", "source": self.photos},
        )


def read_picture(source: str, unit: tuple[str, int | None]) -> Iterator[Sample | BadSample]:
    """The one image of a unit (path below the source, bytes)."""
    path, _ = unit
    url = join(source, path)
    yield checked(url, Sample(key_of(path), read_bytes(url), source=path))


def checked(name: str, sample: Sample) -> Sample | BadSample:
    """The sample, or a BadSample that begins with `name` when its image is empty or no picture."""
    if not sample.image:
        return BadSample(f"{name}: empty")
    try:
        image_size(sample.image)
    except BadSample as error:
        return BadSample(f"{name}: {error}")
    return sample


def distinct_keys(source: str, paths: Iterable[str]) -> None:
    """Raises InputError naming two paths below a source that would have one key, if there are."""
    first: dict[str, str] = {}
    for path in paths:
        other = first.setdefault(key_of(path), path)
        if other != path:
            raise InputError(
                f"{join(source, other)} and {join(source, path)} would both be called "
                f"{key_of(path)!r}: rename or remove one"
            )
