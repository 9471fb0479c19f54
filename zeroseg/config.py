"""What a run is, and runs that follow each other: frozen dataclasses, filled in by a file under configs/ and
the command line."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from zeroseg.data.stream import DataConfig
from zeroseg.errors import InputError
from zeroseg.evaluation.pseudo_labels import PseudoLabels
from zeroseg.evaluation.watching import Watch
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.records import read_record
from zeroseg.training.optimization import SGD, AdamW, Cosine, Polynomial
from zeroseg.training.processes import Precision

RUN_CONFIG = "config.json"
"""In a run's folder."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that distinguishes one training run from another."""

    method: MethodConfig
    """What is trained, by what, on what of a sample; a class of `zeroseg.methods`."""
    data: DataConfig
    optimizer: AdamW | SGD
    schedule: Cosine | Polynomial = field(default_factory=Cosine)
    """Of the learning rate."""
    steps: int
    """0 writes the model as it begins, to compare with."""
    watch: Watch | None = None
    """Images that the model is scored on while it trains. None: nothing is watched."""
    clip_norm: float = 1.0
    """Ours: gradients are clipped to this norm."""
    ema_decay: float = 0.0
    """Ours: decay of the moving average of the weights, kept beside them as `model-ema`; 0 keeps none."""
    micro_batch: int = 0
    """Most images that a process takes through the model at once; the gradients of several passes
    are summed (gradient accumulation). 0: no limit."""
    activation_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, more time."""
    compile: bool = False
    """Compile the model with torch.compile."""
    precision: Precision = "auto"
    """Of the model's forward pass; `auto` takes bf16 where the device is faster with it."""
    most_skipped: int = 10
    """Ours: the run stops when more steps than this had a loss or gradient that was not finite. Such
    a step changes no weight; its images are named in non_finite.jsonl."""
    log_every: int = 10
    name_lost: int = 10
    """Samples that cannot be read are named on standard error up to this many, then counted."""
    save_every: int = 1000
    """Steps between checkpoints."""
    keep_last: int = 2
    """Newest checkpoints that are kept."""
    keep_every: int = 0
    """Checkpoints of every multiple of so many steps are kept for good; 0 keeps none."""
    trackers: tuple[str, ...] = ("tensorboard",)
    """Where metrics go beside metrics.jsonl; docs/training.md has others."""
    project: str = "zeroseg"
    """Ours: what trackers call the runs that belong together."""
    peak_tflops: float = 0.0
    """What the MFU is a share of; 0 measures the device in matrix products when training starts."""
    timeout: float = 600.0
    """Seconds that a process waits for the others before it gives up."""
    seed: int = 0
    output: Path = Path("runs/train")

    def __post_init__(self) -> None:
        least = {"steps": 0, "log_every": 1, "save_every": 1, "keep_last": 1}
        values = {name: getattr(self, name) for name in least}
        wrong = [f"{name} is {n}" for name, n in values.items() if n < least[name]]
        wrong += [f"ema_decay is {self.ema_decay}"] * (not 0 <= self.ema_decay < 1)
        if wrong:
            raise InputError(
                f"{', '.join(wrong)}: counts start at 1 (steps at 0), ema_decay lies in [0, 1)"
            )


def read_config(path: str | Path, methods: Sequence[type[MethodConfig]] = METHODS) -> RunConfig:
    """The config in a file like `configs/quickstart.py`, or in a run's `config.json`.

    A run's `config.json` is that run, whatever its folder is called by now: its `output` is where it was
    read. `methods` are those that a `config.json` may name. Raises InputError when the file is missing,
    defines no `config`, or has an unknown field.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"config {path} does not exist: name a file of configs/ or a run's config.json"
        )
    if file.suffix == ".json":
        config = read_record(RunConfig, file.read_text(encoding="utf-8"), str(path), methods)
        return replace(config, output=_run_of(file) or config.output)
    module = _module(file)
    config = getattr(module, "config", None)
    if not isinstance(config, RunConfig):
        staged = f": run `zeroseg stages {path}`" if hasattr(module, "stages") else ""
        raise InputError(f"config {path} defines no `config = RunConfig(...)`{staged}")
    return config


def _run_of(file: Path) -> Path | None:
    """The run folder that a JSON file is the config of; None if it only looks like one's config."""
    if file.is_symlink() and file.resolve().name == RUN_CONFIG:
        file = file.resolve()
    folder = file.parent if file.parent.name not in {"", ".."} else file.parent.resolve()
    return folder if file.name == RUN_CONFIG or (folder / "checkpoints").is_dir() else None


Stage = RunConfig | PseudoLabels
"""A training, or pseudo labels between two of them."""


def read_stages(path: str | Path) -> dict[str, Stage]:
    """The stages in a file like `configs/scenes_zs3net.py`, by name, in their order.

    Raises InputError when the file is missing, defines no `stages`, or two of them share an output.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"config {path} does not exist: name a file of configs/")
    stages = getattr(_module(file), "stages", None)
    if not isinstance(stages, Mapping) or not all(isinstance(s, Stage) for s in stages.values()):
        raise InputError(
            f"config {path} defines no `stages = {{NAME: RunConfig(...) or PseudoLabels(...)}}`"
        )
    if strange := [name for name in stages if not str(name).isidentifier()]:
        raise InputError(f"config {path}: stage {strange[0]!r} has a name that is no word")
    outputs = [Path(stage.output) for stage in stages.values()]
    if twice := [str(output) for output in outputs if outputs.count(output) > 1]:
        raise InputError(f"config {path}: two stages have the output {twice[0]}: give each its own")
    return dict(stages)


def _module(file: Path) -> ModuleType:
    """A Python file, run as a module of its own, so that a class that it defines can be looked up."""
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except InputError as error:
        raise InputError(f"config {file}: {error}") from error
    except Exception as error:  # an unknown field, a misspelt name, a syntax error: the file's own
        raise InputError(f"config {file}: {type(error).__name__}: {error}") from error
    return module
