"""Files of this machine: listed whatever lies between them, written all or not at all, and full disks."""

import errno
import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from zeroseg.errors import NoRoom
from zeroseg.store.durable import replace, sync, sync_folder

_HIDDEN = frozenset({"@eaDir", "#recycle", "#snapshot", "__MACOSX", "$RECYCLE.BIN"}) | {
    "System Volume Information",
    "lost+found",
}
"""Folders of thumbnails, of deleted files and of the system's own, as its programs call them."""
_HIDDEN_FOLDERS, _CIRCLES, _DEVICES = NO_FILES = (
    "hidden folders",
    "links to a folder that they lie in",
    "pipes or devices",
)
"""What a walk counts beside files."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's own: a program's, or deleted."""
    return name.startswith(".") or name in _HIDDEN


def walk(
    root: Path, recursive: bool, passed_over: Counter[str] | None
) -> Iterator[tuple[str, int | None]]:
    """Files below a folder as (path below it with slashes, bytes); None is the size of a link to nothing.

    Links are followed, but for those to a folder that they lie in. What is hidden is counted in
    `passed_over` instead, where that is given. Raises OSError for a folder that cannot be listed.
    """
    passed_over = Counter() if (all_of_it := passed_over is None) else passed_over

    def stop(error: OSError) -> None:
        raise error  # os.walk would leave the folder out in silence

    above = {str(root): frozenset({_identity(root)})}
    for folder, deeper, names in os.walk(root, onerror=stop, followlinks=True):
        below, those_above = Path(folder).relative_to(root), above.pop(folder)
        for name in names:
            if not all_of_it and is_hidden(name):
                passed_over["hidden files"] += 1
                continue
            known, size = _is_file(os.path.join(folder, name))
            if known:
                yield (below / name).as_posix(), size
            else:
                passed_over[_DEVICES] += 1
        kept = []
        for name in deeper if recursive else ():
            path = os.path.join(folder, name)
            if not all_of_it and is_hidden(name):
                passed_over[_HIDDEN_FOLDERS] += 1
            elif os.path.islink(path) and _identity(path) in those_above:
                passed_over[_CIRCLES] += 1
            else:
                above[path] = those_above | {_identity(path)}
                kept.append(name)
        deeper[:] = kept


def _identity(path: str | Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _is_file(path: str) -> tuple[bool, int | None]:
    """Whether it is a file, or a link to nothing, and its size."""
    try:
        found = os.stat(path)
    except OSError:
        if os.path.islink(path):
            return True, None
        raise
    return stat.S_ISREG(found.st_mode), found.st_size


def why_unreadable(path: Path) -> str:
    """Why this one file cannot be read, where that is no failure of its disk; else empty."""
    if path.is_symlink() and not os.path.exists(path):
        return "a link to nothing"
    return "you may not read it" if path.exists() and not os.access(path, os.R_OK) else ""


def write(path: Path, data: bytes | Path) -> None:
    """Write bytes or a copy of a file; its folder is made. All is on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")  # the same one each time: a crash leaves but one
    try:
        with fresh.open("wb") as file:
            with data.open("rb") if isinstance(data, Path) else BytesIO(data) as source:
                shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            sync(file.fileno())
        replace(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)  # the new name itself lasts only once its folder is on the disk


def move(file: Path, path: Path) -> None:
    """Give a file another name, on one file system without a copy; as `write` else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.stat().st_dev != path.parent.stat().st_dev:
        write(path, file)
        file.unlink()
        return
    with file.open("rb+") as written:
        sync(written.fileno())
    replace(file, path)
    sync_folder(path.parent)


def is_full(error: BaseException) -> bool:
    """Whether it says that a disk, or the share of it that one may fill, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def in_room(folder: str | Path, remedy: str) -> Iterator[None]:
    """Raises NoRoom naming the folder when its disk is full."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise NoRoom(f"no room is left in {folder} ({error.strerror}): {remedy}") from error


@contextmanager
def temporary_folder(beside: Path | None = None) -> Iterator[Path]:
    """Folder for a while: in `beside`, else where TMPDIR says. Raises NoRoom when its disk is full."""
    try:
        place = Path(tempfile.gettempdir()) if beside is None else beside
    except FileNotFoundError as error:
        raise NoRoom(f"{error.strerror}: set TMPDIR to a folder that has room") from error
    remedy = "free some, or choose another place" if beside else "set TMPDIR to a folder with more"
    with in_room(place, remedy):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
