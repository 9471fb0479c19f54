"""What a text encoder is asked for the classes of a benchmark, by the protocols of the field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from zeroseg.datasets import class_names
from zeroseg.datasets.benchmarks import COCO_STUFF171, Benchmark
from zeroseg.errors import InputError

Names = Literal["plain", "official", "named", "groupvit", "sclip", "synonyms"]
"""Whose words. plain, official and named exist for every benchmark; see `vocabulary`."""


@dataclass(frozen=True)
class Vocabulary:
    """Queries, and what they stand for; a class may have several, and background may have some.

    Raises InputError when the two tuples differ in length.
    """

    queries: tuple[str, ...]
    """Class names for `CLIP.class_embeddings`; within one, commas separate synonyms that are
    averaged."""
    owners: tuple[int, ...]
    """The benchmark's class index of each query."""

    def __post_init__(self) -> None:
        if len(self.queries) != len(self.owners):
            raise InputError(
                f"a vocabulary has {len(self.queries)} queries for {len(self.owners)} owners"
            )


_PLAIN = {
    "diningtable": ("dining table",),
    "pottedplant": ("potted plant",),
    "tvmonitor": ("tv monitor",),
    "playingfield": ("playing field",),
    "waterdrops": ("water drops",),
} | {
    name: (name.removesuffix("-other").removesuffix("-stuff"),)
    for name in class_names.COCO_STUFF
    if name.endswith(("-other", "-stuff"))
}

_NAMED_BACKGROUND = {"background": ("background",)}
_BACKGROUND = (
    ("sky", "wall", "tree", "wood", "grass", "road", "sea", "river", "mountain", "sands", "desk")
    + ("bed", "building", "cloud", "lamp", "door", "window", "wardrobe", "ceiling", "shelf")
    + ("curtain", "stair", "floor", "hill", "rail", "fence")
)
_CLOTHES = ("shirt", "jeans", "dress", "sweater", "skirt", "jacket")
_PERSON = ("person", *(f"person in {garment}" for garment in _CLOTHES))


def _without_spaces(names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {name: (name.replace(" ", ""),) for name in names}


_WORDS: dict[str, dict[tuple[str, ...], Mapping[str, tuple[str, ...]]]] = {
    "groupvit": {
        class_names.VOC: {
            "diningtable": ("table",),
            "pottedplant": ("plant",),
            "tvmonitor": ("monitor",),
        },
        class_names.CONTEXT: {
            "aeroplane": ("airplane",),
            "pottedplant": ("plant",),
            "tvmonitor": ("monitor",),
        },
        class_names.COCO_THINGS: {},
    },
    "sclip": {
        class_names.VOC: {
            "background": _BACKGROUND,
            "boat": ("ship",),
            "diningtable": ("table",),
            "person": _PERSON,
            "tvmonitor": ("television monitor", "tv monitor", "monitor", "television", "screen"),
        },
        class_names.CONTEXT: {"background": ("background",)},
        class_names.COCO_THINGS: {"background": _BACKGROUND, "person": (*_PERSON, "body")},
        COCO_STUFF171.names: _without_spaces(COCO_STUFF171.names),
        class_names.ADE: _without_spaces(class_names.ADE),
        class_names.CITYSCAPES: _without_spaces(class_names.CITYSCAPES),
    },
    "synonyms": {
        class_names.ADE: {
            name: (all_names,)
            for name, all_names in zip(class_names.ADE, class_names.ADE_SYNONYMS, strict=True)
        },
        class_names.ADE847: {
            name: (all_names,)
            for name, all_names in zip(
                class_names.ADE847, class_names.ADE847_SYNONYMS.values(), strict=True
            )
        },
    },
}
"""By whose words and by a dataset's classes: the queries of each class that has others than its
name."""


def vocabulary(benchmark: Benchmark, names: Names = "plain") -> Vocabulary:
    """The queries for a benchmark's classes.

    - plain: one query a class and none for background: its official name, with joined words
      written apart (`dining table`) and without COCO-Stuff's markers `-other` and `-stuff`, but where
      another class of the benchmark has that name. Ours.
    - official: the official names to the letter, as mmsegmentation spells them. TCL's evaluation
      takes these (khanrc/tcl, commit e643d68).
    - named: as plain, and background is asked for by the word "background", as by models that learnt it
      as a class (ZS3Net).
    - groupvit: GroupViT's shorter names for PASCAL VOC and Context (`segmentation/datasets` of
      NVlabs/GroupViT, commit 1757819).
    - sclip: SCLIP's name files (`configs/cls_*.txt` of wangf3014/SCLIP, commit 57fa9aa). A class
      may have several queries, of which the best counts, and so may background. Spaces are left
      out for COCO-Stuff, ADE20K and Cityscapes, as in its files.
    - synonyms: ADE20K's official synonyms, of 150 or 847 classes, averaged.

    Raises InputError, naming those that exist, when the benchmark has no such names.
    """
    words = _words(benchmark, names)
    pairs = [
        (query, owner)
        for owner, name in enumerate(benchmark.classes)
        for query in words.get(name, () if benchmark.background and owner == 0 else (name,))
    ]
    return Vocabulary(tuple(query for query, _ in pairs), tuple(owner for _, owner in pairs))


def named_classes(benchmark: Benchmark) -> tuple[str, ...]:
    """A word for every class of a benchmark, in label order, background's included."""
    return vocabulary(benchmark, "named").queries


def _words(benchmark: Benchmark, names: str) -> Mapping[str, tuple[str, ...]]:
    """Queries of the classes that are asked for by other words than their name."""
    free = {name: words for name, words in _PLAIN.items() if not {*words} & {*benchmark.classes}}
    everyones = {"plain": free, "official": {}, "named": free | _NAMED_BACKGROUND}
    lists = {
        whose: table[benchmark.names] for whose, table in _WORDS.items() if benchmark.names in table
    }
    known = everyones | lists
    if names not in known:
        raise InputError(
            f"benchmark {benchmark.name!r} has no names {names!r}: choose one of {', '.join(known)}"
        )
    return known[names]
