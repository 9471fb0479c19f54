"""Facts about the evaluation datasets, as values."""

from dataclasses import dataclass

IGNORE = 255
"""Label of pixels that no score counts."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What the integers of a label map mean.

    Raises ValueError when two classes share a name, when there are fewer than two, or when a
    split names a class that the benchmark lacks.
    """

    name: str
    classes: tuple[str, ...]
    """Names in label order. Commas separate synonyms."""
    background: bool
    """Whether index 0 is background, which no text describes."""
    unseen: frozenset[str] = frozenset()
    """Classes that never appear in the student's training images."""

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({c for c in self.classes if self.classes.count(c) > 1})
            raise ValueError(f"class list {self.name!r} names {', '.join(twice)} twice: remove one")
        if len(self.names) < 2:
            raise ValueError(
                f"class list {self.name!r} has {len(self.names)} name(s): give at least two, "
                "separated by commas"
            )
        if stray := self.unseen - set(self.classes):
            raise ValueError(f"benchmark {self.name!r}: unseen classes {sorted(stray)} do not exist")

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that text describes, background left out."""
        return self.classes[1:] if self.background else self.classes


_STUFF = ("grass", "water", "sand", "sky", "brick", "pavement")
_SEEN = (
    ("red ball", "yellow star", "blue tent", "green tree", "orange ring", "purple cross")
    + ("checkered flag", "pink heart", "cyan diamond", "brown log", "white moon")
    + ("spotted mushroom", "grey wheel", "striped box")
)
_UNSEEN = ("blue ball", "red star", "purple heart", "yellow ring")

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
)
"""The same scenes with all stuff as background: what a background threshold is for."""

_VOC = (
    ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow")
    + ("table", "dog", "horse", "motorbike", "person", "plant", "sheep", "sofa", "train")
    + ("monitor",)
)
VOC21 = Benchmark(name="voc21", classes=("background", *_VOC), background=True)
"""PASCAL VOC 2012 with background, in the official order (label ids 0 to 20).

Names as in GroupViT's evaluation, which shortens four of them: table, plant, monitor (and keeps
motorbike); they are names for a text encoder, the ids are VOC's own.
"""

VOC20 = Benchmark(name="voc20", classes=_VOC, background=False)
"""PASCAL VOC 2012 without background: labels 0 to 19, background pixels ignored (255)."""

BENCHMARKS = {b.name: b for b in (SCENES, SCENES_OBJECTS, VOC21, VOC20)}
