"""Distillation: a model and a batch in, named losses out."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.data.views import cell_overlap
from zeroseg.models.zeroseg import StudentOutput
from zeroseg.training import losses
from zeroseg.training.objectives import Losses, Terms, Views, grouping_health, nearest_view_health
from zeroseg.training.teacher import Teacher


@runtime_checkable
class Objective(Protocol):
    """All that the training loop knows of a method; a baseline brings another of these."""

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Losses:
        """Weighted losses by name, to be summed."""
        ...

    def health(self) -> dict[str, Float[Tensor, ""]]:
        """Figures worth watching of the last call, never differentiated."""
        ...


class Distillation:
    """ZeroSeg's objective. Holds the teacher, so that nothing wraps, trains or saves it."""

    def __init__(self, teacher: Teacher, terms: Terms, patch_size: int) -> None:
        self.teacher, self.terms, self.patch_size = teacher, terms, patch_size
        self._last: tuple[Tensor, Tensor, Views] | None = None

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Losses:
        """Losses of one batch."""
        embeddings = self.teacher.embed(batch)
        pixels = batch.pixels
        output: StudentOutput = model(pixels)
        size = (pixels.shape[2], pixels.shape[3])
        overlap = cell_overlap(self.teacher.grids, size, self.patch_size).to(embeddings.device)
        views = Views(embeddings, self.teacher.grids, overlap)
        result = self.terms(output, views, step)
        if output.reconstruction is not None:
            target = losses.patchify(pixels, self.patch_size)
            loss = losses.reconstruction_loss(output.reconstruction, target, output.visible)
            result["reconstruction"] = self.terms.reconstruction_weight * loss
        self._last = output.segments.detach(), output.assignment.detach(), views
        return result

    def health(self) -> dict[str, Float[Tensor, ""]]:
        """How the last batch was grouped, and at which scale its segments' nearest views lie."""
        if self._last is None:
            return {}
        segments, assignment, views = self._last
        return grouping_health(assignment) | nearest_view_health(segments, views)
