"""`zeroseg shards`: build a set of shards from what a corpus is stored as, check it, show it, index it.

    zeroseg shards build folder photos data/photos
    srun --kill-on-bad-exit=1 python -m pipelines.shards build folder photos data/photos --workers 16

Any number of processes on any machines that see source and destination share a build, each with `--workers` of
its own, and need nothing else of each other; stopped and started again, with as many or not, they go on with the
shards that are missing.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

import tyro
from accelerate import PartialState

from pipelines.cli import choose
from pipelines.cli import main as zeroseg
from pipelines.command_line import UNSET, read
from shards.ade20k import ADE20K
from shards.ade20k_full import ADE20KFull
from shards.build import Limits, build_share
from shards.check import check
from shards.cityscapes import Cityscapes
from shards.coco import COCOMasks, COCOObject, COCOStuff
from shards.context import PascalContext
from shards.copy import Copy
from shards.cvat import CVAT, CVATMasks
from shards.folder import Folder, counted
from shards.imagenet import ImageNet
from shards.img2dataset import Img2Dataset
from shards.index import index
from shards.label_studio import LabelStudio
from shards.labelme import LabelMe
from shards.masks import Masks
from shards.pairs import Pairs
from shards.panoptic import Panoptic
from shards.sample import Source
from shards.scenes import Scenes
from shards.show import show
from shards.table import Parquet
from shards.voc import PascalVOC
from shards.without import is_dropped, split_named, without
from zeroseg.store.set_writer import LEFT_OUT, read_left_out
from zeroseg.training.processes import process_state


class Corpus(Protocol):
    """What a set can be built from: its fields say where it is."""

    def source(self) -> Source:
        """Its samples. Raises InputError for anything wrong with it."""
        ...


KINDS: dict[str, tuple[type[Corpus], str]] = {
    "folder": (Folder, "photos/ data/photos"),
    "imagenet": (ImageNet, "imagenet/ data/imagenet/train"),
    "img2dataset": (Img2Dataset, "downloads/ data/cc12m"),
    "parquet": (Parquet, "tables/ data/photos --column image"),
    "scenes": (Scenes, "train data/scenes/train"),
    "voc": (PascalVOC, "VOCdevkit data/voc/val"),
    "context": (PascalContext, "VOCdevkit data/context/val"),
    "coco-object": (COCOObject, "coco data/coco-object/val"),
    "coco-stuff": (COCOStuff, "coco data/coco-stuff/val"),
    "coco-masks": (COCOMasks, "images masks data/coco-masks"),
    "pairs": (Pairs, "images masks voc21 data/voc_sbd"),
    "masks": (Masks, "images masks data/own --classes names.txt"),
    "labelme": (LabelMe, "photos data/own --classes names.txt"),
    "cvat": (CVAT, "annotations.xml images data/own"),
    "cvat-masks": (CVATMasks, "export data/own --images photos"),
    "label-studio": (LabelStudio, "export.json images data/own --classes names.txt"),
    "panoptic": (Panoptic, "panoptic_val2017.json val2017 data/panoptic"),
    "copy": (Copy, "data/photos data/photos-chosen --selection chosen"),
    "ade20k": (ADE20K, "ADEChallengeData2016 data/ade20k/val"),
    "ade20k-full": (ADE20KFull, "ADE20K_2021_17_01 data/ade20k-full/val"),
    "cityscapes": (Cityscapes, "cityscapes data/cityscapes/val"),
}
"""By name: what a set is built from, and an example of its arguments."""

ACTIONS: dict[str, tuple[Callable[..., None], str]] = {
    "check": (check, "data/photos --repair data/mended"),
    "show": (show, "data/voc/val --output sheet.png"),
    "index": (index, "data/others"),
}
"""By name: what can be done with shards that are there, and an example of its arguments."""

MARKERS = (tyro.conf.PositionalRequiredArgs, *UNSET)

Kind = TypeVar("Kind", bound=Corpus)


@dataclass(frozen=True)
class Output:
    """Where the set goes, and how it is cut."""

    destination: str
    """Folder or URL of the new set."""
    limits: Annotated[Limits, tyro.conf.arg(name="")]
    without: str = ""
    """A benchmark with unseen classes, as voc21-k2: images that hold a pixel of one are left out."""

    def __post_init__(self) -> None:
        if self.without:
            split_named(self.without)


@dataclass(frozen=True)
class Build(Generic[Kind]):
    """A set to build."""

    corpus: Annotated[Kind, tyro.conf.arg(name="")]
    output: Annotated[Output, tyro.conf.arg(name="")]


def run(command: Build[Any]) -> None:
    """Build the set, or this process's share of it, and say what is in it."""
    destination, split = command.output.destination, command.output.without
    state = process_state()
    source = command.corpus.source()
    manifest = build_share(
        without(source, split) if split else source,
        destination,
        command.output.limits,
        state.process_index,
        state.num_processes,
    )
    if manifest is None or not state.is_main_process:
        return
    print(f"{destination}: {manifest.samples} images in {len(manifest.shards)} shards")
    if manifest.left_out:
        print(f"{manifest.left_out} left out, named in {destination}/{LEFT_OUT}")
        if split:
            dropped = sum(is_dropped(line, split) for line in read_left_out(destination))
            print(f"{dropped} of these hold a class that is unseen in {split}")
    if source.passed_over:
        print(f"passed over {counted(source.passed_over)}")


def main(arguments: Sequence[str]) -> None:
    """Read the command line and do it."""
    program = "zeroseg shards"
    actions = {name: _summary(action) for name, (action, _) in ACTIONS.items()}
    verb, rest = choose(program, {"build": "Write a set of shards."} | actions, arguments)
    program = f"{program} {verb}"
    if verb != "build":
        action, example = ACTIONS[verb]
        read(action, rest, program, f"{_summary(action)}\n    {program} {example}", *MARKERS)
        return
    summaries = {name: _summary(kind) for name, (kind, _) in KINDS.items()}
    name, rest = choose(program, summaries, rest)
    kind, example = KINDS[name]
    about = f"{inspect.getdoc(kind)}\n    {program} {name} {example}"
    run(read(Build[kind], rest, f"{program} {name}", about, *MARKERS))
    PartialState().destroy_process_group()


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    zeroseg(["shards", *sys.argv[1:]])
