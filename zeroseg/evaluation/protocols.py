"""How the field scores zero-shot segmentation: sizes, windows, names, thresholds, as values.

Published scores hold under one protocol only; a score is kept together with all of it. Protocols do
not depend on what is scored, and hold for every benchmark, some with other numbers for each.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.vocabularies import Names
from zeroseg.errors import InputError
from zeroseg.evaluation.inference import ThresholdRule
from zeroseg.evaluation.refinement import AUTHORS

Number = TypeVar("Number")
Softmax = Literal["model", "pixels", "none"]
ThresholdFrom = Literal["stated", "held-out"]
AbsentClasses = Literal["left out", "zero"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How pictures are sized, cut, named and thresholded; kept beside every score."""

    name: str = "zeroseg"
    """Whose it is, in `PROTOCOLS`: a label. `ProtocolConfig` selects by it."""
    short_side: int = 448
    """Pixels; 0 takes the side that the model was trained at, in `zeroseg segment` alone."""
    longest: int = 2048
    """Pixels; a longer side makes the whole picture smaller."""
    window: int = 448
    """Side of the sliding window in pixels; 0 takes the whole image."""
    stride: int = 224
    """Pixels between windows; scores are averaged where they overlap."""
    names: Names = "plain"
    """What classes are called; see `zeroseg.datasets.vocabularies`."""
    templates: str = "simple"
    """A name in `zeroseg.models.prompts.TEMPLATES`."""
    logit_scale: float = 100.0
    """Multiplies cosines before the softmax."""
    softmax: Softmax = "model"
    """Where it is taken: at the model's own resolution; or over all names at each pixel of the
    annotation, after windows are averaged and resized; or nowhere, and scores are compared as they
    come (for segmenters that answer no cosines)."""
    background_threshold: float | None = None
    """A pixel whose best score is below it is background. None where there is no background, or words
    for it."""
    threshold_from: ThresholdFrom = "stated"
    """`held-out`: the threshold is the one with the highest mean IoU on other data, which the result
    names."""
    threshold_rule: ThresholdRule = "constant"
    """`groupvit`: no higher than the highest probability in the image."""
    area_threshold: float = 0.0
    """A class that has no more than this share of what is not background is left out (SCLIP)."""
    pamr: tuple[int, ...] = ()
    """Dilations by which PAMR refines the scores at the annotation's pixels; none does not refine."""
    absent_classes: AbsentClasses = "left out"
    """What a class in neither truth nor prediction counts in the mean IoU."""

    def __post_init__(self) -> None:
        for field, least in (("short_side", 0), ("longest", 1), ("window", 0)):
            if getattr(self, field) < least:
                raise InputError(
                    f"protocol.{field} is {getattr(self, field)}: it must be at least {least}"
                )
        if self.window and not 0 < self.stride <= self.window:
            raise InputError(
                f"protocol.stride is {self.stride}: it must be from 1 to the window, {self.window}"
            )
        if self.threshold_from == "held-out" and self.background_threshold is not None:
            raise InputError(
                "protocol.background_threshold is set, and protocol.threshold_from is held-out: "
                "leave one of them out"
            )

    @property
    def absent(self) -> float:
        """The IoU that a class in neither truth nor prediction counts with; nan leaves it out."""
        return 0.0 if self.absent_classes == "zero" else math.nan

    def picture_size(self, size: tuple[int, int], multiple: int) -> tuple[int, int]:
        """The (height, width) that a picture is brought to for a segmenter whose inputs must be
        multiples of `multiple`; a side that windows are cut from need not be one itself."""
        if not self.short_side:
            raise InputError("protocol.short_side is 0: set it, in pixels")
        scale = min(self.short_side / min(size), self.longest / max(size))
        sides = [max(1, round(side * scale)) for side in size]
        height, width = (
            side if self.window and side >= self.window else rounded(side, multiple)
            for side in sides
        )
        return height, width


def rounded(side: int, multiple: int) -> int:
    """The nearest multiple, at least one."""
    return max(1, round(side / multiple)) * multiple


ZEROSEG_THRESHOLDS = {"voc21": 0.95, "context60": 0.05, "coco-object": 0.35}
GROUPVIT_THRESHOLDS = {"voc21": 0.95, "context60": 0.35, "coco-object": 0.95}
SCLIP_SCALES = {"voc21": 65.0, "context60": 50.0, "coco-object": 50.0}
SCLIP_SIDES = {"coco-stuff171": 448, "cityscapes19": 560}
SCLIP_AREAS = {"voc21": 0.1}


def _own(numbers: Mapping[str, Number], benchmark: Benchmark, others: Number) -> Number:
    """A benchmark's own number, which its splits share, or that of all others."""
    return numbers.get(benchmark.split_of or benchmark.name, others)


def zeroseg(benchmark: Benchmark) -> Protocol:
    """Section 4.1 of the paper: short side 448 and three background thresholds.

    Windows of 448 every 224 pixels, its one template and thresholds on softmax probabilities are
    GroupViT's, which the paper says it follows; that it means these too is our reading.
    """
    return Protocol(background_threshold=_own(ZEROSEG_THRESHOLDS, benchmark, None))


def groupvit(benchmark: Benchmark) -> Protocol:
    """NVlabs/GroupViT, `segmentation/` (Xu et al., CVPR 2022).

    Differs from the code in two points: it decides on background in each window, here it is decided
    once for the whole picture; and it keeps only the five classes nearest to the whole picture.
    """
    return Protocol(
        name="groupvit",
        names="groupvit",
        background_threshold=_own(GROUPVIT_THRESHOLDS, benchmark, None),
        threshold_rule="groupvit",
    )


