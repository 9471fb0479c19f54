import itertools

import pytest
import torch

from zeroseg.data.views import cell_views, grid_edges
from zeroseg.evaluation.inference import Segmenter
from zeroseg.evaluation.segmenters import DenseCLIP, GridCells
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.prompts import SIMPLE

SIZES = [(48, 48), (50, 71), (112, 80)]


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))


@pytest.fixture(scope="module")
def classes(clip) -> torch.Tensor:
    return clip.class_embeddings(("red ball", "grass", "sky"), SIMPLE)


def images(size: tuple[int, int], count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("kind", [GridCells, DenseCLIP])
def test_probabilities_of_every_pixel_sum_to_one(clip, classes, kind, grid, size):
    segmenter = kind(clip, grid)
    assert isinstance(segmenter, Segmenter)
    seen = segmenter.predict(images(size), classes)
    assert seen.shape == (2, 3, *size)
    assert seen.min() >= 0
    assert torch.allclose(seen.sum(1), torch.ones(2, *size), atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_every_grid_cell_has_the_probabilities_of_its_own_view(clip, classes, grid, size):
    picture = images(size, 1)
    seen = GridCells(clip, grid).predict(picture, classes)[0]
    views = clip.encode_image(cell_views(picture, (grid,), clip.image_size)[0])
    expected = (100 * views @ classes.T).softmax(-1)
    rows, columns = (list(itertools.pairwise(grid_edges(side, grid))) for side in size)
    for (y, x), answer in zip(itertools.product(rows, columns), expected, strict=True):
        cell = seen[:, slice(*y), slice(*x)]
        assert torch.allclose(cell, answer[:, None, None].expand_as(cell), atol=1e-5)


@pytest.mark.parametrize("kind", [GridCells, DenseCLIP])
def test_an_image_is_segmented_alike_alone_and_in_a_batch(clip, classes, kind):
    pair, segmenter = images((48, 64)), kind(clip, 2)
    alone = torch.cat([segmenter.predict(image[None], classes) for image in pair])
    assert torch.allclose(segmenter.predict(pair, classes), alone, atol=1e-4)


@pytest.mark.parametrize("kind", [GridCells, DenseCLIP])
def test_the_order_of_the_classes_does_not_matter(clip, classes, kind):
    picture, order, segmenter = images((48, 64), 1), [2, 0, 1], kind(clip, 2)
    turned = segmenter.predict(picture, classes[order])
    assert torch.allclose(turned, segmenter.predict(picture, classes)[:, order], atol=1e-5)


@pytest.mark.parametrize("kind", [GridCells, DenseCLIP])
def test_without_a_scale_every_class_is_equally_likely(clip, classes, kind):
    seen = kind(clip, 2, logit_scale=0.0).predict(images((48, 48), 1), classes)
    assert torch.allclose(seen, torch.full_like(seen, 1 / 3))
