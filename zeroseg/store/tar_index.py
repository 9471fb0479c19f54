"""Offsets of a shard's members, so that any sample can be read alone and in any order.

An index file stands beside its shard (`x.tar`, `x.idx`) in the format of NVIDIA DALI's `wds2idx`,
version 1.2: a line with the version and the number of samples, then for every sample a line of
`extension offset size name`, one such group for each member. Without one the tar is scanned.
"""

import os
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

from zeroseg.errors import InputError
from zeroseg.store.keys import unfit

VERSION = "v1.2"
NAMES = {"encoding": "utf-8", "errors": "surrogateescape"}
"""How names in a tar are read, whatever the locale says."""
IMAGES = (
    *("jpg", "jpeg", "webp", "jpe", "jfif", "mpo", "avif", "heic", "heif", "jp2", "j2k", "png"),
    *("tif", "tiff", "bmp", "gif", "ppm", "pgm", "pnm", "qoi", "tga"),
)
"""Members that may hold the image, of which the first that is there does; a PNG beside one that is
named before it is a label map."""
_MADE_AGAIN = "delete it, it is made again by `zeroseg shards index`"


class Span(NamedTuple):
    """A member's bytes in the tar."""

    offset: int
    size: int


class Member(NamedTuple):
    """A file of a sample."""

    key: str
    extension: str
    span: Span


@dataclass(frozen=True)
class TarIndex:
    """The samples of one shard, in order."""

    keys: tuple[str, ...]
    members: tuple[Mapping[str, Span], ...]
    """Spans by extension, for each sample."""
    passed_over: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Members of the tar that are of no sample, counted by what they are."""

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
    return next((e for e in IMAGES if e in members), None)


def index_path(shard: Path) -> Path:
    """Path of a shard's index file."""
    return shard.with_suffix(".idx")


def scan(shard: Path) -> TarIndex:
    """Index of a shard, made by reading the tar's headers.

    Members of one sample stand side by side and share the name up to its first dot, as in
    webdataset. Raises InputError when the file is no tar, is cut short, or when a key comes twice or
    is none that an index can hold.
    """
    try:
        with shard.open("rb") as file, open_tar(file) as tar:
            found, passed_over = sample_members(headers(tar))
            file.seek(tar.offset)
            # Cut between two members, a tar ends like a shorter one but for this mark.
            whole = file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    except Exception as error:  # a damaged extended header can raise nearly anything
        raise InputError(f"shard {shard} cannot be read ({error}): build it again") from error
    keys: list[str] = []
    members: list[dict[str, Span]] = []
    for key, extension, span in found:
        if not keys or keys[-1] != key:
            keys.append(key)
            members.append({})
        if extension in members[-1]:
            raise InputError(
                f"shard {shard} has the member {key}.{extension} twice: remove one of them"
            )
        members[-1][extension] = span
    if not whole:
        raise InputError(f"shard {shard} is cut short after {len(keys)} samples: build it again")
    _refuse_keys(f"shard {shard}", keys, members)
    return TarIndex(tuple(keys), tuple(members), passed_over)


def open_tar(file: Any) -> tarfile.TarFile:
    """An uncompressed tar to read. A header that claims more than the file has is a ReadError."""
    return tarfile.open(fileobj=cast(Any, _Bounded(file)), mode="r:", **NAMES)


class _Bounded:
    """A tar's file, of which no reader is given memory for more than it has, whatever a header claims."""

    def __init__(self, file: Any) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, size: int) -> bytes:
        """So many bytes. Raises ReadError where that is more than a block and than the file has left."""
        left = self._size - self.tell()
        if not 0 <= size <= max(left, tarfile.BLOCKSIZE):
            raise tarfile.ReadError(
                f"a header claims {size} bytes, and the tar has {max(left, 0)} left"
            )
        return self._file.read(size)


def headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Every member, in order. Raises TarError where a header leads back, beside what tarfile raises."""
    while (info := tar.next()) is not None:
        if info.size < 0 or tar.offset <= info.offset:
            raise tarfile.ReadError(f"member {info.name!r} has a negative size")
        yield info


def sample_members(
    infos: Iterable[tarfile.TarInfo],
) -> tuple[list[Member], Mapping[str, int]]:
    """The files of samples, in order, and how many other files are passed over, by what they are.

    A link is the file that it leads to in the same tar. Folders, names without extension, and names
    that begin with `__`, which webdataset keeps for itself, are not counted.
    """
    infos = list(infos)
    files = {i.name: Span(i.offset_data, i.size) for i in infos if i.isfile() and not i.issparse()}
    links = {i.name: link_target(i) for i in infos if i.islnk() or i.issym()}
    found, passed_over = [], Counter[str]()
    for info in infos:
        key, extension = split_name(info.name)
        name = info.name.rpartition("/")[2]
        linked = info.islnk() or info.issym()
        if not (info.isfile() or linked) or not extension or name.startswith("__"):
            continue
        span = _followed(info.name, files, links) if linked else files.get(info.name)
        if name.startswith("."):
            passed_over["whose names begin with a dot"] += 1
        elif info.issparse():
            passed_over["that are stored sparse"] += 1
        elif span is None:
            passed_over["that link to no file of the tar"] += 1
        else:
            found.append(
                Member(key, extension, span if linked else Span(info.offset_data, info.size))
            )
    return found, passed_over


def tells_of(header: bytes, name: str, size: int) -> bool:
    """Whether the block before a member's bytes is a header that has this name and size.

    Names that are longer than its field or not ASCII stand elsewhere, too; of them the size alone counts.
    """
    octal = header[124:136].strip(b"\0 ")
    if not octal.isdigit() or int(octal, 8) != size:
        return False
    wanted = name.encode(errors="surrogateescape").lower()
    found = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and (folder := header[345:500].partition(b"\0")[0]):
        found = folder + b"/" + found
    return found.lower() == wanted or len(wanted) >= 100 or not wanted.isascii()


def link_target(info: tarfile.TarInfo) -> str:
    """The name that a link leads to."""
    if info.islnk():
        return info.linkname
    return posixpath.normpath(posixpath.join(posixpath.dirname(info.name), info.linkname))


def _followed(name: str, files: Mapping[str, Span], links: Mapping[str, str]) -> Span | None:
    seen = set()
    while name in links and name not in seen:
        seen.add(name)
        name = links[name]
    return files.get(name)


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
    return parse_index(path.read_bytes().decode(errors="surrogateescape"), str(path))


def parse_index(text: str, path: str) -> TarIndex:
    """Index from the text of an index file. Raises InputError naming `path`."""
    head, *lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if head.split() != [VERSION, str(len(lines))]:
        raise InputError(
            f"index {path} does not begin with '{VERSION} {len(lines)}': {_MADE_AGAIN}"
        )
    try:
        samples = [parse_line(line) for line in lines]
    except (ValueError, IndexError) as error:
        raise InputError(f"index {path} has a damaged line ({error}): {_MADE_AGAIN}") from error
    keys, members = [key for key, _ in samples], [members for _, members in samples]
    if any(not key.rpartition("/")[2] for key in keys):
        raise InputError(f"index {path} has a file whose name begins with a dot: {_MADE_AGAIN}")
    _refuse_keys(f"index {path}", keys, members)
    return TarIndex(tuple(keys), tuple(members))


def parse_line(line: str) -> tuple[str, dict[str, Span]]:
    """Key of a sample and the spans of its members, from its line of an index file."""
    fields = line.rstrip("\r").split(" ")
    spans = zip(fields[::4], fields[1::4], fields[2::4], strict=True)
    members = {extension: Span(int(offset), int(size)) for extension, offset, size in spans}
    return split_name(fields[3])[0], members


def index_text(index: TarIndex) -> str:
    """Text of the index file. Raises InputError for a key with a space, which it cannot hold."""
    for key, members in zip(index.keys, index.members, strict=True):
        if " " in key or any(" " in extension for extension in members):
            raise InputError(
                f"key {key!r} has a member with a space in its name: an index cannot hold it, "
                "copy the set by `zeroseg shards check --repair`"
            )
    lines = (
        " ".join(f"{e} {span.offset} {span.size} {key}.{e}" for e, span in members.items())
        for key, members in zip(index.keys, index.members, strict=True)
    )
    return "\n".join((f"{VERSION} {len(index)}", *lines)) + "\n"


def _refuse_keys(where: str, keys: Sequence[str], members: Sequence[Mapping[str, Span]]) -> None:
    """Raises InputError naming a key that comes twice, or that an index cannot hold."""
    first: set[str] = set()
    for key, found in zip(keys, members, strict=True):
        if key in first:
            raise InputError(
                f"{where} has the key {key!r} twice, its members apart: put those of a sample side by "
                "side (`tar --sort=name` does), or rename one of two samples"
            )
        first.add(key)
        if reason := next(filter(None, map(unfit, (key, *found))), ""):
            raise InputError(
                f"{where} has the key {key[:80]!r}, of which a name {reason}: rename it, or copy the set "
                "by `zeroseg shards check --repair`, which escapes it"
            )
