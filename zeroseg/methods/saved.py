"""A trained model on disk: its weights, the method that it is of, and whose words it understands."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zeroseg.errors import InputError
from zeroseg.methods import METHODS, MethodConfig
from zeroseg.methods.choice import Choice
from zeroseg.methods.trained import DESCRIPTION, WEIGHTS, model_folder
from zeroseg.models.clip import CLIPConfig
from zeroseg.records import read_record, to_json
from zeroseg.store.decontamination import Decontamination
from zeroseg.store.storage import write_atomically


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What rebuilds a saved model, beside its weights: the content of `model.json`."""

    method: MethodConfig
    text: CLIPConfig
    """Whose class embeddings the model answers to."""
    choice: Choice | None = None
    """What was chosen on validation data, if anything."""
    decontamination: Decontamination | None = None
    """Against what the images that it was trained on were cleaned; None where that is not known."""

    @property
    def readout(self) -> str:
        """The one that is taken where nobody asks for another; empty if the method has none."""
        chosen = self.choice.readout if self.choice else ""
        return chosen or next(iter(self.method.readouts), "")


def save(folder: Path, description: ModelDescription, weights: dict[str, Tensor]) -> None:
    """Write a model, whole or not there: a model that stood there before stays until then."""
    fresh = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
    save_file(tensors, fresh / WEIGHTS)
    write_atomically(str(fresh / DESCRIPTION), description_text(description).encode())
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def description_text(description: ModelDescription) -> str:
    """The content of `model.json`."""
    return json.dumps(to_json(description), indent=2)


def load(
    folder: Path, methods: Sequence[type[MethodConfig]] = METHODS
) -> tuple[ModelDescription, nn.Module]:
    """Rebuild a saved model in eval mode, of any of these methods.

    Takes a run folder or its `model` folder. Raises InputError where there is no model in it, or its
    weights do not fit.
    """
    folder = model_folder(folder)
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no model ({name} is missing): name a run folder")
    text = (folder / DESCRIPTION).read_text(encoding="utf-8")
    description = read_record(ModelDescription, text, str(folder / DESCRIPTION), methods)
    with torch.random.fork_rng(devices=[]):
        model = description.method.model()
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"weights {folder / WEIGHTS} do not fit {DESCRIPTION} beside them: {reason}"
        ) from error
    return description, model.eval()
