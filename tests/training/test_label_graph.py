"""The graph of a label map, against one drawn by hand."""

import torch

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.training.label_graph import label_graph, region_graphs
from zeroseg.training.randomness import generator_for

MAP = torch.tensor(
    [
        [3, 3, IGNORE, 5],
        [3, 0, IGNORE, 5],
        [0, 3, IGNORE, IGNORE],
        [0, 0, 0, 5],
    ]
)
"""Regions: 0; 3, all one by a corner; the upper 5, which touches nothing; the lower 5, which touches 0."""


def test_regions_are_connected_by_any_of_eight_neighbours():
    graph = label_graph(MAP)
    assert graph.labels.tolist() == [0, 3, 5, 5]
    assert graph.regions.tolist() == [[1, 1, -1, 2], [1, 0, -1, 2], [0, 1, -1, -1], [0, 0, 0, 3]]
    assert graph.touching.int().tolist() == [
        [0, 1, 0, 1],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
    ]


def test_graphs_of_a_batch_are_those_of_its_images_filled_up():
    other = torch.full_like(MAP, IGNORE)
    other[0, 0] = 1
    graphs = region_graphs(torch.stack([MAP, other]))
    assert graphs.known.sum(dim=1).tolist() == [4, 1]
    assert graphs.sizes.tolist() == [[5, 4, 2, 1], [1, 0, 0, 0]]
    features = torch.arange(32.0).view(2, 1, 4, 4)
    means = torch.tensor([[10.4, 3.5, 5, 15], [16, 0, 0, 0]])
    assert torch.allclose(graphs.means(features)[:, :, 0], means)


def test_an_image_without_a_label_has_no_region():
    graphs = region_graphs(torch.full((1, 4, 4), IGNORE))
    assert not graphs.known.any()
    assert graphs.means(torch.ones(1, 2, 4, 4)).tolist() == [[[0, 0]]]


def test_regions_become_unseen_ones_and_filling_does_not():
    graphs = region_graphs(torch.stack([MAP, MAP.clamp(min=200)]))
    draws = [generator_for(key, 0) for key in "ab"]
    every = graphs.relabelled([7, 8], 1.0, draws)
    assert set(every.with_unseen[every.known].tolist()) <= {7, 8}
    assert torch.equal(every.taken, every.known)
    assert not graphs.relabelled([7, 8], 0.0, draws).taken.any()
