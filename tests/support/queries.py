"""Queries with embeddings that tests choose."""

from collections.abc import Sequence

import torch

from zeroseg.datasets.queries import Queries


def queries(
    embeddings: torch.Tensor,
    owners: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    unseen: Sequence[int] = (),
) -> Queries:
    """A query for each embedding; by default of a class each, all of them seen."""
    count = len(embeddings)
    of = list(range(count)) if owners is None else list(owners)
    return Queries(
        names=tuple(names or (f"query {i}" for i in range(count))),
        owners=torch.tensor(of),
        seen=torch.tensor([owner not in unseen for owner in of]),
        embeddings=embeddings,
    )
