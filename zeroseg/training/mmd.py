"""Maximum mean discrepancy: how far two sets of vectors are from being drawn alike."""

import torch
from jaxtyping import Float
from torch import Tensor

VARIANCES = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Squares of the bandwidths in the authors' code; the paper ends with 60."""
LEAST = 1e-6
"""Below this the squared discrepancy counts as this: the square root has no slope at 0."""


def discrepancy(
    first: Float[Tensor, "*set sample width"],
    second: Float[Tensor, "*set other width"],
    first_weights: Float[Tensor, "*set sample"] | None = None,
    second_weights: Float[Tensor, "*set other"] | None = None,
    variances: tuple[float, ...] = VARIANCES,
) -> Float[Tensor, "*set"]:
    """MMD of each pair of sets (Gretton et al., JMLR 2012), the square root of the biased estimator

        mean k(a, a') + mean k(b, b') - 2 mean k(a, b),   k(a, b) = sum of exp(-|a - b|^2 / 2 v)

    over the variances v, as GMMN (Li et al., ICML 2015) and ZS3Net (Bucher et al., NeurIPS 2019) have it.
    A sample of weight 0 does not count; none counts all alike.
    """
    first, second = first.float(), second.float()
    own, others = _shares(first, first_weights), _shares(second, second_weights)
    squared = (
        _mean_kernel(first, first, own, own, variances)
        + _mean_kernel(second, second, others, others, variances)
        - 2 * _mean_kernel(first, second, own, others, variances)
    )
    return squared.clamp(min=LEAST).sqrt()


def _shares(
    samples: Float[Tensor, "*set sample width"], weights: Float[Tensor, "*set sample"] | None
) -> Float[Tensor, "*set sample"]:
    if weights is None:
        weights = samples.new_ones(samples.shape[:-1])
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=LEAST)


def _mean_kernel(
    first: Float[Tensor, "*set sample width"],
    second: Float[Tensor, "*set other width"],
    first_shares: Float[Tensor, "*set sample"],
    second_shares: Float[Tensor, "*set other"],
    variances: tuple[float, ...],
) -> Float[Tensor, "*set"]:
    # By products: the differences of all pairs would be `width` times as large.
    squares = first.square().sum(dim=-1)[..., :, None] + second.square().sum(dim=-1)[..., None, :]
    distances = (squares - 2 * first @ second.mT).clamp(min=0)
    kernel = torch.zeros_like(distances)
    for variance in variances:
        kernel = kernel + (distances / (-2 * variance)).exp()
    return torch.einsum("...a,...ab,...b->...", first_shares, kernel, second_shares)
