"""Vectors in memory: their clusters."""

import numpy as np
import pytest

from zeroseg.data.unit_vectors import FlatIndex, cosines, spherical_means, unit


def test_the_mean_of_a_cluster_is_that_of_its_directions():
    rng = np.random.default_rng(0)
    directions, of = np.eye(3, 8), np.repeat(np.arange(3), 40)
    rows = unit(directions[of] + 0.02 * rng.standard_normal((120, 8)))
    lengths = rng.uniform(0.5, 2, (120, 1))
    means = spherical_means(rows * lengths, 3, seed=0)
    own = FlatIndex(means).search(directions, 1)[1][:, 0]
    wanted = unit(np.stack([rows[of == k].mean(axis=0) for k in range(3)]))
    assert sorted(own) == [0, 1, 2]
    assert cosines(means[own], wanted) == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(means, axis=1) == pytest.approx(1, abs=1e-6)


def test_every_vector_is_trained_on_and_the_same_seed_gives_the_same():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1000, 4)).astype(
        np.float32
    )  # more than faiss would take of two clusters
    means = spherical_means(rows, 2, seed=3)
    assert means.tobytes() == spherical_means(rows, 2, seed=3).tobytes()
    own = FlatIndex(means).search(rows, 1)[1][:, 0]
    wanted = unit(np.stack([unit(rows[own == k]).mean(axis=0) for k in range(2)]))
    assert cosines(means, wanted).min() > 0.999
