"""What a folder of answers was made with: one model, words and protocol for all of them."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from zeroseg.errors import InputError
from zeroseg.export.session import SUFFIX
from zeroseg.methods.trained import DESCRIPTION, WEIGHTS, model_folder
from zeroseg.predictor import PREFIX, Predictor
from zeroseg.store.storage import write_atomically

NAME = "segmenting.json"


def digest_of(name: str, model: Predictor) -> str:
    """SHA-256 of a model's weights, and of all else that its folder says of it."""
    if name.startswith(PREFIX):
        method = name.rpartition(":")[2]
        return sha256(f"{method} {model.clip.weights_sha256}".encode()).hexdigest()
    if name.endswith(SUFFIX):
        return model.clip.weights_sha256
    folder = model_folder(Path(name))
    parts = ((folder / file).read_bytes() for file in (DESCRIPTION, WEIGHTS))
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()


def refuse_other(folder: Path, settings: dict[str, Any]) -> None:
    """Raises InputError, naming what differs, where an output folder was made with other settings."""
    file = folder / NAME
    if not file.exists():
        return
    try:
        stored = json.loads(file.read_bytes())
        other = [
            name for name, value in json.loads(_text(settings)).items() if stored.get(name) != value
        ]
    except (ValueError, AttributeError) as error:
        raise InputError(f"{file} is not zeroseg's: choose another --output") from error
    if other:
        raise InputError(
            f"{folder} was segmented with other settings ({', '.join(other)}): choose another --output, "
            "or remove that folder"
        )


def write(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings into an output folder."""
    write_atomically(str(folder / NAME), _text(settings).encode())


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, indent=2)
