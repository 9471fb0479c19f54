"""A folder of photos, searched to any depth, as unlabelled images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from shards.sample import BadSample, Sample, Source, image_size, key_of
from zeroseg.errors import InputError
from zeroseg.store.keys import cut, escaped
from zeroseg.store.local_files import NO_FILES, why_unreadable
from zeroseg.store.storage import join, listing, local_path, read_bytes
from zeroseg.store.tar_index import IMAGES

SUFFIXES = frozenset(f".{extension}" for extension in IMAGES)
"""Of picture files, in lower case; either case is found."""

PHONES = frozenset({".heic", ".heif"})
"""Of pictures that phones store beside a JPEG of the same name."""
SHOWN = 8
"""Kinds of files that are named as passed over; others are counted."""


@dataclass(frozen=True)
class Folder:
    """Every picture below a folder or URL; its key is its path."""

    photos: str
    """Folder or URL."""

    def source(self) -> Source:
        """A HEIC file beside another picture of its name is passed over: it is the same photo.

        Raises InputError when there is no picture, or when two would have one key.
        """
        found, passed_over = listing(self.photos, SUFFIXES)
        units = without_twins(found)
        if twins := len(found) - len(units):
            passed_over = {**passed_over, "HEIC beside a picture of its name": twins}
        if not units:
            seen = f", only {counted(passed_over)}" if passed_over else ""
            raise InputError(
                f"no {', '.join(sorted(SUFFIXES))} below {self.photos}{seen}: check the folder"
            )
        distinct_keys(self.photos, (path for path, _ in units))
        return Source(
            units=units,
            read=partial(read_picture, self.photos),
            built_from={"kind": "folder", "source": self.photos},
            passed_over=passed_over,
        )


def read_picture(source: str, unit: tuple[str, int | None]) -> Iterator[Sample | BadSample]:
    """The one image of a unit (path below the source, bytes)."""
    path, _ = unit
    url = join(source, path)
    try:
        data = read_bytes(url)
    except InputError:
        local = local_path(url)
        if local is None or not (reason := why_unreadable(local)):
            raise
        yield BadSample(f"{url}: {reason}")
        return
    yield checked(url, Sample(key_of(path), data, source=path))


def checked(name: str, sample: Sample) -> Sample | BadSample:
    """The sample, or a BadSample that begins with `name` when its image is empty or no picture."""
    if not sample.image:
        return BadSample(f"{name}: empty")
    try:
        image_size(sample.image)
    except BadSample as error:
        return BadSample(f"{name}: {error}")
    return sample


def without_twins(files: Sequence[tuple[str, int | None]]) -> list[tuple[str, int | None]]:
    """The files, without those of `PHONES` beside which there is another picture of the same key."""
    others = {key_of(path) for path, _ in files if PurePosixPath(path).suffix.lower() not in PHONES}
    return [
        (path, size)
        for path, size in files
        if PurePosixPath(path).suffix.lower() not in PHONES or key_of(path) not in others
    ]


def counted(passed_over: Mapping[str, int]) -> str:
    """In words what was passed over, the most frequent first."""
    order = sorted(passed_over, key=lambda kind: (-passed_over[kind], kind))
    told = ", ".join(f"{passed_over[kind]} {escaped(cut(kind, 40))}" for kind in order[:SHOWN])
    more = f" and {len(order) - SHOWN} other kinds" if len(order) > SHOWN else ""
    files = sum(passed_over[kind] for kind in order if kind not in NO_FILES)
    return f"{files} files: {told}{more}" if files else told


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
