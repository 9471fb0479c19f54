"""Completion for a shell, which tyro writes from a tree of all that the command reads."""

import contextlib
import dataclasses
import io
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any

import tyro

from configs import quickstart as example
from pipelines import (
    ablate,
    choose,
    curate,
    doctor,
    embed,
    evaluate,
    export,
    find,
    label,
    quickstart,
    seen_unseen,
    segment,
    shards,
    stages,
    train,
)
from pipelines.command_line import UNSET, read
from pipelines.report import page
from zeroseg.errors import InputError

SHELLS = ("bash", "zsh", "fish")


def _marked(kind: Any, *markers: Any) -> Any:
    return Annotated[kind, *markers]


TREE: dict[str, Any] = {
    "quickstart": _marked(quickstart.QuickstartConfig, *UNSET),
    "shards": {
        "build": {
            n: _marked(shards.Build[k], *shards.MARKERS) for n, (k, _) in shards.KINDS.items()
        },
        **{n: _marked(action, *shards.MARKERS) for n, (action, _) in shards.ACTIONS.items()},
    },
    "embed": _marked(embed.Command, *UNSET),
    "curate": _marked(curate.CurateConfig, *UNSET),
    "find": _marked(find.FindConfig, *UNSET),
    "train": train.Command(config=tyro.MISSING, run=example.config),
    "stages": _marked(stages.Options, *UNSET),
    "label": _marked(label.LabelConfig, *UNSET),
    "choose": _marked(choose.ChooseConfig, *UNSET),
    "evaluate": _marked(evaluate.EvaluateConfig, *UNSET),
    "segment": _marked(segment.SegmentConfig, *UNSET),
    "export": {
        "onnx": _marked(export.ONNXExport, *UNSET),
        "torch": _marked(export.TorchExport, *UNSET),
    },
    "report": page.ReportConfig,
    "seen-unseen": _marked(seen_unseen.SeenUnseenConfig, *UNSET),
    "ablate": ablate.AblateConfig,
    "doctor": _marked(doctor.DoctorConfig, *UNSET),
}
"""What each name reads; options of `train` are those of one method."""


def main(arguments: Sequence[str]) -> None:
    """Print the script for a shell. Raises InputError for one that is not among `SHELLS`."""
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        raise InputError(f"write zeroseg completion SHELL, one of {', '.join(SHELLS)}")
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        read(_names(TREE), ["--tyro-print-completion", *arguments], "zeroseg", "")
    # Files still complete where tyro knows no word.
    print(script.getvalue().replace("complete -F", "complete -o default -F"))


def _names(tree: Mapping[str, Any]) -> type:
    """A class whose one field is one of the names."""
    kinds: Any = reduce(or_, (_kind(name, leaf) for name, leaf in tree.items()))
    return dataclasses.make_dataclass("Names", [("name", Annotated[kinds, tyro.conf.arg(name="")])])


def _kind(name: str, leaf: Any) -> Any:
    kind, default = leaf, tyro.MISSING_NONPROP
    if isinstance(leaf, Mapping):
        kind = _names(leaf)
    elif isinstance(leaf, train.Command):
        kind, default = train.Command, leaf
    return Annotated[kind, tyro.conf.subcommand(name, default=default)]
