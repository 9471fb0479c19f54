"""A run on disk: its config, its metrics, its checkpoints; and whether a run goes on there."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import Timeout
from tqdm import tqdm

from pipelines.run.decontamination import record
from pipelines.run.paths import moved_along
from zeroseg.config import RUN_CONFIG, RunConfig
from zeroseg.data.plan import Position
from zeroseg.errors import InputError
from zeroseg.records import differences, flat, from_json, to_json
from zeroseg.store.durable import Lock
from zeroseg.store.selection import read_selection
from zeroseg.store.storage import write_atomically
from zeroseg.training.checkpoints import Checkpoints, Content, state_of

TRACKERS = "trackers.json"
"""The names by which trackers know the run."""
PATIENCE = 60.0
"""Seconds to wait for another run in the same folder to end."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; only the main process writes to it."""

    config: RunConfig
    checkpoints: Checkpoints
    lock: Lock
    """Held while a run is at work here."""

    @staticmethod
    def of(config: RunConfig) -> "RunFolder":
        """Where a config says."""
        kept = {"keep_last": config.keep_last, "keep_every": config.keep_every}
        checkpoints = Checkpoints(config.output / "checkpoints", **kept)
        return RunFolder(config, checkpoints, Lock(config.output / ".lock"))

    @property
    def path(self) -> Path:
        """The folder."""
        return self.config.output

    def begin(self, allowed: Sequence[str] = ()) -> Path | None:
        """Make it ready, and return the checkpoint to go on from.

        Fields of the config that are named in `allowed` may differ from the checkpoint's. Raises
        InputError when others do, when its place is in another order or selection of the data, when no checkpoint is whole, or when another run's model is there.
        """
        wanted = to_json(self.config)
        fields = flat(wanted)
        if unknown := [name for name in allowed if not any(_is_of(f, name) for f in fields)]:
            raise InputError(f"--allow-change {', '.join(unknown)}: no field of the config")
        self._claim()
        self._look_back()
        newest = self.checkpoints.newest(_say)
        if newest is None and (self.path / "model").is_dir():
            raise InputError(
                f"{self.path} holds a trained model without checkpoints to go on from: choose another "
                "--output, or remove it"
            )
        step = 0
        if newest is not None:
            state = state_of(newest)
            step = int(state["step"])
            Position.from_state(state["place"])  # a place in another order, before all else
            self._compare(state, wanted, newest, allowed)
            self._same_selection(state["place"], newest, allowed)
        record(self.config, begun=newest is not None)
        write_atomically(f"{self.path}/{RUN_CONFIG}", json.dumps(wanted, indent=2).encode())
        for name in ("metrics.jsonl", "non_finite.jsonl"):
            self._forget_after(step, self.path / name)
        return newest

    def _claim(self) -> None:
        """A run that was told to stop may still be saving; two at once would spoil each other's."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self.lock.acquire(timeout=0.0)
            except Timeout:
                _say(f"{self.path}: waiting for the run that is at work there")
                self.lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            raise InputError(
                f"another run is at work in {self.path}: end it, or choose another --output"
            ) from error
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}") from error

    def _look_back(self) -> None:
        """Say where a run began that was moved or copied here; a copy is a run of its own to trackers."""
        try:
            began = Path(json.loads((self.path / RUN_CONFIG).read_bytes())["output"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if began.resolve() == self.path.resolve():
            return
        _say(f"the run in {self.path} began in {began}: it goes on in {self.path}")
        with suppress(OSError):
            mine, other = self.path / TRACKERS, began / TRACKERS
            if mine.read_bytes() == other.read_bytes():
                mine.unlink()

    def signed(self, content: Content) -> Content:
        """A checkpoint's content with the config and the code that made it."""
        return Content(
            content.tensors, {**content.state, "config": to_json(self.config), "code": code()}
        )

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """Append a row to one of its .jsonl files; what is not finite becomes null."""
        plain = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
        }
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain) + "\n")

    def _compare(
        self, state: Mapping[str, Any], wanted: Any, newest: Path, allowed: Sequence[str]
    ) -> None:
        stored = self._completed(state["config"], newest)
        if isinstance(began := stored.get("output"), str):
            stored = moved_along(stored, wanted, began, wanted["output"])
        changed = [
            line
            for line in differences(stored, wanted)
            if not any(_is_of(line.partition(":")[0], name) for name in ("output", *allowed))
        ]
        if changed:
            raise InputError(
                f"cannot go on from {newest}, its config differs in {'; '.join(changed)}: name in "
                "--allow-change what may differ, or choose another --output"
            )
        if state["code"] != code():
            _say(f"{newest} was written by {state['code']}, this is {code()}")

    def _same_selection(
        self, place: Mapping[str, Any], newest: Path, allowed: Sequence[str]
    ) -> None:
        """The folder of a selection may hold another one than when the run began."""
        folder, before = self.config.data.selection, place.get("selection", "")
        now = read_selection(folder).digest if folder else ""
        if now != before and not any(_is_of("data.selection", name) for name in allowed):
            raise InputError(
                f"cannot go on from {newest}: {folder or 'no selection'} is not the selection that it was "
                "made with: name data.selection in --allow-change, or choose another --output"
            )

    def _completed(self, stored: Any, where: Path) -> Any:
        """A stored config with the defaults of fields that it lacks, as a version before wrote it; or
        as it is where it is not of this kind."""
        try:
            config = from_json(RunConfig, stored, str(where), (type(self.config.method),))
        except InputError:
            return stored
        return to_json(config)

    @staticmethod
    def _forget_after(step: int, file: Path) -> None:
        """Drop rows of steps that will be made again, and a last line that a kill cut short."""
        if not file.is_file():
            return
        kept = []
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            kept += [line] if row["step"] <= step else []
        write_atomically(str(file), "".join(f"{line}\n" for line in kept).encode())


def code() -> dict[str, str]:
    """Which code this is."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {"zeroseg": version("zeroseg"), "torch": version("torch"), "commit": commit}


def _is_of(field: str, name: str) -> bool:
    """Whether `name` is the field or a group that it is in: `data` of `data.workers`."""
    return field == name or field.startswith(f"{name}.")


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
