"""Long lists of names as text embeddings, many sentences a pass."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import prompts

SENTENCES = 192
"""In one pass of the text tower: of three templates those of 64 names."""
FEW = 64
"""Names up to which no progress is shown."""


@torch.no_grad()
def class_text(
    clip: CLIP, names: Sequence[str], templates: tuple[str, ...]
) -> Float[Tensor, "name embed"]:
    """Unit vectors of names, as `CLIP.class_embeddings` to rounding; of many, the progress is shown.

    Raises InputError for a name without a word.
    """
    rows = [torch.zeros(0, clip.embed_dim, device=clip.mean.device)]
    step = max(1, SENTENCES // len(templates))
    with tqdm(desc="words", total=len(names), unit=" names", disable=len(names) < FEW) as bar:
        for first in range(0, len(names), step):
            asked = [prompts(name, templates) for name in names[first : first + step]]
            vectors = clip.encode_text([sentence for some in asked for sentence in some])
            parts = vectors.split([len(some) for some in asked])
            rows.append(torch.stack([part.mean(dim=0) for part in parts]))
            bar.update(len(asked))
    return F.normalize(torch.cat(rows), dim=-1)
