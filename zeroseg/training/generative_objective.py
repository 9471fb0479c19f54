"""What trains ZS3Net's generators, and the classifier that learns unseen classes from them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError
from zeroseg.models.generator import GeneratorConfig
from zeroseg.models.zs3net import Answered, Asked, AskedRegions
from zeroseg.training.class_pixels import ClassPixels, class_pixels
from zeroseg.training.label_graph import RegionGraphs, region_graphs
from zeroseg.training.mmd import discrepancy
from zeroseg.training.objective import Figures, Step
from zeroseg.training.pixel_losses import cell_labels, share_right
from zeroseg.training.randomness import generator_for

STRIDE = 4
"""Of the features."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How much is generated, and what it counts. Raises InputError for numbers below 1."""

    pixels: int = 128
    """Most pixels of a class of an image that the generator imitates."""
    slots: int = 32
    """Ours: most classes of an image that it imitates, the most frequent ones."""
    unseen_pixels: int = 128
    """Ours: features generated of every unseen class for each image. The paper generates one for each
    pixel that the label maps of unseen classes call so; here nothing reads those."""
    unseen_weight: float = 100.0
    """Of a generated feature of an unseen class in the classifier's cross entropy; a real one has 1."""
    context_weight: float = 0.0
    """Of the discrepancy of regions that know their neighbours, 0.1 in the paper; 0 leaves out the
    generator of these."""
    relabelled: float = 0.5
    """Ours: share of the regions of seen classes that are taken for such of unseen ones to generate their
    features in context."""

    def __post_init__(self) -> None:
        for name in ("pixels", "slots", "unseen_pixels"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"generation.{name} is {getattr(self, name)}: it must be at least 1"
                )


@dataclass(frozen=True)
class GenerativeLearning:
    """The generator imitates real features of seen classes; the classifier learns from real features of
    those and generated ones of unseen classes. Both in every step, as in the paper."""

    embeddings: Float[Tensor, "class embed"]
    """Of every class of the benchmark, background's too."""
    unseen: tuple[int, ...]
    """Labels of the unseen classes, of whose pixels nothing is known."""
    noise: GeneratorConfig
    generation: Generation

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Discrepancies and the classifier's loss; shares of the labelled cells, and of the generated
        features of unseen classes, that it knows."""
        assert batch.labels is not None
        height, width = batch.images.shape[2:]
        cells = cell_labels(batch.labels, (-(-height // STRIDE), -(-width // STRIDE)))
        draws = [generator_for(key, step, cells.device) for key in batch.keys]
        shown = class_pixels(
            cells,
            torch.stack(
                [torch.rand(cells[0].numel(), generator=g, device=g.device) for g in draws]
            ),
            classes=len(self.embeddings),
            slots=self.generation.slots,
            pixels=self.generation.pixels,
        )
        graphs = None
        if self.generation.context_weight:
            graphs = region_graphs(cells).relabelled(self.unseen, self.generation.relabelled, draws)
        answered: Answered = model(batch.pixels, self._asked(shown, graphs, draws))
        losses = {
            "discrepancy": discrepancy_of_pixels(shown, answered),
            "classifier": self._classification(cells, graphs, answered),
        }
        if graphs is not None:
            far = discrepancy_of_regions(graphs, answered)
            losses["context"] = self.generation.context_weight * far
        return Step(losses, self._figures(cells, answered))

    def _asked(
        self,
        shown: ClassPixels,
        graphs: RegionGraphs | None,
        draws: list[torch.Generator],
    ) -> Asked:
        """A feature for every pixel that is imitated, then those of the unseen classes."""
        seen = self.embeddings[shown.classes].repeat_interleave(shown.places.shape[2], dim=1)
        unseen = self.embeddings[self._unseen_labels()].expand(len(draws), -1, -1)
        embeddings = torch.cat([seen, unseen], dim=1)
        noise = torch.stack([self.noise.draw(embeddings.shape[1], generator=g) for g in draws])
        if graphs is None:
            return Asked(embeddings, noise)
        maps = torch.stack([graphs.labels, graphs.with_unseen], dim=1)
        # Padding must change no number, so noise is drawn for the regions that an image has.
        counts = graphs.known.sum(dim=1).tolist()
        drawn = [
            F.pad(self.noise.draw(2, n, generator=g), (0, 0, 0, maps.shape[2] - n))
            for n, g in zip(counts, draws, strict=True)
        ]
        regions = AskedRegions(self.embeddings[maps], torch.stack(drawn), graphs.touching[:, None])
        return Asked(embeddings, noise, regions)

    def _classification(
        self, cells: Int[Tensor, "batch rows columns"], graphs: RegionGraphs | None, said: Answered
    ) -> Float[Tensor, ""]:
        """Cross entropy of real cells and of generated features of unseen classes, by their weights;
        mean over those of an image, then over images."""
        weight = self.generation.unseen_weight
        real = F.cross_entropy(said.logits, cells, ignore_index=IGNORE, reduction="none")
        total, count = real.sum(dim=(1, 2)), (cells != IGNORE).sum(dim=(1, 2)).float()
        labels = self._unseen_labels()
        generated = said.generated_logits[:, -len(labels) :]
        each = F.cross_entropy(generated.mT, labels.expand(len(cells), -1), reduction="none")
        total, count = total + weight * each.sum(dim=1), count + weight * each.shape[1]
        if graphs is not None:
            assert said.region_logits is not None
            each = F.cross_entropy(
                said.region_logits[:, 1].mT, graphs.with_unseen, reduction="none"
            )
            # By their sizes, and all together as the pixels above (ours).
            sizes = graphs.taken * graphs.sizes
            weights = weight * len(labels) * sizes / sizes.sum(dim=1, keepdim=True).clamp(min=1)
            total, count = total + (weights * each).sum(dim=1), count + weights.sum(dim=1)
        return (total / count).mean()

    def _unseen_labels(self) -> Int[Tensor, " sample"]:
        """The class of each generated feature of unseen classes of an image."""
        labels = torch.tensor(self.unseen, device=self.embeddings.device)
        return labels.repeat_interleave(self.generation.unseen_pixels)

    @torch.no_grad()
    def _figures(self, cells: Int[Tensor, "batch rows columns"], said: Answered) -> Figures:
        labels = self._unseen_labels()
        best = said.generated_logits[:, -len(labels) :].argmax(dim=2)
        return {
            "right/cells": share_right(said.logits, cells),
            "right/generated": (best == labels).float().mean(),
        }


def discrepancy_of_pixels(shown: ClassPixels, said: Answered) -> Float[Tensor, ""]:
    """MMD of real and generated pixels of each class, mean over the classes of an image, then over
    images; an image without a label counts as 0."""
    real, chosen = shown.of(said.features), shown.chosen.float()
    made = said.generated[:, : shown.places[0].numel()].unflatten(1, shown.places.shape[1:])
    far = discrepancy(real, made, chosen, chosen)
    there = chosen.amax(dim=2)
    return ((far * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)).mean()


def discrepancy_of_regions(graphs: RegionGraphs, said: Answered) -> Float[Tensor, ""]:
    """MMD of an image's regions, the mean of a region's real features against what was generated for it;
    mean over images."""
    assert said.regions is not None
    known = graphs.known.float()
    return discrepancy(graphs.means(said.features), said.regions[:, 0], known, known).mean()
