"""Trained: the model of another run, from which a stage of training starts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.records import from_json
from zeroseg.store.decontamination import Decontamination

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Where a stage starts: what another run has trained."""

    path: str
    """A run folder, or a model folder in one."""

    def tensors(self) -> dict[str, Tensor]:
        """The model's weights by name. Raises InputError when there is no such model."""
        file = model_folder(Path(self.path)) / WEIGHTS
        if not file.is_file():
            raise InputError(f"{self.path} holds no trained model: run the stage before this one")
        try:
            return load_file(file)
        except SafetensorError as error:
            raise InputError(f"{file} cannot be read: {error}: train that stage again") from error

    def method(self) -> str:
        """Name of the method's class. Raises InputError when there is no such model."""
        return self._described("class")

    def of(self, *methods: str, split: str) -> dict[str, Tensor]:
        """The weights of a model of one of these methods that was taught the seen classes of a split.

        Raises InputError for a model of another, and when there is none.
        """
        if (name := self.method()) not in methods:
            raise InputError(
                f"{self.path} is of {name}: this stage starts from {' or '.join(methods)}"
            )
        if (taught := self._described("labels", "split")) != split:
            raise InputError(
                f"{self.path} was taught the seen classes of {taught}, this stage is of {split}, whose "
                "unseen ones may be among them: give both the same method.labels.split"
            )
        return self.tensors()

    def decontamination(self) -> Decontamination | None:
        """Against what its training's images were cleaned; None where that is not known. Raises InputError
        when it cannot be read."""
        file = model_folder(Path(self.path)) / DESCRIPTION
        try:
            found = json.loads(file.read_bytes()).get("decontamination")
        except (OSError, ValueError, AttributeError):
            return None
        return from_json(Decontamination | None, found, str(file))

    def _described(self, *fields: str) -> str:
        """A field of the model's method."""
        file = model_folder(Path(self.path)) / DESCRIPTION
        try:
            value = json.loads(file.read_bytes())["method"]
            for field in fields:
                value = value[field]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{file} describes no trained model of a stage: run the one before this"
            ) from error
        return value


def model_folder(folder: Path) -> Path:
    """The model of a run folder, or the folder itself."""
    return folder / "model" if (folder / "model").is_dir() else folder


def take(
    module: nn.Module, tensors: Mapping[str, Tensor], prefixes: Sequence[str], where: str
) -> None:
    """Copy into a module all of its tensors whose names begin with one of the prefixes.

    Raises InputError naming `where` they are from, and what is missing there or of another shape.
    """
    own = {k: v for k, v in module.state_dict().items() if k.startswith(tuple(prefixes))}
    missing = sorted(own.keys() - tensors.keys())
    misfits = [
        f"{k} is {tuple(tensors[k].shape)}, needs {tuple(v.shape)}"
        for k, v in own.items()
        if k in tensors and tensors[k].shape != v.shape
    ]
    if missing or misfits or not own:
        raise InputError(
            f"{where} does not fit this stage: missing {missing[:3]}, wrong shape {misfits[:3]}: "
            "give both stages the same model"
        )
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(tensors[name])
