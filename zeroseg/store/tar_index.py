"""Offsets of a shard's members, so that any sample can be read alone and in any order.

An index file stands beside its shard (`x.tar`, `x.idx`) in the format of NVIDIA DALI's `wds2idx`,
version 1.2: a line with the version and the number of samples, then for every sample a line of
`extension offset size name`, one such group for each member. Without one the tar is scanned.
"""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from zeroseg.errors import InputError

VERSION = "v1.2"
_IMAGES = ("jpg", "jpeg", "webp", "png")
"""Members that hold the image, the first that is there; a PNG beside a JPEG is a label map."""


class Span(NamedTuple):
    """A member's bytes in the tar."""

    offset: int
    size: int


@dataclass(frozen=True)
class TarIndex:
    """The samples of one shard, in order."""

    keys: tuple[str, ...]
    members: tuple[Mapping[str, Span], ...]
    """Spans by extension, for each sample."""

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, number: int) -> str:
        """Key of a sample."""
        return self.keys[number]

    def sample(self, number: int) -> tuple[str, Mapping[str, Span]]:
        """Key of a sample and the spans of its members."""
        return self.keys[number], self.members[number]

    def number(self, key: str, expected: int = 0) -> int | None:
        """Number of the sample of a key, None without one; `expected` is not needed here."""
        return self._numbers.get(key)

    def close(self) -> None:
        """Nothing is open."""

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}


def image_extension(members: Mapping[str, object]) -> str | None:
    """Extension of the member that is the sample's image; None if it has no image."""
    return next((e for e in _IMAGES if e in members), None)


def index_path(shard: Path) -> Path:
    """Path of a shard's index file."""
    return shard.with_suffix(".idx")


def scan(shard: Path) -> TarIndex:
    """Index of a shard, made by reading the tar's headers.

    Members of one sample stand side by side and share the name up to its first dot, as in
    webdataset. Raises InputError when the file is no tar, or is cut short.
    """
    keys: list[str] = []
    members: list[dict[str, Span]] = []
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                key, extension = split_name(info.name)
                if not info.isfile() or not extension or key.split("/")[-1].startswith("__"):
                    continue
                if not keys or keys[-1] != key:
                    keys.append(key)
                    members.append({})
                members[-1][extension] = Span(info.offset_data, info.size)
            end = tar.offset
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"shard {shard} cannot be read ({error}): build it again") from error
    with shard.open("rb") as file:
        file.seek(end)
        # Cut between two members, a tar ends like a shorter one but for this mark.
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise InputError(
                f"shard {shard} is cut short after {len(keys)} samples: build it again"
            )
    return TarIndex(tuple(keys), tuple(members))


def split_name(name: str) -> tuple[str, str]:
    """Key and extension of a member: the name up to the first dot after the last slash, the rest."""
    folder, _, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return f"{folder}/{stem}" if folder else stem, extension.lower()


def read_index(shard: Path) -> TarIndex:
    """Index of a shard, from the file beside it, else by a scan.

    Raises InputError when either cannot be read.
    """
    path = index_path(shard)
    if not path.is_file():
        return scan(shard)
    return parse_index(path.read_text(), str(path))


def parse_index(text: str, path: str) -> TarIndex:
    """Index from the text of an index file. Raises InputError naming `path`."""
    head, *lines = text.splitlines() or [""]
    if head.split() != [VERSION, str(len(lines))]:
        raise InputError(
            f"index {path} does not begin with '{VERSION} {len(lines)}': delete it, it is made "
            "again by `zeroseg shards index`"
        )
    samples = [parse_line(line) for line in lines]
    return TarIndex(tuple(key for key, _ in samples), tuple(members for _, members in samples))


def parse_line(line: str) -> tuple[str, dict[str, Span]]:
    """Key of a sample and the spans of its members, from its line of an index file."""
    fields = line.split()
    spans = zip(fields[::4], fields[1::4], fields[2::4], strict=True)
    members = {extension: Span(int(offset), int(size)) for extension, offset, size in spans}
    return split_name(fields[3])[0], members


def index_text(index: TarIndex) -> str:
    """Text of the index file. Raises InputError for a key with a space, which it cannot hold."""
    if spaced := [key for key in index.keys if " " in key]:
        raise InputError(f"key {spaced[0]!r} has a space: an index cannot hold it, build it again")
    lines = (
        " ".join(f"{e} {span.offset} {span.size} {key}.{e}" for e, span in members.items())
        for key, members in zip(index.keys, index.members, strict=True)
    )
    return "\n".join((f"{VERSION} {len(index)}", *lines)) + "\n"
