"""A label map as `supervision.Detections`, of which that package draws, counts and tracks (extra `supervision`)."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.errors import InputError

if TYPE_CHECKING:
    from supervision import Detections


def detections(
    labels: Int[Tensor, "height width"],
    names: Sequence[str],
    *,
    background: bool = False,
    confidence: Float[Tensor, "height width"] | None = None,
) -> "Detections":
    """A detection for each class of a label map: its mask, box and `class_name`.

    `class_id` is the label. With `background` label 0 is none of the `names`, which then count from 1.
    `confidence` is of each pixel, and of a detection its mean. Raises InputError where supervision is
    not installed.
    """
    if find_spec("supervision") is None:
        raise InputError("detections need supervision: run `pip install 'zeroseg[supervision]'`")
    from supervision import Detections, mask_to_xyxy

    pixels, first = labels.cpu().numpy(), int(background)
    found = [label for label in np.unique(pixels).tolist() if first <= label < len(names) + first]
    if not found:
        return Detections.empty()
    masks = np.stack([pixels == label for label in found])
    means = None
    if confidence is not None:
        means = np.array([confidence.cpu().numpy()[mask].mean() for mask in masks])
    return Detections(
        xyxy=mask_to_xyxy(masks).astype(np.float64),
        mask=masks,
        confidence=means,
        class_id=np.array(found),
        data={"class_name": np.array([names[label - first] for label in found])},
    )
