"""Who is scored in the quickstart: students alone, untrained readings of their teacher, and students with
the teacher at test."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

from configs.quickstart import method as METHOD
from configs.quickstart import teacher as TEACHER
from pipelines.run.decontamination import recorded
from pipelines.scoring.models import EvaluatedModel
from zeroseg.data.views import ViewSet
from zeroseg.evaluation.corrected import CorrectedStudent
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.results import ModelIdentity
from zeroseg.evaluation.segmenters import (
    CorrectedCLIP,
    DenseCLIP,
    Student,
    ViewAverage,
    clip_segmenter,
)
from zeroseg.models.clip import CLIP
from zeroseg.models.dense import Dense
from zeroseg.models.segmenter import Segmenter
from zeroseg.models.zeroseg import Readout, ZeroSeg

READOUTS: tuple[Readout, ...] = ("segments", "patches", "combined")
CORRECTION = Correction(kind="mean")
"""Of the second part of the table, in which the teacher is there at test: the best on the validation split
(docs/ablations.md)."""
AT_TEST = f"{CORRECTION}, teacher at test"


class Contender(NamedTuple):
    """A row of the table, and where its results go."""

    row: str
    segmenter: Segmenter
    folder: Path

    def model(self, clip: CLIP) -> EvaluatedModel:
        """Itself, as it is evaluated; `clip` is the teacher."""
        corrected = isinstance(self.segmenter, CorrectedStudent)
        kind = "student" if corrected or isinstance(self.segmenter, Student) else "clip"
        correction = CORRECTION if corrected else None
        return EvaluatedModel(
            name=self.row,
            identity=ModelIdentity(kind=kind, method=self.row, correction=correction),
            clip=clip,
            segmenter=self.segmenter,
            folder=self.folder,
            decontamination=recorded(self.folder),
        )


def contenders(students: Mapping[Path, ZeroSeg], clip: CLIP, untrained: Path) -> list[Contender]:
    """All of them, in the order of the table; students by their folders, the untrained into one."""
    found = [
        Contender(f"student, {readout}", Student(model, readout), folder)
        for readout in READOUTS
        for folder, model in students.items()
    ]
    found += [Contender(row, segmenter, untrained) for row, segmenter in readings(clip)]
    found += [
        Contender(
            f"student, {readout}, {AT_TEST}",
            CorrectedStudent(Student(model, readout), clip, CORRECTION),
            folder,
        )
        for readout in READOUTS
        for folder, model in students.items()
    ]
    return found


def before_training() -> ZeroSeg:
    """A student as it starts: it reads patches as its teacher's MaskCLIP does."""
    model = METHOD.model()
    METHOD.start_trunk(model.trunk, TEACHER.clip)
    return model.eval()


def readings(clip: CLIP) -> Iterator[tuple[str, Segmenter]]:
    """What the trained student has to beat: every reading of its teacher without training."""
    model = before_training()
    yield "student before training, segments", Student(model, "segments")
    yield "student before training, patches", Student(model, "patches")
    yield "one label for the whole image", clip_segmenter(clip, "whole")
    for grid in (2, 3, 4):
        cells = ViewAverage(clip, ViewSet(grids=(grid,)))
        yield f"{grid}x{grid} cells named by their views", cells
    yield "overlapping views, their mean at each pixel", clip_segmenter(clip, "views")
    yield "teacher, fused with its whole image and cells", clip_segmenter(clip, "fused")
    for method in get_args(Dense):
        yield f"teacher, {method}", clip_segmenter(clip, method)
    for grid in (2, 3):
        yield f"teacher, maskclip on {grid}x{grid} crops", DenseCLIP(clip, "maskclip", grid)
    yield f"teacher, maskclip, {AT_TEST}", CorrectedCLIP(clip, CORRECTION)
