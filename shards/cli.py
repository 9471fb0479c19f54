"""`zeroseg shards build KIND ...`, and what can be done with shards that are there."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro
from tyro.extras import subcommand_cli_from_dict

from shards.ade20k import ade20k
from shards.build import Limits, build
from shards.check import check
from shards.cityscapes import cityscapes
from shards.coco import coco_masks, coco_object, coco_stuff
from shards.context import context
from shards.folder import folder
from shards.imagenet import imagenet
from shards.img2dataset import img2dataset
from shards.index import index
from shards.sample import Source
from shards.scenes import scenes
from shards.show import show
from shards.table import parquet
from shards.voc import voc
from zeroseg.errors import InputError

KINDS: dict[str, Callable[..., Source]] = {
    "folder": folder,
    "imagenet": imagenet,
    "img2dataset": img2dataset,
    "parquet": parquet,
    "scenes": scenes,
    "voc": voc,
    "context": context,
    "coco-object": coco_object,
    "coco-stuff": coco_stuff,
    "coco-masks": coco_masks,
    "ade20k": ade20k,
    "cityscapes": cityscapes,
}

ACTIONS: dict[str, Callable[..., None]] = {"check": check, "show": show, "index": index}


def building(make: Callable[..., Source]) -> Callable[..., None]:
    """A program that builds shards from what `make` finds: its arguments, a destination, limits."""

    def program(**values: Any) -> None:
        destination, limits = values.pop("destination"), values.pop("limits")
        manifest = build(make(**values), destination, limits)
        print(f"{destination}: {manifest.samples} images in {len(manifest.shards)} shards")
        if manifest.left_out:
            print(f"{manifest.left_out} left out, named in {destination}/left-out.jsonl")

    signature = inspect.signature(make)
    required = [p for p in signature.parameters.values() if p.default is p.empty]
    optional = [p for p in signature.parameters.values() if p.default is not p.empty]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    where = inspect.Parameter("destination", kind, annotation=str)
    how = inspect.Parameter(
        "limits", kind, annotation=Annotated[Limits, tyro.conf.arg(name="")], default=Limits()
    )
    program.__doc__ = make.__doc__
    return shown(program, [*required, where, *optional, how])


def shown(
    program: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """The program with these parameters, the required ones named in its help; exceptions are not."""

    def same(**values: Any) -> None:
        program(**values)

    named = [
        p.replace(annotation=Annotated[p.annotation, tyro.conf.arg(metavar=p.name.upper())])
        if p.default is p.empty
        else p
        for p in parameters
    ]
    same.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    same.__annotations__ = {p.name: p.annotation for p in named}
    raises = re.compile(r"\s*Raises\s+InputError.*?\.(?=\s|$)", re.DOTALL)
    same.__doc__ = raises.sub("", inspect.getdoc(program) or "")
    return same


def main(arguments: Sequence[str]) -> None:
    """Read the command line and do it."""
    verb, *rest = arguments or [""]
    if verb == "build":
        programs = {kind: building(make) for kind, make in KINDS.items()}
    else:
        programs = {
            name: shown(action, [*inspect.signature(action).parameters.values()])
            for name, action in ACTIONS.items()
        }
    if verb not in {"build", *ACTIONS, "", "-h", "--help"}:
        raise InputError(f"unknown action {verb!r}: choose build, {', '.join(ACTIONS)}")
    subcommand_cli_from_dict(
        programs,
        args=rest if verb == "build" else arguments,
        prog="zeroseg shards build" if verb == "build" else "zeroseg shards",
        description=None if verb == "build" else "build KIND ..., or one of these:",
        config=(tyro.conf.PositionalRequiredArgs,),
    )
