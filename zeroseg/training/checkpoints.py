"""Checkpoints on disk: whole or not there, verified when read, and no more of them than wanted.

`step-00000100/` holds safetensors files, `state.json`, and the checksums of both in SHA256SUMS (as
`sha256sum -c` reads them). It is written under another name, synced and renamed; `latest` is a link to
the newest. Whatever a kill or a full disk leaves behind is not a checkpoint; one that is damaged later is
set aside as `damaged-step-00000100/`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from zeroseg.errors import InputError

SUMS, STATE, WRITING = "SHA256SUMS", "state.json", "writing"


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
        """Folders of the checkpoints, oldest first."""
        return sorted(self.folder.glob("step-*"))

    def newest(self, say: Callable[[str], object]) -> Path | None:
        """The newest one that is whole. None if there is none at all.

        Sets newer ones aside, says so, and points `latest` to it. Raises InputError when all are
        damaged, and leaves them: starting again must be asked for.
        """
        damaged: list[tuple[Path, str]] = []
        for path in reversed(self.paths()):
            if (problem := damage(path)) is None:
                for each, why in damaged:
                    aside = _set_aside(each)
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
            shutil.rmtree(final, ignore_errors=True)
            fresh.rename(final)
            _sync(self.folder)
            self._point_to(final)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            kept = [path.name for path in self.paths()]
            raise InputError(
                f"checkpoint {final} cannot be written ({error.strerror}): make room or choose another "
                f"--output, then run again; whole are {', '.join(kept) or 'none'}"
            ) from error
        for path in self.paths()[: -self.keep_last]:
            if not self.keep_every or step_of(path) % self.keep_every:
                shutil.rmtree(path)

    def _point_to(self, final: Path) -> None:
        link = self.folder / "latest"
        fresh = link.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(final.name)
        if link.is_dir() and not link.is_symlink():  # a copy of the run that followed the link
            shutil.rmtree(link)
        os.replace(fresh, link)


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"damaged-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return path.rename(aside)


def checkpoint_name(step: int) -> str:
    """Folder name of the checkpoint after so many steps."""
    return f"step-{step:08d}"


def step_of(path: Path) -> int:
    """Steps made before a checkpoint."""
    return int(path.name.removeprefix("step-"))


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint; none when every byte is as it was written."""
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        if STATE not in sums:
            return f"{SUMS} does not name {STATE}"
        for name, digest in sums.items():
            with (path / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return f"{name} differs from its checksum"
    except (OSError, ValueError) as error:
        return str(error)
    return None


def state_of(path: Path) -> dict[str, Any]:
    """Its plain values."""
    return json.loads((path / STATE).read_text(encoding="utf-8"))


def read(path: Path) -> Content:
    """Read a checkpoint that is whole; tensors are on the CPU."""
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
    _sync(folder)


def _write(path: Path, data: bytes) -> str:
    """Write and sync; the file's line of SHA256SUMS."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
