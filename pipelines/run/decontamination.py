"""Against which benchmarks the images that a run is trained on were cleaned, kept in its folder."""

import dataclasses
import json
from functools import reduce
from pathlib import Path

from zeroseg.config import RunConfig
from zeroseg.methods.trained import Trained
from zeroseg.records import read_record, to_json
from zeroseg.store.decontamination import Decontamination, decontamination_of
from zeroseg.store.selection import read_selection
from zeroseg.store.storage import write_atomically

NAME = "decontamination.json"


def record(config: RunConfig, *, begun: bool) -> None:
    """Write down what is known of the run's images, and of those of the models that it starts from.

    Of a run that had `begun`, what was known before holds too. Nothing is written where one of these does
    not tell. Raises InputError when the selection or the record cannot be read.
    """
    folder = config.data.selection
    known = [decontamination_of(read_selection(folder)) if folder else Decontamination()]
    known += [recorded(config.output)] if begun else []
    values = [getattr(config.method, f.name) for f in dataclasses.fields(config.method)]
    known += [v.decontamination() for v in values if isinstance(v, Trained)]
    told = [one for one in known if one is not None]
    if len(told) < len(known):
        (config.output / NAME).unlink(missing_ok=True)
        return
    text = json.dumps(to_json(reduce(Decontamination.both, told)), indent=2)
    write_atomically(f"{config.output}/{NAME}", text.encode())


def recorded(run: Path) -> Decontamination | None:
    """What a run folder tells; None where it does not. Raises InputError for a damaged record."""
    file = run / NAME
    return read_record(Decontamination, file.read_bytes(), str(file)) if file.is_file() else None
