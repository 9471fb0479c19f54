"""Files that last, and locks, also where a file system lacks what Linux's own have.

Network, FUSE and memory-card file systems may know no links, no syncing of folders, no `flock`, or no
renaming over a file. Each of these has a second way here; a full disk or a failing one is an error as ever.
"""

import os
import sys
import warnings
from contextlib import suppress
from errno import EACCES, EBADF, EEXIST, EINVAL, EISDIR, ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM
from functools import partial
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock
from tqdm import tqdm

_UNKNOWN = {EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP}
"""What a file system answers that does not know a call."""
_NO_FOLDERS = _UNKNOWN | {EACCES, EBADF, EISDIR, EPERM}
_SAID: set[Path] = set()
"""Folders without locks that were named."""
_NO_REPLACING = _UNKNOWN | {EACCES, EEXIST, EPERM}


def sync(descriptor: int) -> None:
    """Wait until an open file is on the disk, where the file system can tell."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise


def sync_folder(folder: Path) -> None:
    """The same for the names in a folder."""
    handle = -1
    try:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
    except FileNotFoundError:
        return  # another process was done with it, and has removed it
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise
    finally:
        if handle >= 0:
            os.close(handle)


def replace(fresh: Path, final: Path) -> None:
    """Give a file the name of another, which it replaces: in one step where that can be had."""
    try:
        os.replace(fresh, final)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not os.path.lexists(final):
            raise
        before = final.with_name(f"{final.name}.before")
        os.rename(final, before)
        try:
            os.rename(fresh, final)
        except OSError:
            os.rename(before, final)
            raise
        before.unlink()


def point(link: Path, name: str) -> None:
    """Make `link` a symbolic link to a neighbour, or a text file that names it where links are unknown.

    Where neither can be written it is left out. A folder of that name is left alone.
    """
    if link.is_dir() and not link.is_symlink():
        return
    fresh = link.with_name(f"{link.name}.new")
    for write in (fresh.symlink_to, partial(fresh.write_text, encoding="utf-8")):
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
            write(name)
            replace(fresh, link)
            return
    with suppress(OSError):  # rather none than one that names another
        fresh.unlink(missing_ok=True)
        link.unlink(missing_ok=True)


def pointed(link: Path) -> Path:
    """What `point` made `link` name; any other path as it is."""
    if not link.is_file():
        return link
    with link.open(encoding="utf-8", errors="replace") as file:
        name = file.read(256).strip()
    named = link.parent / name
    return named if named.name == name and named.is_dir() else link


class Lock:
    """A lock on a file between processes: by `flock`, else by a file that is there while it is held.

    The second way is said: it holds only where the file system shows a new file to all machines at once,
    and when a machine dies that file may have to be removed by hand.
    """

    def __init__(self, file: Path, timeout: float = -1.0) -> None:
        """`timeout` in seconds is how long `with` waits; below 0 without end."""
        self._file, self._timeout = file, timeout
        self._lock: BaseFileLock = FileLock(file)

    def acquire(self, timeout: float = -1.0) -> None:
        """Wait so many seconds, or without end. Raises filelock's Timeout, and OSError where no file can be
        written."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*SoftFileLock")
            try:
                self._lock.acquire(timeout=timeout)
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno not in _UNKNOWN | {ENOLCK}:
                    raise  # Timeout is one, too
                self._lock = SoftFileLock(self._file.with_name(f"{self._file.name}-held"))
                self._say()
                self._lock.acquire(timeout=timeout)
            else:
                if isinstance(self._lock, SoftFileLock):  # what filelock falls back to itself
                    self._say()

    def _say(self) -> None:
        folder = self._file.parent
        if folder not in _SAID:
            tqdm.write(
                f"{folder} is on a file system without locks, where {self._lock.lock_file} stands for "
                "one: start no two programs at once there, and remove it if a machine died",
                file=sys.stderr,
            )
        _SAID.add(folder)

    def release(self) -> None:
        """Let others have it; nothing if it is not held."""
        self._lock.release()

    def __enter__(self) -> "Lock":
        self.acquire(self._timeout)
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