def tcl(benchmark: Benchmark) -> Protocol:
    """kakaobrain/tcl, `configs/eval.yml` without PAMR (Cha et al., CVPR 2023).

    Their threshold is on sigmoid masks of their own decoder; here on probabilities (ours).
    """
    return Protocol(
        name="tcl",
        names="official",
        templates="tcl",
        background_threshold=0.5 if benchmark.background else None,
    )


def tcl_pamr(benchmark: Benchmark) -> Protocol:
    """The same with PAMR and a threshold of 0.4, their default.

    They refine their decoder's masks of each window, a quarter of its side; here it is the scores at
    the annotation's pixels that are refined, as in SCLIP and NACLIP (ours).
    """
    return dataclasses.replace(
        tcl(benchmark),
        name="tcl-pamr",
        background_threshold=0.4 if benchmark.background else None,
        pamr=AUTHORS,
    )


def sclip(benchmark: Benchmark) -> Protocol:
    """wangf3014/SCLIP, `configs/` and `clip_segmentor.py` (Wang et al., ECCV 2024).

    Engineered names, and words for what is background: scores under it are higher for that, and
    compare with scores under it alone.
    """
    return Protocol(
        name="sclip",
        short_side=_own(SCLIP_SIDES, benchmark, 336),
        window=224,
        stride=112,
        names="sclip",
        templates="openai80",
        logit_scale=_own(SCLIP_SCALES, benchmark, 40.0),
        softmax="pixels",
        background_threshold=0.1 if benchmark.background else None,
        area_threshold=_own(SCLIP_AREAS, benchmark, 0.0),
    )


def honest(benchmark: Benchmark) -> Protocol:
    """Ours: the dataset's own names, and no number that was tuned on what is scored."""
    return Protocol(
        name="honest",
        threshold_from="held-out" if benchmark.background else "stated",
    )


def scenes(benchmark: Benchmark) -> Protocol:
    """Ours, for the embedded scenes: whole pictures of 112 pixels, three plain phrasings; and a scale
    at which probabilities do not saturate, which only the background threshold sees."""
    return Protocol(
        name="scenes",
        short_side=112,
        window=0,
        templates="bare",
        logit_scale=10.0,
        softmax="pixels",
        threshold_from="held-out" if benchmark.background else "stated",
    )


def seen_unseen(benchmark: Benchmark) -> Protocol:
    """Generalised zero-shot segmentation as ZegFormer and zsseg test: the whole picture, its short side
    512 pixels, of COCO-Stuff 640 (their configs' `MIN_SIZE_TEST`); scores are compared as they come.

    ZS3Net tests pictures as they are; that all are scored at one size is ours. Background, where it is a
    class, is asked for by its name. Of the embedded scenes as `scenes` has them.
    """
    return Protocol(
        name="seen-unseen",
        short_side=_own({"scenes": 112, "coco-stuff171": 640}, benchmark, 512),
        window=0,
        names="named",
        templates="bare" if benchmark.name == "scenes" else "simple",
        softmax="none",
    )


def photo(benchmark: Benchmark) -> Protocol:
    """Ours, for `zeroseg segment`: the whole picture, at the side that the model was trained at."""
    return Protocol(name="photo", short_side=0, window=0)


PROTOCOLS: dict[str, Callable[[Benchmark], Protocol]] = {
    "zeroseg": zeroseg,
    "groupvit": groupvit,
    "tcl": tcl,
    "tcl-pamr": tcl_pamr,
    "sclip": sclip,
    "honest": honest,
    "scenes": scenes,
    "seen-unseen": seen_unseen,
    "photo": photo,
}


def protocol_named(name: str, benchmark: Benchmark) -> Protocol:
    """A protocol as it is for a benchmark. Raises InputError naming those that exist."""
    if name not in PROTOCOLS:
        raise InputError(f"protocol {name!r} is unknown: choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name](benchmark)


def changes(protocol: Protocol, benchmark: Benchmark) -> dict[str, object]:
    """Fields in which it differs from the protocol whose name it has, with their values."""
    named = dataclasses.asdict(protocol_named(protocol.name, benchmark))
    return {k: v for k, v in dataclasses.asdict(protocol).items() if v != named[k]}


@dataclass(frozen=True, kw_only=True)
class ProtocolConfig:
    """A protocol by its name, and fields in which it is changed; None keeps the protocol's own."""

    name: str = "zeroseg"
    """One of `zeroseg.PROTOCOLS`; the fields below are those of `Protocol`."""
    short_side: int | None = None
    longest: int | None = None
    window: int | None = None
    stride: int | None = None
    names: Names | None = None
    templates: str | None = None
    logit_scale: float | None = None
    softmax: Softmax | None = None
    background_threshold: float | None = None
    """With it `threshold_from` is "stated"; "held-out" leaves the protocol's own out."""
    threshold_from: ThresholdFrom | None = None
    threshold_rule: ThresholdRule | None = None
    area_threshold: float | None = None
    pamr: tuple[int, ...] | None = None
    absent_classes: AbsentClasses | None = None

    def on(self, benchmark: Benchmark) -> Protocol:
        """The protocol as it is for a benchmark, changed. Raises InputError as `Protocol`, and for
        an unknown name."""
        changed = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        if self.background_threshold is not None:
            changed.setdefault("threshold_from", "stated")
        elif self.threshold_from == "held-out":
            changed["background_threshold"] = None
        return dataclasses.replace(protocol_named(self.name, benchmark), **changed)
