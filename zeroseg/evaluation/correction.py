"""The correction: what a student says of an image, made to agree with the teacher's views of it (ours).

The student was trained so that the mean of its patches over a view is what the teacher says of that view.
At test the same equations can be solved for the image at hand, with the teacher at hand: the student knows what
belongs together, the teacher's views know what it is called. Functions of one image size: all images of a batch
have the same views.
"""

from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.views import ViewSet
from zeroseg.errors import InputError
from zeroseg.models.readouts import StudentOutput, reassigned

Kind = Literal["none", "mean", "solve", "fused", "held-out"]
KINDS: tuple[Kind, ...] = get_args(Kind)

ROUNDS = 2
"""Times that patches are assigned anew."""
HELD = 2**24
"""Affinities of patches that are held at once; all of a large image's would not fit."""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """How the teacher's views of an image correct what the student says of it (ours).

    The numbers were chosen on validation scenes, docs/evaluation.md.
    """

    kind: Kind = "none"
    """`solve` makes the student's patches agree with the views. `mean` adds to each patch the mean of the
    views, in which a view counts by how much of it is like the patch. `fused` adds the views that the patch
    lies in, each grid's once, whatever is in them. `none`: the student alone. `held-out`: the one of
    these with the highest mean IoU on other data."""
    views: ViewSet = field(default_factory=ViewSet)
    """What the teacher is shown."""
    kernel: float | None = None
    """Affinity of patches i and j is exp(kernel (cosine - 1)): larger ties only those that are more alike.
    None is 4 of `solve`, 16 of `mean`."""
    share: float | None = None
    """How much of the views is added to a patch, of which there is 1: None is 2 of `mean`, 1 for each grid of
    `fused`."""
    diagonal: float = 0.02
    """Of `solve`: added to a patch's affinity with itself, what it may change without any other."""
    noise: float = 0.5
    """Of `solve`: variance of what a view says around the mean of its patches; with more of it less is corrected."""
    regrouping: float = 40.0
    """How much a corrected patch's cosine with a segment says in which segment it belongs, beside the
    student's own assignment; 0 keeps that."""
    segment_noise: float = 0.3
    """As `noise`, of the segments of a student without patch embeddings."""

    def __post_init__(self) -> None:
        for name in ("kernel", "share", "diagonal", "regrouping"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"correction.{name} is {value}: it must be at least 0")
        for name in ("noise", "segment_noise"):
            value = getattr(self, name)
            if value <= 0:
                raise InputError(f"correction.{name} is {value}: it must be above 0")

    @property
    def candidates(self) -> tuple["Correction", ...]:
        """Those that held-out data chooses from; one that is stated is alone."""
        if self.kind != "held-out":
            return (self,)
        return tuple(replace(self, kind=kind) for kind in KINDS if kind != "held-out")

    def __str__(self) -> str:
        """The kind, and what is not as it is by default; empty for none."""
        if self.kind == "none":
            return ""
        usual, numbers = Correction(), [f.name for f in fields(self)][2:]
        changed = [n for n in numbers if getattr(self, n) != getattr(usual, n)]
        told = [f"{n.replace('_', ' ')} {getattr(self, n):g}" for n in changed]
        views = [f"views {self.views}"] * (self.views != usual.views)
        return ", ".join([self.kind, *told, *views])

    def corrected(
        self,
        output: StudentOutput,
        overlap: Float[Tensor, "view patch"],
        views: Float[Tensor, "batch view embed"],
    ) -> StudentOutput:
        """The student's output as the views say it should be; of a kind `mean`, `solve` or `fused`.

        Patches become p*, of unit length; patches are assigned to segments anew (`regrouped`), and a segment
        is the mean of p* over what it owns. Without patch embeddings segments agree with the views themselves.
        `overlap` is `view_overlap`'s, `views` are the teacher's unit embeddings.
        """
        if output.patches is None:
            return output._replace(segments=self._segments(output, overlap, views))
        patches = self.patches(output.patches, overlap, views)
        assignment, segments = regrouped(output.assignment, patches, self.regrouping)
        return output._replace(patches=patches, assignment=assignment, segments=segments)

    def patches(
        self,
        patches: Float[Tensor, "batch patch embed"],
        overlap: Float[Tensor, "view patch"],
        views: Float[Tensor, "batch view embed"],
    ) -> Float[Tensor, "batch patch embed"]:
        """p*/|p*| of patch embeddings of any length."""
        shares = overlap / overlap.sum(dim=1, keepdim=True)
        patches = F.normalize(patches, dim=-1)
        if self.kind == "solve":
            reach = affinity_to_views(patches, shares, _or(self.kernel, 4.0), self.diagonal)
            patches = agreeing_with_views(patches, reach, shares, views, self.noise)
        elif self.kind == "mean":
            reach = affinity_to_views(patches, shares, _or(self.kernel, 16.0))
            patches = patches + _or(self.share, 2.0) * mean_of_views(reach, views)
        else:
            patches = patches + _or(self.share, 1.0) * (overlap.mT @ views)
        return F.normalize(patches, dim=-1)

    def _segments(
        self,
        output: StudentOutput,
        overlap: Float[Tensor, "view patch"],
        views: Float[Tensor, "batch view embed"],
    ) -> Float[Tensor, "batch segment embed"]:
        shares = overlap / overlap.sum(dim=1, keepdim=True)
        segments = F.normalize(output.segments, dim=-1)
        owned = shares @ output.assignment.mT
        if self.kind == "solve":
            return segments_agreeing_with_views(segments, owned, views, self.segment_noise)
        return segments + _or(self.share, 2.0) * mean_of_views(owned.mT, views)


