import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zeroseg.data.views import cell_overlap, cell_views, grid_edges

PAPER_GRIDS = (1, 2, 3, 4)


def picture(height, width, seed=0):
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth.astype(int) + generator.integers(-20, 21, smooth.shape)
    # PIL clips between its two passes, which torch does not: stay clear of black and white.
    return (60 + 0.5 * noisy.clip(0, 255)).astype(np.uint8)


def as_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def boxes(height, width, grids):
    for grid in grids:
        rows = [round(i * height / grid) for i in range(grid + 1)]
        columns = [round(i * width / grid) for i in range(grid + 1)]
        for i in range(grid):
            for j in range(grid):
                yield rows[i], rows[i + 1], columns[j], columns[j + 1]


@pytest.mark.parametrize(("height", "width"), [(48, 48), (50, 37), (97, 61), (16, 20)])
def test_views_are_what_pil_crops_and_resizes(height, width):
    pixels = picture(height, width)
    views = cell_views(as_batch(pixels), PAPER_GRIDS, 24)[0]
    for view, (top, bottom, left, right) in zip(
        views, boxes(height, width, PAPER_GRIDS), strict=True
    ):
        crop = Image.fromarray(pixels[top:bottom, left:right])
        expected = np.asarray(crop.resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
        got = (view.permute(1, 2, 0) * 255).round().numpy().astype(int)
        assert np.abs(got - expected).max() <= 1


def test_paper_grids_make_thirty_views():
    assert cell_views(torch.rand(2, 3, 48, 48), PAPER_GRIDS, 8).shape == (2, 30, 3, 8, 8)


def test_views_come_by_grid_then_by_row():
    levels = torch.arange(16.0).view(1, 1, 4, 4) / 255
    image = levels.repeat_interleave(6, 2).repeat_interleave(6, 3).expand(-1, 3, -1, -1)
    views = cell_views(image, (1, 2, 4), 6)[0]
    means = (views.mean(dim=(1, 2, 3)) * 255).round()
    assert len(views) == 21
    assert means[5:].tolist() == list(range(16))
    # The quarters' means are 2.5, 4.5, 10.5 and 12.5: their order survives rounding.
    assert means[1:5].diff().gt(0).all()


def test_order_of_the_views_follows_the_order_of_the_grids():
    images = torch.rand(1, 3, 24, 24)
    forwards, backwards = cell_views(images, (1, 2), 8), cell_views(images, (2, 1), 8)
    torch.testing.assert_close(forwards[:, 1:], backwards[:, :4])
    torch.testing.assert_close(forwards[:, 0], backwards[:, 4])


def test_views_are_eight_bit_levels_between_zero_and_one():
    checkerboard = (torch.arange(20)[:, None] + torch.arange(20)).remainder(2).float()
    views = cell_views(checkerboard.expand(1, 3, -1, -1), (1, 3), 16) * 255
    torch.testing.assert_close(views, views.round())
    assert views.min() >= 0
    assert views.max() <= 255


def test_an_image_at_view_size_is_its_own_full_view():
    images = as_batch(picture(24, 24))
    torch.testing.assert_close(cell_views(images, (1,), 24)[:, 0], images)


def test_each_image_of_a_batch_has_its_own_views():
    images = torch.rand(3, 3, 30, 30)
    together = cell_views(images, (1, 2), 8)
    alone = torch.cat([cell_views(image[None], (1, 2), 8) for image in images])
    torch.testing.assert_close(together, alone)


@given(size=st.integers(4, 200), grid=st.integers(1, 4))
def test_edges_rise_from_zero_to_the_size_in_near_equal_steps(size, grid):
    edges = grid_edges(size, grid)
    steps = np.diff(edges)
    assert (edges[0], edges[-1], len(edges)) == (0, size, grid + 1)
    assert np.abs(steps - size / grid).max() <= 1


grids_lists = st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True).map(tuple)
sides = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(grids=grids_lists, sides=sides, patch=st.integers(4, 9))
@settings(max_examples=40)
def test_the_cells_of_every_grid_tile_every_patch(grids, sides, patch):
    overlap = cell_overlap(grids, (sides[0] * patch, sides[1] * patch), patch)
    for cells in overlap.split([grid**2 for grid in grids]):
        torch.testing.assert_close(cells.sum(dim=0), torch.ones(sides[0] * sides[1]))


@given(grids=grids_lists, sides=sides, patch=st.integers(4, 9))
@settings(max_examples=40)
def test_overlap_is_the_share_of_a_patchs_pixels_inside_the_cell(grids, sides, patch):
    height, width = sides[0] * patch, sides[1] * patch
    overlap = cell_overlap(grids, (height, width), patch)
    for row, (top, bottom, left, right) in zip(overlap, boxes(height, width, grids), strict=True):
        inside = np.zeros((height, width))
        inside[top:bottom, left:right] = 1
        expected = inside.reshape(sides[0], patch, sides[1], patch).mean(axis=(1, 3)).flatten()
        np.testing.assert_allclose(row.numpy(), expected, atol=1e-6)


def test_overlap_splits_the_middle_patch_of_a_thrice_divided_image():
    overlap = cell_overlap((2,), (24, 24), 8)
    expected = torch.tensor([1, 0.5, 0, 0.5, 0.25, 0, 0, 0, 0])
    torch.testing.assert_close(overlap[0], expected)
