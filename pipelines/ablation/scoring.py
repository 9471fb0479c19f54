"""Scores of a trained student in all its readouts, from one pass over the validation images each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.ablation.variants import Reading
from zeroseg.data.batch import Batch
from zeroseg.data.views import cut_views, view_overlap
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.evaluate import tally_batches
from zeroseg.evaluation.scores import scores_of
from zeroseg.evaluation.tally import concatenate
from zeroseg.evaluation.task import Task
from zeroseg.methods.choice import interpolated, started_trunk
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIP
from zeroseg.models.readouts import Readout, StudentOutput, cosines
from zeroseg.models.zeroseg import ZeroSeg
from zeroseg.training.losses import grouping_figures

FIGURES = ("segments_used", "largest_share")
"""Of `grouping_figures`, as the student answers."""


@dataclass(frozen=True)
class Answered:
    """The segmenter of images about which the student has already spoken."""

    output: StudentOutput
    readout: Readout
    patch_share: float
    multiple: int

    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines by the readout, of the images that the output is of."""
        size = (images.shape[2], images.shape[3])
        share = self.patch_share
        return cosines(self.output, queries.embeddings, self.readout, size=size, patch_share=share)


@dataclass(frozen=True)
class Validation:
    """The images on which choices are made, and the teacher that may be there."""

    batches: Sequence[Batch]
    task: Task
    clip: CLIP

    @cached_property
    def views(self) -> list[Float[Tensor, "batch view embed"]]:
        """The teacher's embeddings of each batch's views, those of every `Correction` here."""
        shown, side = Correction().views, self.clip.image_size
        return [self.clip.encode_views(cut_views(b.pixels, shown, side)) for b in self.batches]

    def rows(
        self, method: Distillation, model: ZeroSeg, readings: Sequence[Reading]
    ) -> dict[str, dict[str, float]]:
        """Scores of each reading by its name: `segments/seen` and so on in percent, and `FIGURES`."""
        trained = {name: value.clone() for name, value in model.state_dict().items()}
        rows = {}
        for reading in readings:
            share, weights = reading.choice.interpolation, trained
            if share != 1:
                weights = interpolated(trained, started_trunk(method, self.clip.config), share)
            model.load_state_dict(weights)
            model.config = reading.choice.method(method).student
            rows[reading.name] = self._row(model, method.readouts, reading.correction)
        return rows

    @torch.no_grad()
    def _row(
        self, model: ZeroSeg, readouts: Sequence[Readout], correction: Correction
    ) -> dict[str, float]:
        images = sum(len(batch.keys) for batch in self.batches)
        tallies, row = {readout: [] for readout in readouts}, dict.fromkeys(FIGURES, 0.0)
        for index, batch in enumerate(self.batches):
            output = self._output(model, index, correction)
            figures = grouping_figures(output.assignment)
            for name in FIGURES:
                row[name] += len(batch.keys) / images * float(figures[f"grouping/{name}"])
            for readout, counts in tallies.items():
                share, multiple = model.config.patch_share, model.trunk.patch_size
                known = Answered(output, readout, share, multiple)
                counts.append(tally_batches(known, [batch], self.task, batch.pixels.device))
        for readout, counts in tallies.items():
            scores = scores_of(concatenate(counts), self.task)
            assert scores.seen_miou is not None
            assert scores.unseen_miou is not None
            row[f"{readout}/seen"] = 100 * scores.seen_miou
            row[f"{readout}/unseen"] = 100 * scores.unseen_miou
        return row

    def _output(self, model: ZeroSeg, index: int, correction: Correction) -> StudentOutput:
        pixels = self.batches[index].pixels
        if correction.kind == "none":
            return model.read(pixels)
        output, patch = model.segment(pixels), model.trunk.patch_size
        rows, columns = output.grid
        overlap = view_overlap(correction.views, (rows * patch, columns * patch), patch)
        return correction.corrected(output, overlap.to(pixels.device), self.views[index])
