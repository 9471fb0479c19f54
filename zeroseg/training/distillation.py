"""Distillation from a teacher's view embeddings: the objective of ZeroSeg's student."""

from dataclasses import dataclass

from torch import nn

from zeroseg.data.batch import Batch
from zeroseg.data.views import cell_overlap
from zeroseg.models.zeroseg import StudentOutput
from zeroseg.training import losses
from zeroseg.training.objective import Step
from zeroseg.training.objectives import (
    ViewComposition,
    Views,
    ZeroSegPaper,
    grouping_figures,
    nearest_view_figures,
)
from zeroseg.training.teacher import Teacher


@dataclass(frozen=True)
class DistillationObjective:
    """The student's losses against the views of a teacher, which nothing wraps, trains or saves."""

    teacher: Teacher
    losses: ZeroSegPaper | ViewComposition
    patch_size: int

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Losses; how the batch was grouped; and the scale at which segments' nearest views lie."""
        pixels, grids = batch.pixels, self.teacher.grids
        embeddings = self.teacher.embed(batch)
        output: StudentOutput = model(pixels)
        size = (pixels.shape[2], pixels.shape[3])
        overlap = cell_overlap(grids, size, self.patch_size).to(embeddings.device)
        views = Views(embeddings, grids, overlap)
        found = self.losses(output, views, step)
        if output.reconstruction is not None:
            target = losses.patchify(pixels, self.patch_size)
            loss = losses.reconstruction_loss(output.reconstruction, target, output.visible)
            found["reconstruction"] = self.losses.reconstruction_weight * loss
        figures = grouping_figures(output.assignment.detach())
        return Step(found, figures | nearest_view_figures(output.segments.detach(), views))
