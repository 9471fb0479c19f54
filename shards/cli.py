"""`zeroseg shards build KIND ...`, and what can be done with shards that are there."""

import inspect
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
    program.__signature__ = inspect.Signature([*required, where, *optional, how])  # type: ignore[attr-defined]
    program.__annotations__ = {p.name: p.annotation for p in [*required, where, *optional, how]}
    program.__doc__ = make.__doc__
    return program


def main(arguments: Sequence[str]) -> None:
    """Read the command line and do it."""
    verb, *rest = arguments or [""]
    programs = ACTIONS if verb != "build" else {k: building(make) for k, make in KINDS.items()}
    if verb not in {"build", *ACTIONS, "", "-h", "--help"}:
        raise InputError(f"unknown action {verb!r}: choose build, {', '.join(ACTIONS)}")
    subcommand_cli_from_dict(
        programs,
        args=rest if verb == "build" else arguments,
        prog="zeroseg shards build" if verb == "build" else "zeroseg shards",
        description=None if verb == "build" else "build KIND ..., or one of these:",
        config=(tyro.conf.PositionalRequiredArgs,),
    )
