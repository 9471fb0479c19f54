"""Numbers that others published, each with its protocol and its source; none was measured here.

Two numbers compare when they share benchmark and protocol. Even inside a family of protocols, class
names and thresholds differ between repositories, and scores by points.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Signal = Literal[
    "images and CLIP", "image-text pairs", "training-free", "training-free, with masks"
]
"""What a method learns from. `with masks`: it asks a class-agnostic mask model, SAM or EntitySeg."""
Certainty = Literal["READ", "READ-2", "REM"]

CERTAINTIES: dict[Certainty, str] = {
    "READ": "read in the paper or its repository",
    "READ-2": "read in another paper",
    "REM": "remembered, not read again",
}
FAMILIES = {
    "zeroseg": "short side 448, windows of 448 every 224 pixels, background thresholds .95, .05 and "
    ".35 on voc21, context60 and coco-object",
    "groupvit": "short side 448, windows of 448 every 224 pixels, one template, background "
    "thresholds .95, .35 and .95 on voc21, context60 and coco-object",
    "tcl": "GroupViT's sizes and windows, templates of its own, one background threshold",
    "tcl-pamr": "as tcl, refined by PAMR",
    "sclip": "short side 336 (coco-stuff171 448, cityscapes19 560), windows of 224 every 112 pixels, 80 "
    "templates, engineered synonyms, and words for what is background",
    "sclip-pamr": "as sclip, refined by PAMR",
    "maskclip": "85 templates, windows of 512 or 520 pixels",
}
"""Protocols in words; names as in `zeroseg.evaluation.protocols` where that has them."""
BENCHMARKS = ("voc21", "context60", "coco-object", "voc20") + (
    "context59",
    "coco-stuff171",
    "cityscapes19",
    "ade150",
)
"""Those with published numbers, in the order in which `_on` takes them."""


@dataclass(frozen=True)
class Published:
    """A method's row in a table of a paper."""

    method: str
    signal: Signal
    protocol: str
    """A name in `FAMILIES`; "zeroseg" are the paper's own rows, which a full run should reach."""
    certainty: Certainty
    source: str
    miou: Mapping[str, float]
    """Percent by benchmark."""


def _on(*values: float | None) -> dict[str, float]:
    """Values by benchmark; None, or nothing at the end, where there is none to be sure of."""
    pairs = zip(BENCHMARKS, values, strict=False)
    return {benchmark: value for benchmark, value in pairs if value is not None}


_PAPER = "Chen et al., ICCV 2023, Table"
_CORRCLIP = "repository zdk258/CorrCLIP"
_DECLIP = "compared in DeCLIP's paper"

