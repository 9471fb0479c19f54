"""Query decoder: learnt queries that read a map of features, DETR's (Carion et al., ECCV 2020)."""

import math

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from zeroseg.models.pixel_decoder import projection

TEMPERATURE = 10_000.0
"""Of the sines of positions."""


def sine_positions(
    rows: int, columns: int, width: int, device: torch.device | None = None
) -> Float[Tensor, "cell width"]:
    """Fixed positions of the cells of a grid, row by row: half of the width says the row, half the column.

    Rows and columns count from 1 and are brought to (0, 2 pi], whatever the grid's size (DETR, appendix
    A.4). `width` is a multiple of 4.
    """
    half = width // 2
    periods = TEMPERATURE ** (
        torch.arange(half, device=device).div(2, rounding_mode="floor") * 2 / half
    )

    def along(cells: int) -> Float[Tensor, "side half"]:
        step = torch.full((), 2 * math.pi, dtype=torch.float64, device=device) / cells
        place = torch.arange(1, cells + 1, device=device) * step.float()
        angles = place[:, None] / periods
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1)

    down = repeat(along(rows), "r d -> (r c) d", c=columns)
    across = repeat(along(columns), "c d -> (r c) d", r=rows)
    return torch.cat([down, across], dim=1)


class DecoderLayer(nn.Module):
    """Self-attention of queries, cross-attention to the memory, and a feed-forward network.

    A norm follows each; queries and keys of the attentions have positions added, values have not.
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.among = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.across = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward, width),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Float[Tensor, "batch query width"],
        places: Float[Tensor, "batch query width"],
        memory: Float[Tensor, "batch cell width"],
        keys: Float[Tensor, "batch cell width"],
    ) -> Float[Tensor, "batch query width"]:
        """Queries after the layer; `keys` are the memory with its positions."""
        placed = queries + places
        heard = self.among(placed, placed, queries, need_weights=False)[0]
        queries = self.norms[0](queries + self.dropout(heard))
        read = self.across(queries + places, keys, memory, need_weights=False)[0]
        queries = self.norms[1](queries + self.dropout(read))
        return self.norms[2](queries + self.dropout(self.feedforward(queries)))


class QueryDecoder(nn.Module):
    """Queries that start from zero and have learnt positions, through layers that read one map.

    One norm is shared by the outputs of all layers, each of which is supervised.
    """

    def __init__(
        self,
        channels: int,
        *,
        queries: int,
        width: int,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
    ) -> None:
        """`channels` of the map."""
        super().__init__()
        self.places = nn.Parameter(torch.randn(queries, width))
        self.project = projection(channels, width, 1)
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, feedforward, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        for parameter in self.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, features: Float[Tensor, "batch channel rows columns"]
    ) -> list[Float[Tensor, "batch query width"]]:
        """Queries after every layer, normed."""
        memory = rearrange(self.project(features), "b d r c -> b (r c) d")
        rows, columns = features.shape[2:]
        keys = memory + sine_positions(rows, columns, memory.shape[2], memory.device)
        places = self.places.expand(memory.shape[0], -1, -1)
        queries, found = torch.zeros_like(places), []
        for layer in self.layers:
            queries = layer(queries, places, memory, keys)
            found.append(self.norm(queries))
        return found
