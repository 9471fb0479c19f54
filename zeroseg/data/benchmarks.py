"""Facts about the evaluation datasets, as values."""

from dataclasses import dataclass

from zeroseg.errors import InputError

IGNORE = 255
"""Label of pixels that no score counts."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What the integers of a label map mean.

    Raises InputError when two classes share a name, when there are fewer than two, or when a
    split names a class that the benchmark lacks.
    """

    name: str
    classes: tuple[str, ...]
    """Names in label order. Commas separate synonyms."""
    background: bool
    """Whether index 0 is background, which no text describes."""
    unseen: frozenset[str] = frozenset()
    """Classes that never appear in the student's training images."""
    label_map: tuple[int, ...] = ()
    """Index here of each label in the shards, where those were built for a wider benchmark."""

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
        """The classes that text describes, background left out."""
        return self.classes[1:] if self.background else self.classes


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

VOC20 = Benchmark(
    name="voc20", classes=_VOC, background=False, label_map=(IGNORE, *range(len(_VOC)))
)
"""PASCAL VOC 2012 without background, on the shards of `voc21`: background pixels are ignored."""

_COCO = (
    ("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat")
    + ("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog")
    + ("horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella")
    + ("handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite")
    + ("baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle")
    + (
        "wine glass",
        "cup",
        "fork",
        "knife",
        "spoon",
        "bowl",
        "banana",
        "apple",
        "sandwich",
        "orange",
    )
    + ("broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant")
    + ("bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone")
    + ("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors")
    + ("teddy bear", "hair drier", "toothbrush")
)
COCO_OBJECT = Benchmark(name="coco-object", classes=("background", *_COCO), background=True)
"""COCO's 80 things in the order of their ids, label 1 to 80; all else is background."""

COCO_THINGS = Benchmark(
    name="coco-things", classes=_COCO, background=False, label_map=(IGNORE, *range(len(_COCO)))
)
"""The same 80 things without background, on the same shards: background pixels are ignored."""

BENCHMARKS = {b.name: b for b in (SCENES, SCENES_OBJECTS, VOC21, VOC20, COCO_OBJECT, COCO_THINGS)}


def benchmark_named(name: str) -> Benchmark:
    """Look a benchmark up. Raises InputError naming those that exist."""
    if name not in BENCHMARKS:
        raise InputError(f"benchmark {name!r} is unknown: choose one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
