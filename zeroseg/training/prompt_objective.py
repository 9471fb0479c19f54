"""What teaches a prompt: the regions of seen classes, named by a frozen CLIP (zsseg, stage 0)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.data.regions import RegionViews
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.models.clip import CLIP
from zeroseg.training.objective import Step


@dataclass(frozen=True, eq=False)
class PromptObjective:
    """Cross entropy of the true class of every region over seen classes, at a logit scale.

    A region is all that an image's crop shows of a class. zsseg takes one of them an image, and as many
    images of each class; here it is all of them, in their mean, then the mean over images (ours). An
    image without a labelled pixel counts 0.
    """

    clip: CLIP
    names: tuple[str, ...]
    """Of seen classes, and nobody else's."""
    rows: Int[Tensor, " label"]
    """Of each label its place in `names`; IGNORE elsewhere."""
    views: RegionViews
    logit_scale: float

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """`prompt`, and of the regions the share `prompt/right`."""
        assert batch.labels is not None
        classes = model(self.clip, self.names)
        losses, right = [], []
        for image, labels in zip(batch.pixels, self.rows[batch.labels], strict=True):
            embeddings, truth = self._regions(image, labels)
            logits = self.logit_scale * embeddings @ classes.T
            each = F.cross_entropy(logits, truth, reduction="sum")
            losses.append(each / max(1, len(truth)))
            hits = (logits.detach().argmax(dim=1) == truth).sum()
            right.append(hits / max(1, len(truth)))
        return Step(
            {"prompt": torch.stack(losses).mean()}, {"prompt/right": torch.stack(right).mean()}
        )

    @torch.no_grad()
    def _regions(
        self, image: Float[Tensor, "3 height width"], labels: Int[Tensor, "height width"]
    ) -> tuple[Float[Tensor, "region embed"], Int[Tensor, " region"]]:
        """How the CLIP sees each class of an image, and which class it is."""
        present = labels.unique()
        present = present[present != IGNORE]
        masks = labels == present[:, None, None]
        shown = self.views.cut(image, masks, self.clip.image_size, self.clip.mean[0])
        return self.clip.encode_views(shown[None])[0], present
