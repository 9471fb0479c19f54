"""Where metrics go beside metrics.jsonl: TensorBoard, W&B, MLflow or trackio, through Accelerate.

A run that goes on from a checkpoint goes on in them too: `trackers.json` in its folder holds the names
by which they know it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import TensorBoardTracker, WandBTracker, get_available_trackers
from jaxtyping import UInt8
from numpy import ndarray

from pipelines.run.folder import TRACKERS
from zeroseg.config import RunConfig
from zeroseg.errors import InputError
from zeroseg.records import flat, to_json
from zeroseg.store.storage import write_atomically

KNOWN_AS: Mapping[str, Callable[[Any], dict[str, str]]] = {
    "wandb": lambda run: {"id": run.id, "resume": "allow"},
    "mlflow": lambda run: {"run_id": run.info.run_id},
    "trackio": lambda run: {"name": run.name, "resume": "allow"},
}
"""What a tracker has to be told, to go on with a run of its own."""


def check_trackers(names: tuple[str, ...]) -> None:
    """Raises InputError for a tracker that is unknown or not installed."""
    have = {str(tracker) for tracker in get_available_trackers()}
    if missing := set(names) - have:
        raise InputError(
            f"trackers {', '.join(sorted(missing))}: not installed or unknown, there are "
            f"{', '.join(sorted(have))}; `uv sync --extra wandb` or `uv run --with mlflow` adds one"
        )


def begin_tracking(accelerator: Accelerator, config: RunConfig, step: int) -> None:
    """Open the config's trackers for a run that goes on after `step`, or begins at 0."""
    file = config.output / TRACKERS
    known = json.loads(file.read_text(encoding="utf-8")) if step and file.is_file() else {}
    name, fields = config.output.name, flat(to_json(config))
    options: dict[str, dict[str, Any]] = {
        "tensorboard": {"purge_step": step + 1},
        "wandb": {
            "name": name,
            "dir": str(config.output),
            "config": fields,
            "allow_val_change": True,
        },
        "mlflow": {"run_name": name},
        "trackio": {"config": fields},
    }
    told = {name: options.get(name, {}) | known.get(name, {}) for name in config.trackers}
    accelerator.init_trackers(config.project, init_kwargs=told)
    if not accelerator.is_main_process:
        return
    for tracker in accelerator.trackers:
        if tracker.name == "mlflow" and tracker.name not in known:  # which refuses other values
            tracker.store_init_configuration(fields)
        if tracker.name in KNOWN_AS:
            known[tracker.name] = KNOWN_AS[tracker.name](tracker.tracker)
    if known or file.is_file():  # of a run that was here before
        write_atomically(str(file), json.dumps(known, indent=2).encode())


def log_picture(
    accelerator: Accelerator, name: str, picture: UInt8[ndarray, "height width 3"], step: int
) -> None:
    """Hand a picture to the trackers that take one; on the main process."""
    for tracker in accelerator.trackers:
        if isinstance(tracker, TensorBoardTracker):
            tracker.log_images({name: picture[None]}, step=step, dataformats="NHWC")
        elif isinstance(tracker, WandBTracker):
            tracker.log_images({name: [picture]}, step=step)
