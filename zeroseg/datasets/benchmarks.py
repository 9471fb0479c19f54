"""Facts about the evaluation datasets, as values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from zeroseg.datasets import class_names
from zeroseg.errors import InputError

IGNORE = 65535
"""Label of pixels that no score counts; what it is in a file `zeroseg.data.label_files` says."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What the integers of a label map mean.

    Raises InputError when two classes share a name, when there are fewer than two, or when a
    split names a class that the benchmark lacks.
    """

    name: str
    classes: tuple[str, ...]
    """Names in label order, a dataset's official ones. Commas separate synonyms."""
    background: bool
    """Whether index 0 is background, all that none of the classes is."""
    unseen: frozenset[str] = frozenset()
    """Classes that never appear in the student's training images."""
    label_map: tuple[int, ...] = ()
    """Index here of each label in the shards, where those are built for a wider benchmark."""
    split_of: str = ""
    """The benchmark that this is, but for which classes are unseen; protocols treat both alike."""

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({c for c in self.classes if self.classes.count(c) > 1})
            raise InputError(f"class list {self.name!r} names {', '.join(twice)} twice: remove one")
        if len(self.names) < 2:
            raise InputError(
                f"class list {self.name!r} has {len(self.names)} name(s): give at least two, "
                "separated by commas"
            )
        if stray := self.unseen - set(self.classes):
            raise InputError(
                f"benchmark {self.name!r}: unseen classes {sorted(stray)} do not exist"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, background left out."""
        return self.classes[1:] if self.background else self.classes

    def on(self, labels: Sequence[str]) -> "Benchmark":
        """The benchmark as shards need it whose label maps count these names, from their manifest.

        By name where the shards have every class: the rest becomes background, or is ignored where
        the benchmark has none. Where classes are spelled otherwise or not told, labels are taken to
        be in the usual order. Raises InputError when there are more or fewer than that.
        """
        label_map = _places(labels, self)
        if {*range(len(self.classes))} <= {*label_map}:
            return replace(self, label_map=() if tuple(labels) == self.classes else label_map)
        if labels and len(labels) != len(self.label_map or self.classes):
            raise InputError(
                f"these shards have {len(labels)} classes and not all of benchmark {self.name!r}: "
                "choose the benchmark they were built for"
            )
        return self

    def mapped(self, labels: Int[Tensor, "*pixels"], where: object) -> Int[Tensor, "*pixels"]:
        """Stored labels in the benchmark's own indices.

        Raises InputError naming `where` they are from when one exceeds what the benchmark knows.
        """
        known = len(self.label_map or self.classes)
        highest = int(labels.masked_fill(labels == IGNORE, 0).max()) if labels.numel() else 0
        if highest >= known:
            raise InputError(
                f"label {highest} in {where} exceeds benchmark {self.name!r}, which knows {known}: "
                "choose the benchmark these shards were built for"
            )
        if not self.label_map:
            return labels
        table = torch.full((IGNORE + 1,), IGNORE, device=labels.device)
        table[:known] = torch.tensor(self.label_map, device=labels.device)
        return table[labels]

    def seen_only(self, labels: Int[Tensor, "*pixels"]) -> Int[Tensor, "*pixels"]:
        """Class indices of this benchmark, IGNORE in place of those of unseen classes."""
        table = torch.arange(IGNORE + 1, device=labels.device)
        table[[i for i, name in enumerate(self.classes) if name in self.unseen]] = IGNORE
        return table[labels]


def _places(labels: Sequence[str], benchmark: Benchmark) -> tuple[int, ...]:
    """Of each label its class's index; else background's, or IGNORE where there is none."""
    index = {name: i for i, name in enumerate(benchmark.classes)}
    return tuple(index.get(label, 0 if benchmark.background else IGNORE) for label in labels)


def _narrowed(name: str, wide: Benchmark, classes: tuple[str, ...]) -> Benchmark:
    """Some of the classes without background, on the shards of the wide benchmark."""
    narrow = Benchmark(name=name, classes=classes, background=False)
    return replace(narrow, label_map=_places(wide.classes, narrow))


def _split(wide: Benchmark, name: str, unseen: Sequence[str]) -> Benchmark:
    """A benchmark of which some classes are unseen."""
    split = f"{wide.name}-{name}"
    return replace(wide, name=split, unseen=frozenset(unseen), split_of=wide.name)


_STUFF = ("grass", "water", "sand", "sky", "brick", "pavement")
_SEEN = (
    ("red ball", "yellow star", "blue tent", "green tree", "orange ring", "purple cross")
    + ("checkered flag", "pink heart", "cyan diamond", "brown log", "white moon")
    + ("spotted mushroom", "grey wheel", "striped box")
)
_UNSEEN = ("turquoise ball", "maroon star", "lilac heart", "golden ring")

SCENES = Benchmark(
    name="scenes",
    classes=_STUFF + _SEEN + _UNSEEN,
    background=False,
    unseen=frozenset(_UNSEEN),
)
"""The generator's scenes: 6 stuff, 14 seen and 4 unseen object classes (`shards/scenes.py`)."""

SCENES_OBJECTS = Benchmark(
    name="scenes-objects",
    classes=("background", *_SEEN, *_UNSEEN),
    background=True,
    unseen=frozenset(_UNSEEN),
    label_map=(0,) * len(_STUFF) + tuple(range(1, len(_SEEN + _UNSEEN) + 1)),
)
"""The same scenes with all stuff as background: what a background threshold is for."""

VOC21 = Benchmark(name="voc21", classes=("background", *class_names.VOC), background=True)
"""PASCAL VOC 2012 with background, label 0; the outline of objects is ignored."""

VOC20 = _narrowed("voc20", VOC21, class_names.VOC)
"""PASCAL VOC 2012 without background, on the shards of `voc21`: background pixels are ignored."""

CONTEXT60 = Benchmark(
    name="context60", classes=("background", *class_names.CONTEXT), background=True
)
"""PASCAL Context with background, label 0: all that is none of the 59 frequent classes."""

CONTEXT59 = _narrowed("context59", CONTEXT60, class_names.CONTEXT)
"""PASCAL Context without background, on the shards of `context60` or such with 59 classes."""

CONTEXT459 = Benchmark(name="pascal-context459", classes=class_names.CONTEXT459, background=False)
"""PASCAL Context by all its classes; pixels that nobody labelled are ignored."""

COCO_OBJECT = Benchmark(
    name="coco-object", classes=("background", *class_names.COCO_THINGS), background=True
)
"""COCO's 80 things, label 1 to 80; all else is background. Published scores count unlabelled pixels
as background too; on the shards of `coco-stuff171` they are ignored."""

COCO_THINGS = _narrowed("coco-things", COCO_OBJECT, class_names.COCO_THINGS)
"""The same 80 things without background, on the same shards: background pixels are ignored."""

COCO_STUFF171 = Benchmark(
    name="coco-stuff171", classes=class_names.COCO_THINGS + class_names.COCO_STUFF, background=False
)
"""COCO-Stuff 164k: 80 things, then 91 kinds of stuff; unlabelled pixels are ignored."""

COCO_STUFF182 = Benchmark(
    name="coco-stuff182", classes=class_names.COCO_CATEGORIES, background=False
)
"""COCO-Stuff 164k by category id less one. Nothing is labelled with 11 of them, which a model can take
for what is: score `coco-stuff171`, on the same shards, where ids do not matter."""

ADE150 = Benchmark(name="ade150", classes=class_names.ADE, background=False)
"""ADE20K's scene parsing classes; all else is ignored."""

ADE847 = Benchmark(name="ade847", classes=class_names.ADE847, background=False)
"""ADE20K's full release by the 847 classes of MaskFormer's label maps; all else is ignored."""

CITYSCAPES19 = Benchmark(name="cityscapes19", classes=class_names.CITYSCAPES, background=False)
"""Cityscapes' scored classes; all else is ignored."""

_CONTEXT33 = _narrowed("context33", CONTEXT60, class_names.CONTEXT33)
_VOC_ZS3 = ("cow", "motorbike", "aeroplane", "sofa", "cat", "tvmonitor") + (
    "train",
    "bottle",
    "chair",
    "pottedplant",
)
_CONTEXT_ZS3 = ("cow", "motorbike", "sofa", "cat", "boat", "fence") + (
    "bird",
    "tvmonitor",
    "keyboard",
    "aeroplane",
)
_STUFF_UNSEEN = (
    "cow",
    "giraffe",
    "suitcase",
    "frisbee",
    "skateboard",
    "carrot",
    "scissors",
    "cardboard",
) + ("clouds", "grass", "playingfield", "river", "road", "tree", "wall-concrete")

SPLITS = (
    _split(VOC20, "15-5", class_names.VOC[15:]),
    _split(COCO_STUFF171, "156-15", _STUFF_UNSEEN),
    _split(_CONTEXT33, "29-4", _CONTEXT_ZS3[:4]),
    *(_split(VOC21, f"k{k}", _VOC_ZS3[:k]) for k in (2, 4, 6, 8, 10)),
    *(_split(CONTEXT60, f"k{k}", _CONTEXT_ZS3[:k]) for k in (2, 4, 6, 8, 10)),
)
"""Seen and unseen classes of generalised zero-shot segmentation.

15-5 and 156-15: SPNet's (Xian et al., CVPR 2019), as ZegFormer lists them
(`register_pascal_voc.py`, `prepare_coco_stuff_sem_seg_unseen.py` of dingjiansw101/ZegFormer).
29-4: CaGNet's (Gu et al., ACM MM 2020, README); that its 33-class label maps are the 59-class ones
with the rest ignored is our reading. k2 to k10: ZS3Net's (Bucher et al., NeurIPS 2019), each with
the classes of the one before (`pascal_voc_unseen_classes.txt`, `pascal_context_unseen_classes.txt`
of valeoai/ZS3); background counts as seen there.
"""

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        (SCENES, SCENES_OBJECTS, VOC21, VOC20, CONTEXT60, CONTEXT59, COCO_OBJECT, COCO_THINGS)
        + (COCO_STUFF171, ADE150, CITYSCAPES19, CONTEXT459, COCO_STUFF182, ADE847, *SPLITS)
    )
}
