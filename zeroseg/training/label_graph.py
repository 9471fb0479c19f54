"""The graph of a label map: its connected regions, and which of them touch (ZS3Net, section 3.3)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from zeroseg.datasets.benchmarks import IGNORE

NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""A cell touches the eight around it."""


class LabelGraph(NamedTuple):
    """Regions of one label, numbered by label and then by their first cells in reading order."""

    regions: Int[Tensor, "rows columns"]
    """Of each cell its region; -1 where there is no label."""
    labels: Int[Tensor, " region"]
    touching: Bool[Tensor, "region region"]
    """Symmetric; no region touches itself."""


class RegionGraphs(NamedTuple):
    """The graphs of a batch, each filled up to the largest number of regions."""

    regions: Int[Tensor, "batch rows columns"]
    labels: Int[Tensor, "batch region"]
    touching: Bool[Tensor, "batch region region"]
    known: Bool[Tensor, "batch region"]
    """False where nothing but filling is."""
    with_unseen: Int[Tensor, "batch region"]
    """The labels, some of them replaced by those of unseen classes."""

    @property
    def taken(self) -> Bool[Tensor, "batch region"]:
        """Which were replaced."""
        return self.with_unseen != self.labels

    @property
    def members(self) -> Float[Tensor, "batch region cell"]:
        """1 where a cell is of a region."""
        numbers = torch.arange(self.labels.shape[1], device=self.labels.device)
        return (self.regions.flatten(1)[:, None] == numbers[:, None]).float()

    @property
    def sizes(self) -> Float[Tensor, "batch region"]:
        """Cells of each region."""
        return self.members.sum(dim=2)

    def means(
        self, features: Float[Tensor, "batch feature rows columns"]
    ) -> Float[Tensor, "batch region feature"]:
        """Mean feature of the cells of each region."""
        sums = self.members @ features.flatten(2).mT
        return sums / self.sizes[:, :, None].clamp(min=1)

    def relabelled(
        self, unseen: Sequence[int], share: float, draws: Sequence[torch.Generator]
    ) -> "RegionGraphs":
        """With a share of the regions taken for such of unseen classes, drawn for each image."""
        labels = self.labels.clone()
        for own, known, generator in zip(labels, self.known, draws, strict=True):
            chances, kinds = torch.rand(
                2, int(known.sum()), generator=generator, device=generator.device
            )
            others = torch.tensor(unseen, device=own.device)[(kinds * len(unseen)).long()]
            own[known] = torch.where(chances < share, others, own[known])
        return self._replace(with_unseen=labels)


def region_graphs(labels: Int[Tensor, "batch rows columns"]) -> RegionGraphs:
    """The graphs of label maps, found on the CPU."""
    graphs = [label_graph(each) for each in labels.cpu()]
    most = max(1, *(len(graph.labels) for graph in graphs))
    missing = [most - len(graph.labels) for graph in graphs]
    filled = torch.stack([F.pad(g.labels, (0, n)) for g, n in zip(graphs, missing, strict=True)])
    touching = [F.pad(g.touching, (0, n, 0, n)) for g, n in zip(graphs, missing, strict=True)]
    known = [torch.arange(most) < len(graph.labels) for graph in graphs]
    found = RegionGraphs(
        torch.stack([graph.regions for graph in graphs]),
        filled,
        torch.stack(touching),
        torch.stack(known),
        filled,
    )
    return RegionGraphs(*(tensor.to(labels.device) for tensor in found))


def label_graph(labels: Int[Tensor, "rows columns"]) -> LabelGraph:
    """The regions of a label map on the CPU, in which IGNORE is no label."""
    cells = labels.numpy()
    regions, owners = np.full(cells.shape, -1), []
    for label in np.unique(cells[cells != IGNORE]):
        found, count = ndimage.label(cells == label, structure=NEIGHBOURS)
        regions[found > 0] = found[found > 0] + len(owners) - 1
        owners += [int(label)] * count
    touching = np.zeros((len(owners), len(owners)), dtype=bool)
    for one, other in _neighbouring(regions):
        both = (one >= 0) & (other >= 0) & (one != other)
        touching[one[both], other[both]] = touching[other[both], one[both]] = True
    return LabelGraph(
        torch.from_numpy(regions),
        torch.tensor(owners, dtype=torch.long),
        torch.from_numpy(touching),
    )


def _neighbouring(regions: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Every pair of cells that touch: beside, below, and on both diagonals."""
    return [
        (regions[:, :-1], regions[:, 1:]),
        (regions[:-1], regions[1:]),
        (regions[:-1, :-1], regions[1:, 1:]),
        (regions[:-1, 1:], regions[1:, :-1]),
    ]
