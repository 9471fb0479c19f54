"""The rows of docs/ablations.md: what is trained, and how what was trained is read.

Everything differs in one thing from the quickstart's student made cheap: pictures of 112 pixels as they
are, 60 % of the patches hidden. Where that would leave nothing to compare, the name says in what else.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from configs.quickstart import config as RUN
from configs.quickstart import method as METHOD
from configs.quickstart import teacher as TEACHER
from configs.scenes_scratch import method as SCRATCH
from zeroseg.data.views import ViewSet, Windows
from zeroseg.evaluation.correction import Correction
from zeroseg.methods.choice import Choice
from zeroseg.methods.distillation import Distillation
from zeroseg.models.trunk import Trainable
from zeroseg.training.dense_target import DenseTarget
from zeroseg.training.objectives import ViewComposition, ZeroSegPaper

GRIDS = TEACHER.views
WITH_WINDOWS = ViewSet(grids=GRIDS.grids, windows=(Windows(size=0.25, stride=0.125),))
"""Every view that a variant is trained with."""
SHIFTED = ViewSet(grids=(), windows=(Windows(size=0.4, stride=0.3),))
"""Of dense targets: 9 windows where the default has 25, to save time."""
TERM = 8.0
"""Weight of a term that is added, that of the others that name patches."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a trained student is read."""

    name: str = ""
    """What the row is called beside the variant; empty is the variant's own."""
    choice: Choice = dataclasses.field(default_factory=Choice)
    correction: Correction = dataclasses.field(default_factory=Correction)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is trained once for each seed."""

    method: Distillation
    batch_size: int = RUN.data.batch_size
    readings: tuple[Reading, ...] = (Reading(),)

    def row(self, name: str, reading: Reading) -> str:
        """A row's name."""
        return f"{name}, {reading.name}" if reading.name else name

    def but(self, *, student: dict[str, Any] | None = None, **method: Any) -> "Variant":
        """The variant that differs from this in the named fields of its student and of its method."""
        shape = dataclasses.replace(self.method.student, **(student or {}))
        return Variant(method=dataclasses.replace(self.method, student=shape, **method))


BASE = Variant(method=METHOD).but(
    student={"image_size": 112, "zoom": 1.0, "mask_ratio": 0.6}, view_size=0
)
COUPLED = BASE.but(student={"detached_head": False})
PAPER = COUPLED.but(
    student={
        "assignment": "hard",
        "cosine_assignment": False,
        "token_std": 0.02,
        "patch_embeddings": False,
        "decoder_depth": 2,
        "decoder_width": 64,
        "decoder_heads": 2,
    },
    losses=ZeroSegPaper(),
)
"""The paper's objective, grouping and decoder on the teacher's tower."""
SPREAD = {"assignment": "soft", "cosine_assignment": True, "token_std": 1.0}
"""Our grouping, in which segment tokens differ from the beginning."""

CORRECTIONS = tuple(
    Reading(name=f"correction {kind}, teacher at test", correction=Correction(kind=kind))
    for kind in ("mean", "solve", "fused")
)
ALONE = {
    "interpolation 0.7": Choice(interpolation=0.7),
    "zoom 1.5": Choice(zoom=1.5),
    "regrouping 20": Choice(regrouping=20.0),
    "context 0.3": Choice(context=(0.3, 0.0)),
    "all four": Choice(interpolation=0.7, zoom=1.5, regrouping=20.0, context=(0.3, 0.0)),
}
READINGS = (Reading(), *(Reading(name=n, choice=c) for n, c in ALONE.items()), *CORRECTIONS)


def variants() -> dict[str, Variant]:
    """Every variant by name, in the order of the table."""
    scratch = dataclasses.replace(SCRATCH, teacher=TEACHER)
    return {
        "start: scratch": Variant(method=scratch),
        "start: tower (base)": dataclasses.replace(BASE, readings=READINGS),
        "mask 0 %": BASE.but(student={"mask_ratio": 0.0}),
        "mask 30 %": BASE.but(student={"mask_ratio": 0.3}),
        **_parts(),
        "head not detached": COUPLED,
        **_views(),
        **_terms(),
        **_papers(),
    }


def _parts() -> dict[str, Variant]:
    rate = METHOD.trainable.rate
    none = Trainable(blocks=0, patch_embedding=False, positions=False, rest=False, rate=rate)
    parts = {
        "trains the last 2 blocks": dataclasses.replace(none, blocks=2, rest=True),
        "trains patch embedding and positions": dataclasses.replace(
            none, patch_embedding=True, positions=True
        ),
        "trains nothing but the head": none,
    }
    found = {name: BASE.but(trainable=part) for name, part in parts.items()}
    untouched = found["trains nothing but the head"]
    both = dataclasses.replace(untouched, readings=(Reading(), *CORRECTIONS))
    return found | {"trains nothing but the head": both}


def _views() -> dict[str, Variant]:
    sets = {
        "views 1x1": ViewSet(grids=(1,)),
        "views 1x1 + 2x2": ViewSet(grids=(1, 2)),
        "views all grids + windows 0.25:0.125": WITH_WINDOWS,
    }
    return {
        name: BASE.but(teacher=dataclasses.replace(TEACHER, views=views))
        for name, views in sets.items()
    }


def _terms() -> dict[str, Variant]:
    def weighed(variant: Variant, **weights: Any) -> Variant:
        return variant.but(losses=ViewComposition(**weights))

    def dense(reading: Any) -> Variant:
        teacher = dataclasses.replace(TEACHER, dense=DenseTarget(reading=reading, views=SHIFTED))
        return weighed(BASE, dense_weight=TERM).but(teacher=teacher)

    return {
        "without composition": weighed(BASE, composition_weight=0.0),
        "without agreement": weighed(BASE, agreement_weight=0.0),
        "without multi_scale": weighed(BASE, multi_scale_weight=0.0),
        "without patches, head not detached": weighed(COUPLED, patches_weight=0.0),
        "with relations": weighed(BASE, relations_weight=TERM),
        "with dense maskclip": dense("maskclip"),
        "with dense fused": dense("fused"),
    }


def _papers() -> dict[str, Variant]:
    light = dataclasses.replace(ZeroSegPaper(), matching_weight=0.1)
    return {
        "paper: hard": PAPER,
        "paper: soft": PAPER.but(student={"assignment": "soft"}),
        "paper: soft, cosine, spread tokens": PAPER.but(student=SPREAD),
        "paper: soft, cosine, spread tokens, matching 0.1": PAPER.but(student=SPREAD, losses=light),
        "paper: hard, matching 0.1, batch 64": dataclasses.replace(
            PAPER.but(losses=light), batch_size=64
        ),
    }
