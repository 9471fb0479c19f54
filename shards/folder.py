"""A folder of photos, searched to any depth, as unlabelled training shards."""

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from shards.writer import Sample, write_shards
from zeroseg.errors import InputError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def photos(source: Path) -> list[Path]:
    """Every picture file below a folder, in order of path. Raises InputError when there is none."""
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"no {', '.join(sorted(SUFFIXES))} below {source}: check the folder")
    return found


def checked_bytes(path: Path) -> bytes:
    """The file's own bytes, never re-encoded. Raises InputError when they are no picture."""
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception as error:  # whatever a picture library makes of a file that is no picture
        raise InputError(
            f"{path} is not a readable picture ({error}): remove or mend it"
        ) from error
    return path.read_bytes()


def key_of(path: Path, source: Path) -> str:
    """A key from the path below the source. Dots would end a key in a tar and leading double
    underscores mark what is no sample, so both are replaced."""
    key = str(path.relative_to(source).with_suffix("")).replace(".", "_")
    return "/".join(re.sub("^__", "--", part) for part in key.split("/"))


def write(source: Path, destination: Path, name: str = "train", per_shard: int = 1000) -> None:
    """Write the photos of a folder as `destination/<name>-NNNNNN.tar`."""

    def samples() -> Iterator[Sample]:
        for path in files:
            yield Sample(key_of(path, source), checked_bytes(path))

    files = photos(source)
    write_shards(samples(), destination, name, per_shard=per_shard, total=len(files))
