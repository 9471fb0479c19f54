"""Checkpoints on disk: whole or not there, verified when read, and no more of them than wanted.

`step-00000100/` holds safetensors files, `state.json`, and the checksums of both in SHA256SUMS (as
`sha256sum -c` reads them). It is written under another name, synced and renamed; `latest` is a link to
the newest, or a text file that names it where there are no links. Whatever a kill or a full disk leaves
behind is not a checkpoint; one that is damaged later is set aside as `damaged-step-00000100/`. Files and
folders of other names are somebody else's.
"""

import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from zeroseg.errors import InputError
from zeroseg.store.durable import point, pointed, sync, sync_folder

SUMS, STATE, WRITING, LATEST = "SHA256SUMS", "state.json", "writing", "latest"
_NAME = re.compile(r"step-(\d{8}|[1-9]\d{8,})", re.ASCII)


@dataclass(frozen=True)
class Content:
    """What a checkpoint holds: tensors by file and name, and plain values."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run. Only the main process writes."""

    def __init__(self, folder: Path, *, keep_last: int, keep_every: int = 0) -> None:
        """Keeps the newest `keep_last`, and those of every multiple of `keep_every` steps for good."""
        self.folder, self.keep_last, self.keep_every = folder, keep_last, keep_every
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def paths(self) -> list[Path]:
        """Folders with a checkpoint's name, oldest first."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((p for p in found if _NAME.fullmatch(p.name) and p.is_dir()), key=step_of)

    def newest(self, say: Callable[[str], object]) -> Path | None:
        """The newest one that is whole. None if there is none at all.

        Sets newer ones aside, says so, and points `latest` to it. Raises InputError when all are
        damaged, and leaves them: starting again must be asked for.
        """
        damaged: list[tuple[Path, str]] = []
        for path in reversed(self.paths()):
            if (problem := damage(path)) is None:
                for each, why in damaged:
                    aside = _set_aside(each, "damaged")
                    say(f"checkpoint {each} is damaged ({why}): set aside as {aside.name}")
                self._point_to(path)
                return path
            damaged.append((path, problem))
        if damaged:
            raise InputError(
                f"every checkpoint of {self.folder} is damaged: restore one, or remove the folder to "
                "train from the beginning"
            )
        return None

    def begin(self, step: int, content: Content) -> None:
        """Write in the background; the content must not change any more.

        Raises InputError if the one before could not be written.
        """
        self.finish()
        self._writing = self._writer.submit(self.write, step, content)

    def finish(self) -> None:
        """Wait for what is being written. Raises InputError if that fails."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def write(self, step: int, content: Content) -> None:
        """Write a checkpoint, then remove those that are no longer wanted.

        Raises InputError when it cannot be written; those before are as they were.
        """
        fresh, final = self.folder / WRITING, self.folder / checkpoint_name(step)
        try:
            _fill(fresh, content)
            if os.path.lexists(final) and not _is_of_run(final):
                _set_aside(final, "foreign")
            _remove(final)
            fresh.rename(final)
            sync_folder(self.folder)
            self._point_to(final)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            kept = [path.name for path in self.paths()]
            raise InputError(
                f"checkpoint {final} cannot be written ({error.strerror}): make room or choose another "
                f"--output, then run again; whole are {', '.join(kept) or 'none'}"
            ) from error
        written = [path for path in self.paths() if _is_of_run(path)]
        for path in written[: -self.keep_last]:
            if not self.keep_every or step_of(path) % self.keep_every:
                _remove(path)

    def _point_to(self, final: Path) -> None:
        link = self.folder / LATEST
        if link.is_dir() and not link.is_symlink() and _same(link, final):
            shutil.rmtree(link)  # a copy of the run that followed the link
        point(link, final.name)


def _set_aside(path: Path, why: str) -> Path:
    """Give it a name that no other has."""
    aside = path.with_name(f"{why}-{path.name}")
    for number in itertools.count(2):
        if not os.path.lexists(aside):
            return path.rename(aside)
        aside = path.with_name(f"{why}-{path.name}-{number}")
    raise AssertionError


def _remove(path: Path) -> None:
    """A checkpoint's folder, or a link to it alone."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _is_of_run(path: Path) -> bool:
    """Whether it was written under this name, whole now or not; no empty folder, file or copy."""
    try:
        return int(state_of(path)["step"]) == step_of(path)
    except (OSError, ValueError, KeyError, TypeError):
        return path.is_dir() and (path / SUMS).is_file() and not (path / STATE).is_file()


def _same(one: Path, other: Path) -> bool:
    """Whether two folders are whole copies of one checkpoint."""
    try:
        equal = (one / SUMS).read_bytes() == (other / SUMS).read_bytes()
    except OSError:
        return False
    return equal and damage(one) is None


def checkpoint_name(step: int) -> str:
    """Folder name of the checkpoint after so many steps."""
    return f"step-{step:08d}"


def step_of(path: Path) -> int:
    """Steps made before a checkpoint."""
    return int(path.name.removeprefix("step-"))


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint; none when every byte is as it was written, under this name."""
    path = pointed(path)
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        if STATE not in sums:
            return f"{SUMS} does not name {STATE}"
        for name, digest in sums.items():
            with (path / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return f"{name} differs from its checksum"
        step = state_of(path)["step"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return str(error)
    if _NAME.fullmatch(path.name) and step != step_of(path):
        return f"it is a copy of {checkpoint_name(int(step))}"
    return None


def state_of(path: Path) -> dict[str, Any]:
    """Its plain values."""
    return json.loads((pointed(path) / STATE).read_text(encoding="utf-8"))


def read(path: Path) -> Content:
    """Read a checkpoint that is whole, or that `latest` names; tensors are on the CPU."""
    path = pointed(path)
    files = {p.stem: safetensors.torch.load_file(p) for p in sorted(path.glob("*.safetensors"))}
    return Content(files, state_of(path))


def _fill(folder: Path, content: Content) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sums = ""
    for name, tensors in content.tensors.items():
        sums += _write(folder / f"{name}.safetensors", safetensors.torch.save(dict(tensors)))
    sums += _write(folder / STATE, json.dumps(dict(content.state), indent=2).encode())
    _write(folder / SUMS, sums.encode())
    sync_folder(folder)


def _write(path: Path, data: bytes) -> str:
    """Write and sync; the file's line of SHA256SUMS."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        sync(file.fileno())
    return f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"
