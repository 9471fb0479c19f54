"""Local copies of remote shards, so that every reader reads by offset.

A local shard is itself. A remote one (an fsspec URL, or webdataset's `pipe:`) is copied in full into a
folder, once for all processes of a machine; the least recently used copies make room for it. A copy is
compared with its version before it gets its name, and the name is a hash of URL and version: a set that
is built again under the same URL has other copies.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import Timeout
from webdataset.gopen import gopen

from zeroseg.errors import InputError, NoRoom
from zeroseg.store.durable import Lock
from zeroseg.store.local_files import in_room, is_full
from zeroseg.store.storage import Version, fetch
from zeroseg.store.tar_index import index_path

Result = TypeVar("Result")
UNKNOWN = Version()
_ELSEWHERE = "choose another cache.folder"


def is_local(url: str) -> bool:
    """Whether it is a path of this machine; False for a URL (also `file://`) and a `pipe:`."""
    return "://" not in url and not url.startswith("pipe:")


@dataclass(frozen=True, kw_only=True)
class ShardCache:
    """Folder for copies of remote shards, its limit, and how often reading is retried."""

    folder: Path = Path("~/.cache/zeroseg/shards")
    gigabytes: float = 100.0
    """Largest total of the copies, in 1e9 bytes; the newest stays even if it alone is larger."""
    retries: int = 3
    """Tries of a shard that cannot be read, after the first."""
    pause: float = 1.0
    """Seconds before the first retry; each later one waits twice as long."""

    def read(
        self, url: str, action: Callable[[Path], Result], version: Version = UNKNOWN
    ) -> Result:
        """Result of `action` on a local file with the shard's bytes, which stays there meanwhile.

        Raises OSError or InputError when the file cannot be had, or is not of that version; NoRoom when no
        copy can be kept.
        """
        if is_local(url):
            return action(Path(url))
        folder = self.folder.expanduser()
        with in_room(folder, f"free some, or {_ELSEWHERE}"):
            return self._read_remote(url, folder, action, version)

    def _read_remote(
        self, url: str, folder: Path, action: Callable[[Path], Result], version: Version
    ) -> Result:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise NoRoom(f"{folder} cannot be made ({error.strerror}): {_ELSEWHERE}") from error
        if not os.access(folder, os.W_OK):
            raise NoRoom(f"{folder} cannot be written to: {_ELSEWHERE}")
        name = hashlib.sha256("\n".join((url, *map(str, version))).encode()).hexdigest()[:32]
        copy = folder / f"{name}.tar"
        with Lock(copy.with_suffix(".lock")):
            if not copy.is_file() or version.bytes not in (None, copy.stat().st_size):
                _fetch(url, copy, version)
                self._make_room(copy)
            copy.touch()  # the time of last use
            return action(copy)

    def _make_room(self, fresh: Path) -> None:
        copies = sorted(fresh.parent.glob("*.tar"), key=lambda p: p.stat().st_mtime)
        excess = sum(p.stat().st_size for p in copies) - self.gigabytes * 1e9
        for old in copies:
            if excess > 0 and old != fresh:
                with suppress(Timeout), Lock(old.with_suffix(".lock"), timeout=0.0):
                    excess -= old.stat().st_size
                    old.unlink()
                    index_path(old).unlink(missing_ok=True)

    def retry(self, action: Callable[[], Result]) -> Result:
        """Result of `action`, tried again after an OSError or InputError; the last one is raised, and
        NoRoom at once."""
        for attempt in range(self.retries):
            try:
                return action()
            except NoRoom:
                raise
            except (OSError, InputError):
                time.sleep(self.pause * 2**attempt)
        return action()


def _fetch(url: str, copy: Path, version: Version) -> None:
    """Copy a remote shard, and its index where there is one; `copy` exists only if all went well."""
    fresh = copy.with_suffix(".new")
    try:
        if url.startswith("pipe:"):
            with gopen(url, "rb") as stream, fresh.open("wb") as file:
                shutil.copyfileobj(stream, file, 1 << 20)
        else:
            fetch(url, fresh)
            _fetch_index(url, index_path(copy))
    except NoRoom:
        fresh.unlink(missing_ok=True)  # others have need of the room
        raise
    except OSError as error:
        if is_full(error):
            fresh.unlink(missing_ok=True)
        raise
    _check(url, fresh, version)
    fresh.rename(copy)  # last: the copy is there once its name is


def _check(url: str, copy: Path, version: Version) -> None:
    """Raises InputError, and removes the copy, when it is not of that version."""
    found, wanted = f"{copy.stat().st_size} bytes", f"{version.bytes} bytes"
    if version.bytes in (None, copy.stat().st_size):
        if not version.sha256:
            return
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == version.sha256:
            return
        found, wanted = f"SHA-256 {digest[:12]}...", f"{version.sha256[:12]}..."
    copy.unlink()
    source = "its manifest" if version.sha256 else "its storage"
    raise InputError(
        f"what came of shard {url} has {found}, {source} says {wanted}: start again if the set was "
        "built again meanwhile, else see what `zeroseg shards check` says of it"
    )


def _fetch_index(url: str, index: Path) -> None:
    try:
        fetch(f"{url.removesuffix('.tar')}.idx", index)
    except NoRoom:
        raise
    except InputError:  # it has none: the copy is scanned when it is opened
        index.unlink(missing_ok=True)
