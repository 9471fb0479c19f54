"""Stages of a method, each a training or pseudo labels, run in order and gone on with.

When a stage is done, `stage.json` in its output says what it was and digests of what it was made from. It
names other stages' outputs by the stages, so that all may be moved together.
"""

import hashlib
import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from tqdm import tqdm

from pipelines.label import label
from pipelines.run.loop import train
from pipelines.run.paths import mentions, repointed
from zeroseg.config import RunConfig, Stage
from zeroseg.errors import InputError
from zeroseg.methods.saved import WEIGHTS
from zeroseg.records import differences, from_json, to_json
from zeroseg.store import manifest
from zeroseg.store.storage import exists, join, read_bytes, write_atomically

RECORD = "stage.json"
"""In a stage's output, once it is done."""


def run_stages(stages: Mapping[str, Stage], only: Collection[str] = ()) -> None:
    """Run what is not done yet of all stages, or of some.

    Raises InputError for a stage that there is not, one that was done otherwise, or what training and
    labelling raise; SystemExit(75) when it was asked to stop and has saved its place.
    """
    if unknown := [name for name in only if name not in stages]:
        raise InputError(f"--only {unknown[0]}: the stages are {', '.join(stages)}")
    for number, (name, stage) in enumerate(stages.items(), 1):
        if only and name not in only:
            continue
        if is_done(stages, name):
            _say(f"stage {number} of {len(stages)}, {name}: done, in {stage.output}")
            continue
        _say(f"stage {number} of {len(stages)}, {name}: into {stage.output}")
        try:
            if isinstance(stage, RunConfig):
                train(stage, last=False)
            else:
                label(stage)
        except InputError as error:
            raise InputError(f"stage {name}: {error}") from error
        if PartialState().is_main_process:
            record(stages, name)


def is_done(stages: Mapping[str, Stage], name: str) -> bool:
    """Whether a stage is done. Raises InputError if it was, but otherwise, or from other models or shards."""
    stage = stages[name]
    file = join(str(stage.output), RECORD)
    if not exists(file):
        return False
    found, wanted = json.loads(read_bytes(file)), _described(stages, name)
    method = (type(stage.method),) if isinstance(stage, RunConfig) else ()
    try:  # a version before may not have had all fields
        then = from_json(type(stage), found["stage"], file, method)
    except InputError:
        then = None
    if then is not None:
        found["stage"] = to_json(then)
    changed = differences(found["stage"], wanted["stage"])
    changed += [
        f"it was made from another {other}"
        for other, digest in wanted["made_from"].items()
        if found["made_from"].get(other) != digest
    ]
    if changed:
        raise InputError(
            f"stage {name} is done in {stage.output}, but {'; '.join(changed)}: remove that folder to "
            "do it again, or choose another --output"
        )
    return True


def record(stages: Mapping[str, Stage], name: str) -> None:
    """Write down that a stage is done."""
    text = json.dumps(_described(stages, name), indent=2)
    write_atomically(join(str(stages[name].output), RECORD), text.encode())


def moved(stages: Mapping[str, Stage], output: Path) -> dict[str, Stage]:
    """The same stages with their outputs in folders of their names below `output`."""
    places = {str(stage.output): str(output / name) for name, stage in stages.items()}
    return {name: repointed(stage, places) for name, stage in stages.items()}


def _described(stages: Mapping[str, Stage], name: str) -> dict[str, Any]:
    """What a stage is, wherever it is, and digests of other stages' outputs that it is made from."""
    stage = stages[name]
    names = {str(other.output): f"<{key}>" for key, other in stages.items()}
    others = {k: o for k, o in stages.items() if k != name and mentions(stage, str(o.output))}
    return {
        "stage": to_json(repointed(stage, names)),
        "made_from": {key: _digest(other) for key, other in others.items()},
    }


def _digest(stage: Stage) -> str:
    """SHA-256 of a trained model's weights or of a set's manifest; empty if there is none."""
    trained = isinstance(stage, RunConfig)
    file = join(str(stage.output), f"model/{WEIGHTS}" if trained else manifest.NAME)
    return hashlib.sha256(read_bytes(file)).hexdigest() if exists(file) else ""


def _say(text: str) -> None:
    if PartialState().is_main_process:
        tqdm.write(text, file=sys.stderr)
