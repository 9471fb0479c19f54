"""ZeroSeg: a student with segment tokens, distilled from a frozen CLIP's views of unlabelled images."""

import dataclasses
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from zeroseg.data.crops import Crops
from zeroseg.data.transforms import EmbeddedCrops, Transform, UnlabelledCrops
from zeroseg.errors import InputError
from zeroseg.evaluation.corrected import CorrectedStudent
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.segmenters import Student
from zeroseg.methods.method import MethodConfig, Training
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.clip_towers import Tower
from zeroseg.models.segmenter import Segmenter
from zeroseg.models.tower import CLIPTower, TeacherTower
from zeroseg.models.trunk import Trainable, Trunk
from zeroseg.models.trunk_weights import TrunkWeights, load_trunk
from zeroseg.models.zeroseg import Readout, ZeroSeg, ZeroSegConfig
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.objectives import DistillationObjective, ViewComposition, ZeroSegPaper
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher, Teacher, open_teacher


@dataclass(frozen=True, kw_only=True)
class Distillation(MethodConfig):
    """The student, its teacher, and what it is asked for; no label and no caption enters."""

    student: ZeroSegConfig
    teacher: OnlineTeacher | CachedTeacher
    losses: ZeroSegPaper | ViewComposition
    crops: Crops = field(default_factory=Crops)
    """Which crops of an image are shown; one an epoch."""
    view_size: int = 0
    """Ours: side of the crop that the teacher's views are cut from; more pixels make sharper views
    of large photos. 0 takes the crop that the student sees."""
    start: TrunkWeights | TeacherTower | None = None
    """Weights the trunk starts from. None: from scratch."""
    trainable: Trainable = field(default_factory=Trainable)
    """Which parts of the trunk learn, and how fast."""
    layer_decay: float = 1.0
    """Ours: each block of the trunk learns this much slower than the one above it; 1 is all alike."""

    def __post_init__(self) -> None:
        if self.view_size < 0:
            raise InputError(f"method.view_size is {self.view_size}: it must be at least 0")
        if not 0 < self.layer_decay <= 1:
            raise InputError(f"method.layer_decay is {self.layer_decay}: it must lie in (0, 1]")
        if isinstance(self.losses, ViewComposition) and not self.student.patch_embeddings:
            raise InputError(
                "method.losses is ViewComposition, which needs method.student.patch_embeddings: set it"
            )

    @property
    def label(self) -> str:
        """A student, which the paper calls it."""
        return "student"

    @property
    def image_size(self) -> int:
        """Side of the student's crop, less what the student itself enlarges at test."""
        return round(self.student.image_size / self.student.zoom)

    @property
    def readouts(self) -> tuple[Readout, ...]:
        """`patches` scored highest on the scenes' validation split (docs/quickstart.md)."""
        return ("patches", "combined", "segments")[0 if self.student.patch_embeddings else 2 :]

    @property
    def view_side(self) -> int:
        """Side in pixels of the crop that the teacher's views are cut from."""
        return self.view_size or self.student.image_size

    def model(self) -> ZeroSeg:
        """A new student."""
        return ZeroSeg(self.student)

    def training(self, model: nn.Module, device: torch.device, cache: ShardCache) -> Training:
        """The teacher, loaded or read from what `zeroseg embed` wrote, and the losses against it."""
        assert isinstance(model, ZeroSeg)
        wants_dense = isinstance(self.losses, ViewComposition) and self.losses.dense_weight != 0
        teacher = open_teacher(self.teacher, cache, device, dense=wants_dense)
        if teacher.embed_dim != self.student.embed_dim:
            raise InputError(
                f"the teacher embeds in {teacher.embed_dim} dimensions: "
                "set method.student.embed_dim to that"
            )
        if isinstance(self.losses, ZeroSegPaper):
            self.losses.check(teacher.views)
        self.start_trunk(model.trunk, teacher.clip)
        for name, parameter in model.trunk.named_parameters():
            if not self.trainable.learns(model.trunk, name):
                parameter.requires_grad_(False)
        return Training(
            DistillationObjective(teacher, self.losses, model.trunk.patch_size),
            self._transform(teacher, cache),
            teacher.clip,
            partial(self.rate_scale, model.trunk),
        )

    def start_trunk(self, trunk: Trunk, teacher: CLIPConfig) -> None:
        """Give a trunk the weights that it starts from. Raises InputError when they do not fit."""
        if isinstance(self.start, TrunkWeights):
            load_trunk(trunk, self.start)
        elif isinstance(self.start, TeacherTower):
            if not isinstance(trunk, Tower) or not isinstance(self.student.trunk, CLIPTower):
                raise InputError(
                    "method.start is TeacherTower: set method.student.trunk to "
                    f"CLIPTower(clip={teacher})"
                )
            named = self.student.trunk.clip
            if (named.architecture, named.weights) != (teacher.architecture, teacher.weights):
                raise InputError(
                    f"method.student.trunk is the tower of {named}, the teacher is {teacher}: to start "
                    "from the teacher's tower they must be the same"
                )
            # open_clip draws the weights that it is about to replace.
            with torch.random.fork_rng(devices=[]):
                trunk.start_from(CLIP(dataclasses.replace(teacher, precision="fp32")))

    def segmenter(self, model: nn.Module, readout: str = "", clip: CLIP | None = None) -> Student:
        """The student by a readout; it answers without a CLIP."""
        assert isinstance(model, ZeroSeg)
        for known in self.readouts:
            if known == (readout or self.readouts[0]):
                return Student(model, known)
        raise InputError(
            f"readout {readout!r}: this student has {', '.join(self.readouts)}"
            + ("" if self.student.patch_embeddings else "; the others need patch_embeddings=True")
        )

    def corrected(
        self, model: nn.Module, readout: str, clip: CLIP, correction: Correction
    ) -> Segmenter:
        """The student by a readout, corrected by the teacher's views."""
        student = self.segmenter(model, readout)
        return student if correction.kind == "none" else CorrectedStudent(student, clip, correction)

    def _transform(self, teacher: Teacher, cache: ShardCache) -> Transform:
        shown = {"size": self.student.image_size, "view_size": self.view_side, "crops": self.crops}
        if teacher.stored is None:
            return UnlabelledCrops(**shown)
        return EmbeddedCrops(**shown, stored=teacher.stored, cache=cache)

    def rate_scale(self, trunk: Trunk, name: str) -> float:
        """Share of the learning rate of a parameter of the student: 1 outside of the trunk.

        In it `trainable.rate`, times `layer_decay` for the last block, its square for the block before,
        and so on down to the embeddings of patches and positions (layer-wise decay of BEiT, arXiv
        2106.08254, and of MAE's fine-tuning).
        """
        inside = name.removeprefix("trunk.")
        if inside == name:
            return 1.0
        return self.trainable.rate * self.layer_decay ** (trunk.depth + 1 - trunk.layer(inside))
