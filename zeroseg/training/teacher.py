"""The teacher's side of distillation: images to embeddings of their views, now or before training.

A config says `OnlineTeacher`, which computes them in every step, or `CachedTeacher`, which reads what
`zeroseg embed` computed once. Both give the student the same numbers, to the rounding of the storage.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.data.embeddings import EmbeddingSet, TeacherRecord, open_embeddings
from zeroseg.data.views import ViewSet, cut_views
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.records import from_json
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.dense_target import DenseTarget, DenseTeacher


@dataclass(frozen=True, kw_only=True)
class OnlineTeacher:
    """Embeds the views of each batch while training."""

    clip: CLIPConfig
    views: ViewSet = field(default_factory=ViewSet)
    """What the teacher is shown of an image."""
    dense: DenseTarget = field(default_factory=DenseTarget)
    """What the loss `dense` asks for, where its weight is not 0."""


@dataclass(frozen=True, kw_only=True)
class CachedTeacher:
    """Reads embeddings that `zeroseg embed` wrote."""

    path: str
    """Their folder or URL; several joined by `::` for a mix of sets."""
    clip: CLIPConfig | None = None
    """The teacher that they must be of; none takes whichever they are of."""
    views: ViewSet | None = None
    """Which to use, of those that are stored; None takes all."""
    dense: DenseTarget = field(default_factory=DenseTarget)
    """What the loss `dense` asks for, where its weight is not 0; it is computed in each step, by the
    CLIP that the embeddings are of."""
    unusable: Literal["stop", "skip"] = "stop"
    """What happens to an image without a valid embedding: the run stops, or it is skipped and
    counted like one that cannot be decoded."""


@dataclass(frozen=True)
class Teacher:
    """What training needs of either."""

    clip: CLIPConfig
    views: ViewSet
    embed_dim: int
    embed: Callable[[Batch], Float[Tensor, "batch view embed"]]
    """Unit-norm float32 embeddings, views in the order of `ViewSet.boxes`."""
    stored: EmbeddingSet | None = None
    """What the stream has to read for it."""
    dense: DenseTeacher | None = None
    """What a loss of single patches asks for."""


class ViewEncoder:
    """Embeds the views of images, all views of a batch in a few passes of `chunk` views each; 0
    takes what suits the device."""

    def __init__(self, clip: CLIP, views: ViewSet, *, chunk: int = 0) -> None:
        self.clip, self.views = clip, views
        self.chunk = chunk or clip.views_of_a_pass

    def __call__(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch view embed"]:
        """Unit-norm float32 embeddings, views in the order of `ViewSet.boxes`."""
        views = cut_views(images, self.views, self.clip.image_size)
        return self.clip.encode_views(views, self.chunk)


def open_teacher(
    config: OnlineTeacher | CachedTeacher,
    cache: ShardCache,
    device: torch.device,
    *,
    dense: bool = False,
) -> Teacher:
    """Load the CLIP, or find the embeddings, with which no CLIP is loaded unless `dense` targets are
    asked for.

    Raises InputError when either is not there, the embeddings are of another teacher or lack views, or
    the teacher has no such targets.
    """
    if isinstance(config, OnlineTeacher):
        clip = CLIP(config.clip, device)
        encode = ViewEncoder(clip, config.views)
        return Teacher(
            config.clip,
            config.views,
            clip.embed_dim,
            lambda batch: encode(batch.view_pixels),
            dense=DenseTeacher(clip, config.dense, config.views) if dense else None,
        )
    stored = open_embeddings(config.path, cache, config.views, skip=config.unusable == "skip")
    if config.clip is not None:
        _check_teacher(config.clip, stored.record, config.path)
    clip = config.clip or _clip_of(stored.record, config.path)
    teacher = Teacher(clip, stored.views, stored.record.embed_dim, _stored, stored)
    if not dense:
        return teacher
    loaded = CLIP(clip, device)
    if loaded.weights_sha256 != stored.record.weights_sha256:
        raise InputError(
            f"the embeddings of {config.path} are of other weights than {clip} has now, which "
            "method.losses.dense_weight needs: name the same in teacher.clip"
        )
    return replace(teacher, dense=DenseTeacher(loaded, config.dense, stored.views))


def _stored(batch: Batch) -> Float[Tensor, "batch view embed"]:
    if batch.embeddings is None:
        raise ValueError("the stream reads no embeddings: hand it the opened set")
    return F.normalize(batch.embeddings.float(), dim=-1)


def _check_teacher(wanted: CLIPConfig, record: TeacherRecord, path: str) -> None:
    """A name that a hub keeps is enough; local weights are compared by what is in them."""
    found, names = _clip_of(record, path), ["architecture", "weights", "mean", "std"]
    same = True
    if wanted.architecture.startswith("local-dir:") or Path(wanted.weights).is_file():
        names = ["mean", "std"]  # the same file may lie elsewhere, another in its place
        same = CLIP(wanted).weights_sha256 == record.weights_sha256
    if not same or any(getattr(wanted, name) != getattr(found, name) for name in names):
        raise InputError(
            f"the embeddings of {path} are of another teacher, {found}: name that one in "
            "teacher.clip, or run `zeroseg embed` again"
        )


def _clip_of(record: TeacherRecord, path: str) -> CLIPConfig:
    return from_json(CLIPConfig, record.teacher, f"{path}: teacher")
