"""Local files for shards wherever they are, so that every reader reads by offset.

A local shard is itself. A remote one (an fsspec URL, or webdataset's `pipe:`) is copied whole into
a folder, once for all processes of a machine, and the longest unused copies make room for it.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from fsspec.core import url_to_fs
from webdataset.gopen import gopen

from zeroseg.data.tar_index import index_path
from zeroseg.errors import InputError

Result = TypeVar("Result")


def is_local(url: str) -> bool:
    """Whether a path of this machine, and no URL or command."""
    return "://" not in url and not url.startswith("pipe:")


@dataclass(frozen=True, kw_only=True)
class ShardCache:
    """Where copies of remote shards are kept, and how hard reading tries."""

    folder: Path = Path("~/.cache/zeroseg/shards")
    gigabytes: float = 100.0
    """Most that the copies may take."""
    retries: int = 3
    """Further tries of a shard that cannot be read."""
    pause: float = 1.0
    """Seconds before the first further try; each later one waits twice as long."""

    def local(self, url: str) -> Path:
        """A local file with the shard's bytes. Raises OSError when it cannot be had."""
        if is_local(url):
            return Path(url)
        folder = self.folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.tar"
        with FileLock(copy.with_suffix(".lock")):
            if not copy.is_file():
                _fetch(url, copy)
                self._make_room(copy)
            copy.touch()  # the time of last use
        return copy

    def _make_room(self, fresh: Path) -> None:
        copies = sorted(fresh.parent.glob("*.tar"), key=lambda p: p.stat().st_mtime)
        excess = sum(p.stat().st_size for p in copies) - self.gigabytes * 1e9
        for old in copies:
            if excess > 0 and old != fresh:
                excess -= old.stat().st_size
                old.unlink()
                index_path(old).unlink(missing_ok=True)

    def persistently(self, action: Callable[[], Result]) -> Result:
        """Do what may fail for a while; the last failure is raised."""
        for attempt in range(self.retries):
            try:
                return action()
            except (OSError, InputError):
                time.sleep(self.pause * 2**attempt)
        return action()


def _fetch(url: str, copy: Path) -> None:
    """Copy a remote shard, and its index where there is one: whole, or not at all."""
    with _opened(url) as remote:
        _write(remote, copy)
    if not url.startswith("pipe:") and url.endswith(".tar"):
        try:
            with _opened(url.removesuffix(".tar") + ".idx") as remote:
                _write(remote, index_path(copy))
        except OSError:  # it has none: the copy is scanned when it is opened
            pass


def _opened(url: str) -> Any:  # each storage has a file class of its own
    if url.startswith("pipe:"):
        return gopen(url, "rb")
    try:
        storage, path = url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{url} needs a package that is not installed: {error}") from error
    return storage.open(path, "rb")


def _write(remote: Any, path: Path) -> None:
    fresh = path.with_suffix(path.suffix + ".new")
    with fresh.open("wb") as file:
        shutil.copyfileobj(remote, file, 1 << 20)
    fresh.rename(path)
