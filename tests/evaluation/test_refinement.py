import itertools
import math

import pytest
import torch

from zeroseg.evaluation.refinement import AUTHORS, SPARSE, affinities, pamr


def naive(image: torch.Tensor, scores: torch.Tensor, dilations, iterations: int) -> torch.Tensor:
    """Pixel by pixel, neighbour by neighbour, colour by colour."""
    height, width = image.shape[1:]
    steps = [s for s in itertools.product((-1, 0, 1), repeat=2) if s != (0, 0)]

    def around(y: int, x: int) -> list[tuple[int, int]]:
        moved = [(y + d * i, x + d * j) for d in dilations for i, j in steps]
        return [(min(max(y, 0), height - 1), min(max(x, 0), width - 1)) for y, x in moved]

    for _ in range(iterations):
        refined = torch.zeros_like(scores)
        for y, x in itertools.product(range(height), range(width)):
            weights = torch.zeros(len(around(y, x)), dtype=torch.float64)
            for colour in image.double():
                near = torch.stack([colour[p] for p in around(y, x)])
                itself = colour[y, x].expand(len(dilations))
                deviation = torch.cat([near, itself]).std()
                weights -= (near - colour[y, x]).abs() / (1e-8 + 0.1 * deviation) / len(image)
            for weight, (v, u) in zip(weights.softmax(0), around(y, x), strict=True):
                refined[:, y, x] += weight * scores[:, v, u]
        scores = refined
    return scores


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """In float64, where what is left of a difference is a fault."""
    return torch.rand(count, 3, height, width, dtype=torch.float64)


def probabilities(count: int, classes: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, classes, height, width, dtype=torch.float64).softmax(1)


@pytest.mark.parametrize(("dilations", "iterations"), [((1,), 1), ((1, 2), 3), (SPARSE, 1)])
def test_it_is_what_a_loop_over_pixels_and_neighbours_gives(dilations, iterations):
    images, scores = pictures(2, 5, 4), probabilities(2, 3, 5, 4)
    expected = [naive(*pair, dilations, iterations) for pair in zip(images, scores, strict=True)]
    seen = pamr(images, scores, dilations, iterations)
    assert torch.allclose(seen, torch.stack(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dilations", [(1,), SPARSE, AUTHORS])
def test_weights_of_all_neighbours_sum_to_one(dilations):
    weights = affinities(pictures(2, 20, 30), dilations)
    assert weights.shape == (2, 8 * len(dilations), 20, 30)
    assert weights.min() >= 0
    assert torch.allclose(weights.sum(1), torch.ones(2, 20, 30).double())


def test_an_image_of_one_colour_averages_the_neighbours():
    scores = torch.zeros(1, 1, 5, 5)
    scores[..., 2, 2] = 8
    once = pamr(torch.full((1, 3, 5, 5), 0.3), scores, (1,), 1)[0, 0]
    assert once[1:4, 1:4].tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    assert once.sum() == 8


def test_the_edge_of_an_image_is_repeated_beyond_it():
    scores = torch.zeros(1, 1, 3, 3)
    scores[..., 0, 0] = 8
    once = pamr(torch.zeros(1, 3, 3, 3), scores, (1,), 1)[0, 0]
    assert once.tolist() == [[3, 2, 0], [2, 1, 0], [0, 0, 0]]


def test_scores_do_not_cross_an_edge_between_two_colours():
    images = torch.zeros(1, 3, 24, 24, dtype=torch.float64)
    images[..., 12:] = 1
    sides = torch.stack([images[0, 0], 1 - images[0, 0]])[None]
    noisy = (sides + 1.2 * torch.rand_like(sides)).softmax(1)
    assert not torch.equal(noisy.argmax(1), sides.argmax(1))
    # A deviation is hardly above a half: across the edge 16 weights are below e^-19, in 10 turns.
    assert torch.allclose(pamr(images, sides, SPARSE), sides, rtol=0, atol=160 * math.exp(-19))
    assert torch.equal(pamr(images, noisy, (1, 2)).argmax(1), sides.argmax(1))


@pytest.mark.parametrize("dilations", [SPARSE, AUTHORS])
def test_probabilities_stay_probabilities(dilations):
    seen = pamr(pictures(2, 16, 24), probabilities(2, 5, 16, 24), dilations)
    assert seen.min() >= 0
    assert torch.allclose(seen.sum(1), torch.ones(2, 16, 24).double())


def test_brightness_and_contrast_do_not_matter():
    images, scores = pictures(1, 12, 12), probabilities(1, 4, 12, 12)
    # The authors' 1e-8 stays as it is beside a tenth of a deviation of 0.1 or more: 1e-6 of an
    # exponent below 30, so 3e-5 of a weight, in each of 10 turns.
    changed = pamr(5 * images - 2, scores)
    assert torch.allclose(changed, pamr(images, scores), rtol=0, atol=3e-4)


def test_an_image_is_refined_alike_alone_and_in_a_batch():
    images, scores = pictures(3, 10, 14), probabilities(3, 4, 10, 14)
    alone = [pamr(i[None], s[None]) for i, s in zip(images, scores, strict=True)]
    assert torch.allclose(pamr(images, scores), torch.cat(alone), rtol=0, atol=1e-12)


def test_a_single_pixel_stays_what_it_is():
    scores = probabilities(1, 4, 1, 1)
    assert torch.allclose(pamr(pictures(1, 1, 1), scores), scores)