# The paper's introduction has 20.6 and 20.4 where its Table 1 has 20.4 and 20.2.
_ZEROSEG: list[Published] = [
    Published(
        "ZeroSeg, ImageNet-1K",
        "images and CLIP",
        "zeroseg",
        "READ",
        f"{_PAPER} 1",
        _on(40.8, 20.4, 20.2),
    ),
    Published(
        "ZeroSeg, CC12M + ImageNet-1K",
        "images and CLIP",
        "zeroseg",
        "READ",
        f"{_PAPER} 6",
        _on(42.9, 21.8, 22.1),
    ),
    Published(
        "ZeroSeg, CC3M + COCO",
        "images and CLIP",
        "zeroseg",
        "READ",
        f"{_PAPER} 1",
        _on(37.3, 19.7, 17.8),
    ),
]
_GROUPVIT: list[Published] = [
    Published(
        "GroupViT, CC12M + YFCC",
        "image-text pairs",
        "groupvit",
        "READ",
        "repository NVlabs/GroupViT",
        _on(52.3, 22.4, 24.3),
    ),
    Published(
        "GroupViT, CC12M + RedCaps",
        "image-text pairs",
        "groupvit",
        "READ",
        "repository NVlabs/GroupViT",
        _on(50.8, 23.7, 27.5),
    ),
    Published(
        "GroupViT, CC12M", "image-text pairs", "groupvit", "READ-2", f"{_PAPER} 6", _on(41.1)
    ),
]
# CLIP-DINOiser finds background in a way of its own: only benchmarks without background are here.
_TCL: list[Published] = [
    Published(
        "TCL",
        "image-text pairs",
        "tcl",
        "READ-2",
        _DECLIP,
        _on(51.2, 24.3, 30.4, 77.5, 30.3, 19.6, 23.5, 14.9),
    ),
    Published(
        "TCL + PAMR",
        "image-text pairs",
        "tcl-pamr",
        "READ-2",
        "compared in CaR's and T2S's papers",
        _on(55.0, 30.4, 31.6, 83.2, 33.9, None, 24.0, 17.1),
    ),
    Published(
        "TCL + PAMR",
        "image-text pairs",
        "tcl-pamr",
        "REM",
        "TCL's paper",
        _on(None, None, None, None, None, 22.4),
    ),
    Published(
        "CLIP-DINOiser",
        "images and CLIP",
        "tcl",
        "READ-2",
        _DECLIP,
        _on(None, None, None, 80.9, 35.9, 24.6, 31.7, 20.0),
    ),
]
# ClearCLIP's sizes and thresholds on benchmarks with background are its own: left out.
_SCLIP: list[Published] = [
    Published(
        "CLIP, as it is",
        "training-free",
        "sclip",
        "READ-2",
        _DECLIP,
        _on(None, None, None, 49.1, 11.2, 5.7, 6.7, 3.2),
    ),
    Published(
        "MaskCLIP",
        "training-free",
        "sclip",
        "REM",
        "compared in SCLIP's paper",
        _on(43.4, 23.2, 20.6, 74.9, 26.4, 16.7, 24.9, 11.9),
    ),
    Published(
        "SCLIP",
        "training-free",
        "sclip",
        "READ",
        "repository wangf3014/SCLIP",
        _on(59.63, 31.74, 33.52, 81.54, 34.46, 22.77, 32.34, 16.45),
    ),
    Published(
        "ClearCLIP",
        "training-free",
        "sclip",
        "REM",
        "ClearCLIP's paper",
        _on(None, None, None, 80.9, 35.9, 23.9, 30.0, 16.7),
    ),
    Published(
        "NACLIP",
        "training-free",
        "sclip",
        "READ-2",
        "compared in other papers",
        _on(58.9, 32.2, 33.2, 79.7, 35.2, 23.3, 35.5, 17.4),
    ),
    Published(
        "NACLIP + PAMR",
        "training-free",
        "sclip-pamr",
        "READ",
        "repository sinahmr/NACLIP",
        _on(64.07, 34.99, 36.19, 83.03, 38.35, 25.69, 38.27, 19.05),
    ),
    Published(
        "LaVG",
        "training-free",
        "sclip",
        "READ",
        "repository dahyun-kang/lavg",
        _on(62.1, 31.6, 34.2, 82.5, 34.7, 23.2, None, 15.8),
    ),
    Published(
        "SC-CLIP, ViT-B/16",
        "training-free",
        "sclip",
        "READ-2",
        "compared in other papers",
        _on(64.6, 36.8, 37.7, 84.3, 40.1, 26.6, 41.0, 20.1),
    ),
    Published(
        "CorrCLIP, ViT-B, SAM2",
        "training-free, with masks",
        "sclip",
        "READ",
        _CORRCLIP,
        _on(74.8, 44.2, 43.7, 88.8, 48.8, 31.6, 49.4, 26.9),
    ),
    Published(
        "CorrCLIP, ViT-L, EntitySeg",
        "training-free, with masks",
        "sclip",
        "READ",
        _CORRCLIP,
        _on(78.9, 46.8, 51.0, 92.0, 53.0, 34.9, 53.7, 32.6),
    ),
    Published(
        "CorrCLIPv2, ViT-L, COCO bank",
        "training-free, with masks",
        "sclip",
        "READ",
        _CORRCLIP,
        _on(82.3, 51.1, 58.0, 93.2, 56.8, 39.1, 59.2, 36.5),
    ),
]
_MASKCLIP: list[Published] = [
    Published(
        "MaskCLIP, ViT-B/16",
        "training-free",
        "maskclip",
        "READ",
        "repository chongzhou96/MaskCLIP",
        _on(None, None, None, 49.5, 21.7, 12.5),
    ),
]
PUBLISHED: tuple[Published, ...] = (*_ZEROSEG, *_GROUPVIT, *_TCL, *_SCLIP, *_MASKCLIP)
"""By protocol, the paper's rows first."""
