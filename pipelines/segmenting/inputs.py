"""Pictures to segment: files, folders, patterns, shards and URLs, each with a name of its own."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from shards.folder import SUFFIXES, counted, without_twins
from zeroseg.data.samples import image_bytes
from zeroseg.errors import InputError
from zeroseg.store.keys import cut
from zeroseg.store.local_files import is_hidden
from zeroseg.store.reader import ShardReader, UnreadableShard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.storage import join, listing, local_path, read_bytes

OWN = ("segmenting", "exports")
"""Names in the output folder that are no picture's."""


class Source(NamedTuple):
    """A picture that is still to be read."""

    name: str
    """Its path below the input that it is of, with its suffix; of a sample its key."""
    where: str
    """Its whole path or URL; of a sample its shard and key."""
    read: Callable[[], bytes]
    """Its file. May raise anything."""
    stem: str = ""
    """The path of its answer below the output, without suffix."""
    path: Path | None = None
    """Of a local file."""
    digest: str = ""
    """Of the shard that it is in, where that is known."""

    def version(self) -> str:
        """Another one for other content, as far as that can be told without reading it; else empty."""
        if self.path is None:
            return self.digest
        found = self.path.stat()
        return f"{found.st_size} bytes, {found.st_mtime_ns}"


def sources(inputs: Sequence[str], output: Path) -> list[Source]:
    """Every picture of the inputs, in their order, each once; what lies in the output folder is none.

    Raises InputError where an input is missing or holds no picture, and where two pictures would have
    one name.
    """
    if not inputs:
        raise InputError("no input: name a picture, a folder, a pattern, shards or a URL")
    found: dict[str, Source] = {}
    for given in inputs:
        for source in _found(given, output):
            found.setdefault(source.where, source)
    return _told_apart(list(found.values()), output)


def _found(given: str, output: Path) -> Iterator[Source]:
    local = local_path(given)
    if _names_shards(given, local):
        yield from _samples(given)
    elif urlsplit(given).scheme in ("http", "https"):
        yield _of_url(given, PurePosixPath(unquote(urlsplit(given).path)).name)
    elif local is None and PurePosixPath(given).suffix.lower() in SUFFIXES:
        yield _of_url(given, PurePosixPath(given).name)
    elif local is None or local.is_dir():
        yield from _below(given, local, output)
    elif local.is_file():
        yield _of_file(local, local.name)
    elif glob.has_magic(str(local)):
        yield from _matching(local, output)
    else:
        raise InputError(f"photo {given} does not exist: name a picture, a folder or a pattern")


def _names_shards(given: str, local: Path | None) -> bool:
    named = given.startswith("pipe:") or "::" in given or given.endswith(".tar")
    return named and not (local is not None and local.is_dir())


def _below(folder: str, local: Path | None, output: Path) -> Iterator[Source]:
    """The pictures below a folder, or the samples of the shards in it."""
    files, passed_over = listing(folder, SUFFIXES)
    if not files and passed_over.get(".tar"):
        yield from _samples(folder)
        return
    if local is not None and os.path.abspath(local) == os.path.abspath(output):
        raise InputError(f"{folder} is the output folder, too: choose another --output")
    if not files:
        held = f", only {counted(passed_over)}" if passed_over else ""
        raise InputError(f"{folder} holds no picture{held}: check the folder")
    for name, _ in without_twins(files):
        if local is None:
            yield _of_url(join(folder, name), name)
        elif not _is_below(local / name, output):
            yield _of_file(local / name, name)


def _matching(pattern: Path, output: Path) -> Iterator[Source]:
    """The pictures that a pattern names, by their paths below the part of it that has no star."""
    root = Path(*takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    found = [
        path
        for path in map(Path, sorted(glob.glob(str(pattern), recursive=True)))
        if path.suffix.lower() in SUFFIXES and path.is_file() and not _is_below(path, output)
        if not any(map(is_hidden, path.relative_to(root).parts))
    ]
    if not found:
        raise InputError(f"no picture matches {str(pattern)!r}: check the pattern")
    for path in found:
        yield _of_file(path, path.relative_to(root).as_posix())


def _samples(spec: str) -> Iterator[Source]:
    cache = ShardCache()
    shards = open_set(spec, cache)
    reader = ShardReader(shards, cache)
    for shard, (url, count) in enumerate(zip(shards.urls, shards.counts, strict=True)):
        for number in range(count):
            try:
                key = reader.key(shard, number)
            except UnreadableShard as error:
                raise InputError(
                    f"shard {url} cannot be read ({error}): mend or copy it"
                ) from error
            read, digest = partial(_sample, reader, shard, number), shards.versions[shard].sha256
            yield Source(key, f"{url}: {key}", read, digest=digest)


def _sample(reader: ShardReader, shard: int, number: int) -> bytes:
    return image_bytes(reader.read(shard, number))


def _of_file(path: Path, name: str) -> Source:
    whole = os.path.abspath(path)
    return Source(name, whole, partial(read_bytes, whole), path=Path(whole))


def _of_url(url: str, name: str) -> Source:
    if not name:
        raise InputError(f"{url} names no picture: give a URL that ends in a picture's name")
    return Source(name, url, partial(read_bytes, url))


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _told_apart(found: list[Source], output: Path) -> list[Source]:
    """The same with stems: names without suffix where that is one picture's alone, else with it."""
    paths = [_safe(source.name) for source in found]
    stems = [str(path.with_suffix("")) for path in paths]
    often, owners, named = Counter(stems), dict[str, Source](), []
    for source, path, stem in zip(found, paths, stems, strict=True):
        own = path.parts[0] in OWN or PurePosixPath(stem).parts[0] in OWN
        stem = str(path) if own or often[stem] > 1 else stem
        if (other := owners.setdefault(stem, source)) is not source:
            raise InputError(
                f"{other.where} and {source.where} would both be {stem!r} in {output}: name the folder "
                "that they are below, or segment them into two"
            )
        named.append(source._replace(stem=stem))
    return named


def _safe(name: str) -> PurePosixPath:
    """A name that leads nowhere but below the output, in parts that a file system takes."""
    parts = [
        part for part in PurePosixPath(name.replace("\0", "")).parts if part not in ("/", "..")
    ]
    return PurePosixPath(*(cut(part, 220) for part in parts or ["picture"]))
