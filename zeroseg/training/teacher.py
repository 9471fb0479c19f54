"""The teacher's side of distillation: images to embeddings of their views."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zeroseg.data.batch import Batch
from zeroseg.data.views import cell_views
from zeroseg.models.clip import CLIP


class OnlineTeacher:
    """Embeds the views of each image with a frozen CLIP, all views of a batch in a few passes.

    Training shows the centre crop of an image and nothing else, as the paper does, so its views
    never change. The first `remember` images are embedded once and kept in memory by key; the
    numbers are the same.
    """

    def __init__(
        self, clip: CLIP, grids: Sequence[int], *, remember: int = 0, chunk: int = 256
    ) -> None:
        self.clip, self.grids, self.remember, self.chunk = clip, tuple(grids), remember, chunk
        self.memory: dict[str, Tensor] = {}

    def __call__(self, batch: Batch) -> Float[Tensor, "batch view embed"]:
        """Unit-norm float32 embeddings, views in the order of `cell_views`."""
        unknown = [i for i, key in enumerate(batch.keys) if key not in self.memory]
        fresh = (
            dict(zip(unknown, self._embed(batch.pixels[unknown]), strict=True)) if unknown else {}
        )
        rows = [fresh[i] if i in fresh else self.memory[key] for i, key in enumerate(batch.keys)]
        for i, row in fresh.items():
            if len(self.memory) < self.remember:
                self.memory[batch.keys[i]] = row
        return torch.stack(rows)

    def _embed(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch view embed"]:
        views = cell_views(images, self.grids, self.clip.image_size)
        parts = [self.clip.encode_image(part) for part in views.flatten(0, 1).split(self.chunk)]
        return torch.cat(parts).unflatten(0, views.shape[:2])
