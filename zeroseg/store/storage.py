"""Files and folders, local or behind a URL of a protocol that fsspec knows (`s3://`, `hf://`, ...).

A name without `://` is a local path, and so is `file://` followed by a path as it is, not quoted.
Every function raises InputError naming the path or URL, whatever goes wrong: bytes that cannot be
fetched stop a build, since leaving them out would make a set depend on the network.
"""

import glob
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from zeroseg.errors import InputError, NoRoom
from zeroseg.store import local_files
from zeroseg.store.local_files import in_room, is_full, is_hidden, walk

_TAGS = ("ETag", "etag", "Last-Modified", "LastModified", "mtime", "created")
"""Fields of fsspec's storages that change with a file's content, the surest first."""


def join(root: str, name: str) -> str:
    """Path or URL of `name`, which may have slashes, below a root."""
    return f"{root}{name}" if root.endswith("/") else f"{root}/{name}"


class Listing(NamedTuple):
    """What is below a folder."""

    files: list[tuple[str, int | None]]
    """(path below it with slashes, size in bytes), in order of path."""
    passed_over: Mapping[str, int]
    """What is not among them, counted: files by their suffix, and what is hidden."""


def list_files(
    root: str, suffixes: Collection[str] = (), *, recursive: bool = True
) -> list[tuple[str, int | None]]:
    """The files of a `listing`."""
    return listing(root, suffixes, recursive=recursive).files


def listing(root: str, suffixes: Collection[str] = (), *, recursive: bool = True) -> Listing:
    """Files below a folder.

    `suffixes` are in lower case with their dot and match either case, and what is hidden, or of a
    program's own, as `.thumbnails` and `@eaDir`, is passed over; empty: every file. Local links are
    followed. A size is None where a web server does not tell it, and of a link to nothing. A missing
    local folder is an error; in an object store, where folders are but parts of names, a missing one
    is empty.
    """
    passed_over = Counter[str]()
    with _naming(root, "listed"):
        local = local_path(root)
        if local is not None:
            found = walk(local, recursive, passed_over if suffixes else None)
        else:
            found = _remote_files(root, recursive)
        files = []
        for name, size in found:
            if not suffixes or (_suffix(name) in suffixes and not _any_hidden(name)):
                files.append((name, size))
            else:
                hidden = _any_hidden(name)
                passed_over["hidden files" if hidden else _suffix(name) or "without suffix"] += 1
    return Listing(sorted(files), passed_over)


def exists(url: str) -> bool:
    """Whether there is a file or folder of that name."""
    return _info(url) is not None


def is_file(url: str) -> bool:
    """Whether there is a file of that name; False for a folder."""
    info = _info(url)
    return info is not None and info["type"] == "file"


def local_path(url: str) -> Path | None:
    """The path of a local file or folder; None for a URL of another protocol."""
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)


class Version(NamedTuple):
    """What is known of a file's content without reading it: other content has another version."""

    bytes: int | None = None
    """None if unknown."""
    sha256: str = ""
    """Of all bytes, in hexadecimal; empty if unknown."""
    tag: str = ""
    """The storage's own: an ETag, or the time of the last change; empty if unknown."""


def version(url: str) -> Version:
    """Size and tag of a file, as its storage tells them."""
    info = _info(url)
    if info is None:
        raise _refusal(url, "read", FileNotFoundError("no such file"))
    tag = next((str(info[name]) for name in _TAGS if name in info), "")
    return Version(bytes=info["size"], tag=tag)


def read_bytes(url: str) -> bytes:
    """All bytes of a file."""
    with _naming(url, "read"):
        storage, path = _storage(url)
        return storage.cat_file(path)


def fetch(url: str, path: Path) -> None:
    """Copy a file to a local path, in pieces; after an error the path may hold a part of it."""
    with _naming(url, "read"), in_room(path.parent, "free some, or choose another place"):
        storage, remote = _storage(url)
        storage.get_file(remote, str(path))


@contextmanager
def open_file(url: str) -> Iterator[BinaryIO]:
    """File to read in pieces, with `seek`; reading it, too, raises InputError alone."""
    with _naming(url, "read"):
        storage, path = _storage(url)
        file = storage.open(path, "rb")
    with file, BufferedReader(_StorageFile(url, file)) as readable:
        yield readable


def write_atomically(url: str, data: bytes | Path) -> None:
    """Write bytes, or a copy of a local file: the name shows all of it or what it showed before.

    Locally, missing folders are made, and the file is on the disk when this returns. An object store
    shows an object once its upload is complete; other storages (`sftp://`) promise no such thing. A
    name must have one writer at a time.
    """
    with _naming(url, "written"):
        local = local_path(url)
        if local is not None:
            local_files.write(local, data)
            return
        storage, path = _storage(url)
        if isinstance(data, Path):
            storage.put_file(str(data), path)
        else:
            storage.pipe_file(path, data)


def remove(url: str) -> None:
    """Delete a folder with all below it, or a file; a missing one is no error."""
    with _naming(url, "removed"):
        local = local_path(url)
        if local is not None and local.is_dir():
            shutil.rmtree(local, ignore_errors=True)
        elif local is not None:
            local.unlink(missing_ok=True)
        elif exists(url):
            storage, path = _storage(url)
            storage.rm(glob.escape(path), recursive=True)  # which takes it for a pattern


def move(path: Path, url: str) -> None:
    """Put a local file in place as `write_atomically` does, and delete it where it was."""
    with _naming(url, "written"):
        local = local_path(url)
        if local is not None:
            local_files.move(path, local)
            return
    write_atomically(url, path)
    path.unlink()


def _any_hidden(name: str) -> bool:
    return any(map(is_hidden, name.split("/")))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _storage(url: str) -> tuple[Any, str]:
    """An fsspec file system and the path in it."""
    local = local_path(url)
    if local is not None:
        return LocalFileSystem(), str(local.absolute())
    return url_to_fs(url)


def _info(url: str) -> dict[str, Any] | None:
    """What a storage tells of a file or folder; None when there is no such thing."""
    with _naming(url, "looked up"):
        storage, path = _storage(url)
        storage.invalidate_cache()  # another process may have written since the folder was listed
        try:
            return storage.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _remote_files(root: str, recursive: bool) -> Iterator[tuple[str, int | None]]:
    storage, path = _storage(root)
    storage.invalidate_cache()
    found = storage.find(path, maxdepth=None if recursive else 1, detail=True)
    top = path.rstrip("/") + "/"
    for name, info in found.items():
        if name.startswith(top) and info.get("type", "file") == "file":
            yield name.removeprefix(top), info.get("size")


class _StorageFile(RawIOBase):
    """Open file of a storage that raises InputError when it cannot be read, so that a decoder's own
    errors, which tell of damaged bytes, are another thing than bytes that did not come."""

    def __init__(self, url: str, file: Any) -> None:
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        with _naming(self._url, "read"):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _naming(url: str, done: str) -> Iterator[None]:
    """Raises InputError in place of what a storage's library raises, of whatever class."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise _refusal(url, done, error) from error


def _refusal(url: str, done: str, error: Exception) -> InputError:
    if isinstance(error, ImportError):
        return InputError(
            f"{url} needs a package that is not installed ({error}): pip install 'zeroseg[remote]'"
        )
    if is_full(error):
        return NoRoom(f"{url} cannot be {done} ({error}): its disk is full, free some of it")
    return InputError(
        f"{url} cannot be {done} ({type(error).__name__}: {error}): check the name, that you may "
        "do so, and the network if it is remote"
    )