def check_no_correction(correction: Correction) -> None:
    """Raises InputError when a correction is asked of what is the teacher itself."""
    if correction.kind != "none":
        raise InputError(
            f"correction {correction.kind!r} of a CLIP that was never trained: only a student is "
            "corrected by its teacher, leave it out"
        )


def affinity_to_views(
    patches: Float[Tensor, "batch patch embed"],
    shares: Float[Tensor, "view patch"],
    kernel: float,
    diagonal: float = 0.0,
) -> Float[Tensor, "batch patch view"]:
    """K S': how alike each patch is to what lies in each view, in the mean over the view.

    K_ij = exp(kernel (p_i . p_j - 1)) + diagonal [i = j] for unit patches p; a view's shares sum to one.
    K itself is never held whole.
    """
    rows = max(1, HELD // (patches.shape[0] * patches.shape[1]))
    parts = [
        (kernel * (some @ patches.mT - 1)).exp() @ shares.mT for some in patches.split(rows, dim=1)
    ]
    return torch.cat(parts, dim=1) + diagonal * shares.mT


def agreeing_with_views(
    patches: Float[Tensor, "batch patch embed"],
    reach: Float[Tensor, "batch patch view"],
    shares: Float[Tensor, "view patch"],
    views: Float[Tensor, "batch view embed"],
    noise: float,
) -> Float[Tensor, "batch patch embed"]:
    """p* = p + K S' (S K S' + noise I)^-1 (v - S p), with K S' as `reach`.

    The posterior mean of a Gaussian process (Rasmussen & Williams, 2006, Equation 2.38) whose prior mean and
    covariance are the student's own patches and their affinities, and whose observations are the teacher's
    views (ours): what the views say more goes to patches in proportion to how alike the student finds them.
    """
    covariance = shares @ reach + noise * torch.eye(len(shares)).to(reach)
    return patches + reach @ _solved(covariance, views - shares @ patches)


def mean_of_views(
    reach: Float[Tensor, "batch place view"], views: Float[Tensor, "batch view embed"]
) -> Float[Tensor, "batch place embed"]:
    """For each patch or segment the mean of the views, by how alike what lies in them is to it (ours).

    Nothing is inverted: a view that names badly does the harm of its own share, and no more.
    """
    return reach / reach.sum(dim=-1, keepdim=True) @ views


def regrouped(
    assignment: Float[Tensor, "batch segment patch"],
    patches: Float[Tensor, "batch patch embed"],
    sharpness: float,
) -> tuple[Float[Tensor, "batch segment patch"], Float[Tensor, "batch segment embed"]]:
    """Patches assigned anew, now that they are known better, and the segments that they make (ours).

    With e_m the unit mean of the unit patches over a segment, w = softmax over m of (log a_mi + sharpness
    e_m . p_i); `ROUNDS` times, e_m being each time the mean over the last w. `sharpness` 0 leaves the
    assignment as it is.
    """
    own, segments = assignment, F.normalize(assignment @ patches, dim=-1)
    for _ in range(ROUNDS):
        assignment, segments = reassigned(own, segments, patches, sharpness)
    return assignment, segments


def segments_agreeing_with_views(
    segments: Float[Tensor, "batch segment embed"],
    owned: Float[Tensor, "batch view segment"],
    views: Float[Tensor, "batch view embed"],
    noise: float,
) -> Float[Tensor, "batch segment embed"]:
    """e = (C'C + noise I)^-1 (C'v + noise s): ridge regression of the views on what segments own of them,
    C = `owned`, towards the student's own segments s in place of zero (ours)."""
    gram = owned.mT @ owned + noise * torch.eye(segments.shape[1]).to(owned)
    return _solved(gram, owned.mT @ views + noise * segments)


def _or(value: float | None, usual: float) -> float:
    return usual if value is None else value


def _solved(
    matrix: Float[Tensor, "batch row row"], right: Float[Tensor, "batch row embed"]
) -> Float[Tensor, "batch row embed"]:
    """The solution of symmetric, positive definite equations; in float64, which for a matrix of views or
    segments costs next to nothing, and lets the noise be small."""
    factor = torch.linalg.cholesky(matrix.double())
    return torch.cholesky_solve(right.double(), factor).to(right.dtype)
