"""Fusion: two classifiers of a proposal, the query's and the CLIP's of its region, as one.

Both papers trust the query, which is trained on seen classes, with these, and the CLIP with the unseen.
With p the softmax of the query's logits over classes and no-object, whose column is left out after it, and
p' that of the region's:

    ZegFormer (Ding et al., CVPR 2022)   seen  p^l · (mean of p' over seen)^(1-l)   unseen  p^(1-l) · p'^l
    zsseg (Xu et al., ECCV 2022)         seen  p^w · p'^(1-w)                       unseen  p^(1-w) · p'^w

ZegFormer's p' is a softmax over classes and the query's own no-object logit, zsseg's over classes alone.
What is in which softmax is read from the authors' codes (ZegFormer at 8cb9e8f, zsseg at d77c3af).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def query_probabilities(
    logits: Float[Tensor, "*proposals class_and_none"],
) -> Float[Tensor, "*proposals class"]:
    """p: the softmax with no-object, the last column, which is left out after it."""
    return logits.softmax(dim=-1)[..., :-1]


def region_probabilities(
    logits: Float[Tensor, "*proposals class"], no_object: Float[Tensor, "*proposals"] | None = None
) -> Float[Tensor, "*proposals class"]:
    """p': with the query's own no-object logit in the softmax (ZegFormer), or without any (zsseg)."""
    if no_object is None:
        return logits.softmax(dim=-1)
    return query_probabilities(torch.cat([logits, no_object[..., None]], dim=-1))


def zegformer_fusion(
    queries: Float[Tensor, "*proposals class"],
    regions: Float[Tensor, "*proposals class"],
    seen: Bool[Tensor, " class"],
    share: float = 2 / 3,
) -> Float[Tensor, "*proposals class"]:
    """ZegFormer's; of seen classes the region says no more than how likely they are on average."""
    average = (regions * seen).sum(dim=-1, keepdim=True) / seen.sum().clamp(min=1)
    of_seen = queries**share * average ** (1 - share)
    return torch.where(seen, of_seen, queries ** (1 - share) * regions**share)


def zsseg_ensemble(
    queries: Float[Tensor, "*proposals class"],
    regions: Float[Tensor, "*proposals class"],
    seen: Bool[Tensor, " class"],
    weight: float = 0.7,
) -> Float[Tensor, "*proposals class"]:
    """zsseg's geometric mean: the query has this weight for seen classes, the region for unseen ones."""
    of_seen = queries**weight * regions ** (1 - weight)
    return torch.where(seen, of_seen, queries ** (1 - weight) * regions**weight)


def calibrated(
    scores: Float[Tensor, "batch class rows columns"], seen: Bool[Tensor, " class"], gamma: float
) -> Float[Tensor, "batch class rows columns"]:
    """Scores with `gamma` taken from those of seen classes: ZegFormer's, on its segmentation map.

    Where all classes are seen it changes no answer.
    """
    return scores - gamma * seen[:, None, None]
