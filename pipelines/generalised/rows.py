"""Rows of the table, and the orders of them that the papers report; the same for every world."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Score = Literal["seen_miou", "unseen_miou", "hiou"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A row: a stage's model, and how it is read."""

    row: str
    method: str
    """Whose stages: the end of a config's name, `zegformer` of configs/scenes_zegformer.py."""
    stage: str
    readout: str = ""
    """Empty is the method's own, of which pictures are kept."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the method that are another at test."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One row above another, as a paper reports it, or as we ask."""

    claim: str
    source: str
    """What the paper has, and where; empty where it is ours."""
    higher: str
    lower: str
    score: Score = "unseen_miou"


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A row above or below a number of percent, as a paper reports it."""

    claim: str
    source: str
    row: str
    above: float | None = None
    below: float | None = None
    score: Score = "unseen_miou"


STUDENT = "student, no annotation"
CORRECTED = "student, no annotation, teacher at test"
UNTRAINED = {
    "MaskCLIP, nothing trained": "maskclip",
    "overlapping views, nothing trained": "views",
    "MaskCLIP fused with whole image and cells, nothing trained": "fused",
    "MaskCLIP corrected by its views, nothing trained": "mean",
}
"""The untrained bar by its rows, and how the CLIP is read; the last two are the strongest elsewhere
(docs/quickstart.md, docs/real_photos.md) and ask the CLIP about views at test."""


def readings(one: str, several: str) -> tuple[Reading, ...]:
    """Rows of trained methods, in the order of the table; behind them are those without annotation.

    `one` and `several` are names of templates for the regions of zsseg without a learnt prompt.
    """
    return (
        Reading(row="DeepLab on seen classes", method="zs3net", stage="seen"),
        Reading(row="ZS3Net", method="zs3net", stage="generator"),
        Reading(row="ZS5Net (self-training)", method="zs3net", stage="again"),
        Reading(row="ZegFormer, queries alone", method="zegformer", stage="seen", readout="query"),
        Reading(
            row="ZegFormer, regions alone", method="zegformer", stage="seen", readout="regions"
        ),
        Reading(row="ZegFormer, fused, crop", method="zegformer", stage="seen", readout="crop"),
        Reading(row="ZegFormer, fused, mask", method="zegformer", stage="seen", readout="mask"),
        Reading(row="ZegFormer, fused, cropmask", method="zegformer", stage="seen"),
        Reading(
            row="ZegFormer, fused, not calibrated",
            method="zegformer",
            stage="seen",
            readout="uncalibrated",
        ),
        Reading(row="zsseg, queries alone", method="zsseg", stage="seen", readout="query"),
        Reading(row="zsseg, regions alone", method="zsseg", stage="seen", readout="regions"),
        Reading(
            row="zsseg, one sentence",
            method="zsseg",
            stage="seen",
            changes={"prompt_from": None, "region_templates": one},
        ),
        Reading(
            row="zsseg, several sentences",
            method="zsseg",
            stage="seen",
            changes={"prompt_from": None, "region_templates": several},
        ),
        Reading(row="zsseg, learnt prompt", method="zsseg", stage="seen"),
        Reading(row="zsseg, self-training", method="zsseg", stage="again"),
        Reading(row="ZegCLIP-like", method="zegclip", stage="seen"),
    )


BUCHER = "Bucher et al., NeurIPS 2019"
DING = "Ding et al., CVPR 2022"
XU = "Xu et al., ECCV 2022"

CLAIMS: tuple[Order | Bound, ...] = (
    Bound(
        claim="a network of seen classes alone does not find unseen ones",
        source=f"{BUCHER}: 3.2 with two unseen classes of VOC, 1.9 with ten",
        row="DeepLab on seen classes",
        below=5.0,
    ),
    Order(
        claim="generated features raise unseen classes",
        source=f"{BUCHER}: from 3.2 to 35.4 with two unseen classes of VOC",
        higher="ZS3Net",
        lower="DeepLab on seen classes",
    ),
    Bound(
        claim="generated features find unseen classes",
        source=f"{BUCHER}: 35.4 and 18.1 with two and ten unseen classes of VOC",
        row="ZS3Net",
        above=15.0,
    ),
    Order(
        claim="self-training raises unseen classes (ZS5Net)",
        source="CaGNet's repository: from 17.65 to 21.15 on VOC, from 9.53 to 10.55 on COCO-Stuff",
        higher="ZS5Net (self-training)",
        lower="ZS3Net",
    ),
    Order(
        claim="regions that a CLIP sees raise unseen classes",
        source=f"{DING}: from 21.4 to 33.2 on COCO-Stuff",
        higher="ZegFormer, fused, cropmask",
        lower="ZegFormer, queries alone",
    ),
    Order(
        claim="a mask tells more than a crop",
        source=f"{DING}: 31.0 and 19.7 on COCO-Stuff",
        higher="ZegFormer, fused, mask",
        lower="ZegFormer, fused, crop",
    ),
    Order(
        claim="a cropped mask tells more than a mask",
        source=f"{DING}: 33.1 and 31.0 on COCO-Stuff",
        higher="ZegFormer, fused, cropmask",
        lower="ZegFormer, fused, mask",
    ),
    Order(
        claim="calibration raises the harmonic mean",
        source=f"{DING}, whose code takes 0.1 from seen classes",
        higher="ZegFormer, fused, cropmask",
        lower="ZegFormer, fused, not calibrated",
        score="hiou",
    ),
    Order(
        claim="a learnt prompt is above several sentences",
        source=f"{XU}, ablation of prompts",
        higher="zsseg, learnt prompt",
        lower="zsseg, several sentences",
    ),
    Order(
        claim="several sentences are above one",
        source=f"{XU}, ablation of prompts",
        higher="zsseg, several sentences",
        lower="zsseg, one sentence",
    ),
    Order(
        claim="both classifiers are above the queries",
        source=f"{XU}, ablation of the ensemble",
        higher="zsseg, learnt prompt",
        lower="zsseg, queries alone",
        score="hiou",
    ),
    Order(
        claim="both classifiers are above the regions",
        source=f"{XU}, ablation of the ensemble",
        higher="zsseg, learnt prompt",
        lower="zsseg, regions alone",
        score="hiou",
    ),
    Order(
        claim="self-training raises unseen classes (zsseg)",
        source=f"{XU}: from 72.5 to 78.1 on VOC, from 36.3 to 43.6 on COCO-Stuff",
        higher="zsseg, self-training",
        lower="zsseg, learnt prompt",
    ),
)

ABOVE_NOTHING: tuple[Order, ...] = tuple(
    Order(
        claim="a training is worth more than none", source="", higher=ours, lower=bar, score="hiou"
    )
    for ours in (STUDENT, CORRECTED)
    for bar in UNTRAINED
)
"""What no paper reports: the student beside every reading of its teacher."""
