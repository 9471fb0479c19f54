"""A student with its teacher at test: another product than the student alone, and dearer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.data.views import cut_views, view_overlap
from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.segmenters import Student
from zeroseg.models.clip import CLIP
from zeroseg.models.readouts import StudentOutput, cosines, owners


@dataclass
class Cost:
    """Seconds that each part of an answer took, and for how many images."""

    images: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, part: str, device: torch.device) -> Iterator[None]:
        """Adds what is done inside to a part; waits for the device before and after."""
        begun = _now(device)
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + _now(device) - begun

    def __str__(self) -> str:
        """Milliseconds an image, part by part; empty where there was none."""
        each = {part: 1000 * s / max(1, self.images) for part, s in self.seconds.items()}
        return ", ".join(f"{part} {milliseconds:.2f} ms" for part, milliseconds in each.items())


@dataclass(frozen=True)
class CorrectedStudent:
    """A student whose every answer the teacher's views of the image correct.

    Raises InputError for a correction that is not chosen yet.
    """

    student: Student
    clip: CLIP
    """The teacher."""
    correction: Correction
    cost: Cost = field(default_factory=Cost)
    """Of all that it has answered. An image is what it is given: a window, where a protocol cuts them."""

    def __post_init__(self) -> None:
        if self.correction.kind == "held-out":
            raise InputError("correction.kind is held-out: choose mean, solve, fused or none")

    @property
    def multiple(self) -> int:
        """The student's patch size."""
        return self.student.multiple

    @torch.no_grad()
    def predict(
        self, images: Float[Tensor, "batch 3 height width"], queries: Queries
    ) -> Float[Tensor, "batch query rows columns"]:
        """Cosines at the places of the student's own."""
        height, width = images.shape[2:]
        return cosines(
            self._output(images),
            queries.embeddings,
            self.student.readout,
            size=(height, width),
            patch_share=self.student.model.config.patch_share,
        )

    @torch.no_grad()
    def segments(
        self, images: Float[Tensor, "batch 3 height width"], size: tuple[int, int]
    ) -> Int[Tensor, "batch label_height label_width"]:
        """The segment that owns each pixel most, of maps of `size`."""
        return owners(self._output(images), size)

    def _output(self, images: Float[Tensor, "batch 3 height width"]) -> StudentOutput:
        device, views = images.device, self.correction.views
        self.cost.images += len(images)
        with self.cost.of("student", device):
            output = self.student.model.segment(images)
        with self.cost.of("teacher's views", device):
            seen = self.clip.encode_views(cut_views(images, views, self.clip.image_size))
        with self.cost.of("correction", device):
            rows, columns = output.grid
            patches = (rows * self.multiple, columns * self.multiple)  # not the image, if enlarged
            overlap = view_overlap(views, patches, self.multiple).to(device)
            return self.correction.corrected(output, overlap, seen)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
