"""What the student is asked for: the objective, and two sets of losses over the same views.

`ZeroSegPaper` is the paper's. `ViewComposition` is ours: not the paper's matching, and never to be
reported as ZeroSeg's. Each is a frozen config whose call turns a student's output and the teacher's
view embeddings into named losses, weights included. A term of weight zero, or without a view to
match, is still part of the sum: distributed training wants every parameter in every step. The optional
ones, `dense` and `relations`, reach no parameter that others do not: of weight zero they are left out.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.data.views import ViewSet, view_overlap
from zeroseg.errors import InputError
from zeroseg.models.zeroseg import StudentOutput
from zeroseg.training import losses
from zeroseg.training.losses import Distance, grouping_figures, nearest_view_figures
from zeroseg.training.objective import Figures, Step
from zeroseg.training.teacher import Teacher


@dataclass(frozen=True)
class Views:
    """The teacher's view embeddings of a batch and where those views lie."""

    embeddings: Float[Tensor, "batch view embed"]
    set: ViewSet
    overlap: Float[Tensor, "view patch"]
    """Share of each patch inside each view."""
    dense: Float[Tensor, "batch patch embed"] | None = None
    """The teacher's dense target, where a loss asks for it."""

    @property
    def local(self) -> slice:
        """The views that are not the full image, which comes first if it is one."""
        return slice(1 if self.set.begins_with_image else 0, None)


@dataclass(frozen=True, kw_only=True)
class ZeroSegPaper:
    """The paper's three losses (section 3.2, Equation 1), summed.

    The paper gives no weights, no normalisation and no reduction: those are ours.
    """

    multi_scale: bool = True
    """Distil z from every view; else from the full image alone (Table 4, "base")."""
    multi_scale_weight: float = 1.0
    matching_weight: float = 1.0
    matching_warmup: int = 0
    """Steps over which the matching weight rises linearly from zero."""
    reconstruction_weight: float = 1.0
    distance: Distance = "l1"
    normalise: bool = True
    """Bring both sides to unit length before the distance."""

    def check(self, views: ViewSet) -> None:
        """Raises InputError when the views do not have what the losses need."""
        if not self.multi_scale and not views.begins_with_image:
            raise InputError(
                f"method.losses.multi_scale is off, which distils the full image, but "
                f"method.teacher.views.grids is {views.grids}: begin it with 1"
            )

    def __call__(self, output: StudentOutput, views: Views, step: int) -> Figures:
        """Weighted losses by name."""
        targets = views.embeddings if self.multi_scale else views.embeddings[:, :1]
        multi_scale = losses.multi_scale_loss(
            output.global_feature, targets, self.distance, self.normalise
        )
        local = views.embeddings[:, views.local]
        match = output.segments.sum() * 0
        if local.shape[1]:
            match = losses.matching_loss(output.segments, local, self.distance, self.normalise)
        rise = min(1.0, (step + 1) / max(1, self.matching_warmup))
        return {
            "multi_scale": self.multi_scale_weight * multi_scale,
            "matching": rise * self.matching_weight * match,
        }


@dataclass(frozen=True, kw_only=True)
class ViewComposition:
    """Views are composed of what lies in their cells (ours).

    `composition`: the share-weighted mean of the segments' embeddings over a view's cell is that
    view's embedding. `patches`: the mean of the patch embeddings in the cell is, too.
    `agreement`: at each single patch, the mixture of its segments is the patch's own embedding
    (which does not move for it): the finest cell of all, meant to teach the assignment where one
    region ends. `multi_scale` is the paper's.
    `dense`: each patch embedding is the teacher's dense target of the patch (`teacher.dense`).
    `relations`: patches of two views are together as alike as their views are.
    """

    composition_weight: float = 8.0
    patches_weight: float = 8.0
    agreement_weight: float = 8.0
    multi_scale_weight: float = 1.0
    reconstruction_weight: float = 1.0
    dense_weight: float = 0.0
    """0 leaves the term out: then no teacher is loaded beside cached embeddings."""
    relations_weight: float = 0.0
    """0 leaves the term out."""
    distance: Distance = "cosine"
    """Of all terms but the last two, which are of cosines."""

    def __call__(self, output: StudentOutput, views: Views, step: int) -> Figures:
        """Weighted losses by name."""
        assert output.patches is not None, "checked with the config"
        embeddings = views.embeddings
        shares = losses.visible_shares(views.overlap, output.visible)
        told = losses.composed_patches(output.assignment, output.segments)
        composition = losses.pooled_loss(told, shares, embeddings, self.distance)
        patches = losses.pooled_loss(output.patches, shares, embeddings, self.distance)
        agreement = losses.distance(told, output.patches.detach(), self.distance).mean()
        multi_scale = losses.multi_scale_loss(output.global_feature, embeddings, self.distance)
        found = {
            "composition": self.composition_weight * composition,
            "patches": self.patches_weight * patches,
            "agreement": self.agreement_weight * agreement,
            "multi_scale": self.multi_scale_weight * multi_scale,
        }
        if views.dense is not None:
            dense = losses.dense_loss(output.patches, views.dense, output.visible)
            found["dense"] = self.dense_weight * dense
        if self.relations_weight:
            relations = losses.relations_loss(output.patches, shares, embeddings)
            found["relations"] = self.relations_weight * relations
        return found


@dataclass(frozen=True)
class DistillationObjective:
    """The student's losses against the views of a teacher, which nothing wraps, trains or saves."""

    teacher: Teacher
    losses: ZeroSegPaper | ViewComposition
    patch_size: int

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Losses; how the batch was grouped; and the scale at which segments' nearest views lie."""
        pixels, chosen = batch.pixels, self.teacher.views
        embeddings = self.teacher.embed(batch)
        output: StudentOutput = model(pixels)
        size = (pixels.shape[2], pixels.shape[3])
        overlap = view_overlap(chosen, size, self.patch_size).to(embeddings.device)
        dense = None
        if self.teacher.dense is not None:
            dense = self.teacher.dense(batch.view_pixels, output.grid, embeddings, overlap)
        views = Views(embeddings, chosen, overlap, dense)
        found = self.losses(output, views, step)
        if output.reconstruction is not None:
            target = losses.patchify(pixels, self.patch_size)
            loss = losses.reconstruction_loss(output.reconstruction, target, output.visible)
            found["reconstruction"] = self.losses.reconstruction_weight * loss
        segments, local = output.segments.detach(), views.embeddings[:, views.local]
        figures = grouping_figures(output.assignment.detach())
        return Step(found, figures | nearest_view_figures(segments, local, chosen))
