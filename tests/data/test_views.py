import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from zeroseg.data.views import ViewSet, Windows, cut_views, grid_edges, view_overlap
from zeroseg.errors import InputError

PAPER = ViewSet()


def picture(height, width, seed=0):
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth.astype(int) + generator.integers(-20, 21, smooth.shape)
    # PIL clips between its two passes, which torch does not: stay clear of black and white.
    return (60 + 0.5 * noisy.clip(0, 255)).astype(np.uint8)


def as_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def cells(height, width, grids):
    for grid in grids:
        rows = [round(i * height / grid) for i in range(grid + 1)]
        columns = [round(i * width / grid) for i in range(grid + 1)]
        for i in range(grid):
            for j in range(grid):
                yield rows[i], rows[i + 1], columns[j], columns[j + 1]


@pytest.mark.parametrize(("height", "width"), [(48, 48), (50, 37), (97, 61), (16, 20)])
def test_views_are_what_pil_crops_and_resizes(height, width):
    pixels = picture(height, width)
    views = cut_views(as_batch(pixels), PAPER, 24)[0]
    boxes = cells(height, width, (1, 2, 3, 4))
    for view, (top, bottom, left, right) in zip(views, boxes, strict=True):
        crop = Image.fromarray(pixels[top:bottom, left:right])
        expected = np.asarray(crop.resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
        got = (view.permute(1, 2, 0) * 255).round().numpy().astype(int)
        assert np.abs(got - expected).max() <= 1


def test_paper_grids_make_thirty_views():
    assert cut_views(torch.rand(2, 3, 48, 48), PAPER, 8).shape == (2, 30, 3, 8, 8)


def test_views_come_by_grid_then_by_row():
    levels = torch.arange(16.0).view(1, 1, 4, 4) / 255
    image = levels.repeat_interleave(6, 2).repeat_interleave(6, 3).expand(-1, 3, -1, -1)
    views = cut_views(image, ViewSet(grids=(1, 2, 4)), 6)[0]
    means = (views.mean(dim=(1, 2, 3)) * 255).round()
    assert len(views) == 21
    assert means[5:].tolist() == list(range(16))
    # The quarters' means are 2.5, 4.5, 10.5 and 12.5: their order survives rounding.
    assert means[1:5].diff().gt(0).all()


def test_order_of_the_views_follows_the_order_of_the_grids():
    images = torch.rand(1, 3, 24, 24)
    forwards, backwards = (cut_views(images, ViewSet(grids=g), 8) for g in ((2, 3), (3, 2)))
    torch.testing.assert_close(forwards[:, 4:], backwards[:, :9])
    torch.testing.assert_close(forwards[:, :4], backwards[:, 9:])


def test_views_are_eight_bit_levels_between_zero_and_one():
    checkerboard = (torch.arange(20)[:, None] + torch.arange(20)).remainder(2).float()
    views = cut_views(checkerboard.expand(1, 3, -1, -1), ViewSet(grids=(1, 3)), 16) * 255
    torch.testing.assert_close(views, views.round())
    assert views.min() >= 0
    assert views.max() <= 255


def test_an_image_at_view_size_is_its_own_full_view():
    images = as_batch(picture(24, 24))
    torch.testing.assert_close(cut_views(images, ViewSet(grids=(1,)), 24)[:, 0], images)


def test_each_image_of_a_batch_has_its_own_views():
    images = torch.rand(3, 3, 30, 30)
    together = cut_views(images, ViewSet(grids=(1, 2)), 8)
    alone = torch.cat([cut_views(image[None], ViewSet(grids=(1, 2)), 8) for image in images])
    torch.testing.assert_close(together, alone)


@given(size=st.integers(4, 200), grid=st.integers(1, 4))
def test_edges_rise_from_zero_to_the_size_in_near_equal_steps(size, grid):
    edges = grid_edges(size, grid)
    steps = np.diff(edges)
    assert (edges[0], edges[-1], len(edges)) == (0, size, grid + 1)
    assert np.abs(steps - size / grid).max() <= 1


# 1, the full image, comes first.
grids_lists = st.sets(st.integers(1, 4), min_size=1).map(lambda grids: tuple(sorted(grids)))
sides = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(grids=grids_lists, sides=sides, patch=st.integers(4, 9))
@settings(max_examples=40)
def test_the_cells_of_every_grid_tile_every_patch(grids, sides, patch):
    overlap = view_overlap(ViewSet(grids=grids), (sides[0] * patch, sides[1] * patch), patch)
    for cells in overlap.split([grid**2 for grid in grids]):
        torch.testing.assert_close(cells.sum(dim=0), torch.ones(sides[0] * sides[1]))


@given(grids=grids_lists, sides=sides, patch=st.integers(4, 9))
@settings(max_examples=40)
def test_overlap_is_the_share_of_a_patchs_pixels_inside_the_cell(grids, sides, patch):
    height, width = sides[0] * patch, sides[1] * patch
    overlap = view_overlap(ViewSet(grids=grids), (height, width), patch)
    for row, (top, bottom, left, right) in zip(overlap, cells(height, width, grids), strict=True):
        inside = np.zeros((height, width))
        inside[top:bottom, left:right] = 1
        expected = inside.reshape(sides[0], patch, sides[1], patch).mean(axis=(1, 3)).flatten()
        np.testing.assert_allclose(row.numpy(), expected, atol=1e-6)


def test_overlap_splits_the_middle_patch_of_a_thrice_divided_image():
    overlap = view_overlap(ViewSet(grids=(2,)), (24, 24), 8)
    expected = torch.tensor([1, 0.5, 0, 0.5, 0.25, 0, 0, 0, 0])
    torch.testing.assert_close(overlap[0], expected)


@pytest.mark.parametrize(
    ("size", "stride", "spans"),
    [
        (0.25, 0.125, [(14 * i, 14 * i + 28) for i in range(7)]),
        (0.5, 0.3, [(0, 56), (34, 90), (56, 112)]),  # the last is shifted back to the far edge
        (1.0, 0.25, [(0, 112)]),
        (0.75, 2.0, [(0, 84), (28, 112)]),
    ],
)
def test_windows_start_at_every_stride_and_touch_the_far_edge(size, stride, spans):
    assert Windows(size=size, stride=stride).spans(112) == spans


@given(
    size=st.floats(0.05, 1.0),
    stride=st.floats(0.05, 1.0),
    sides=st.tuples(st.integers(60, 300), st.integers(60, 300)),
)
def test_windows_are_of_one_size_inside_the_image_and_as_many_as_they_say(size, stride, sides):
    views = ViewSet(grids=(), windows=(Windows(size=size, stride=stride),))
    try:
        boxes = views.boxes(*sides)
    except InputError:  # two that only rounding tells apart
        assume(False)
    assert len(boxes) == views.count
    assert boxes[0][:2] == (0, 0)
    assert boxes[-1][2:] == sides
    assert {(b.bottom - b.top, b.right - b.left) for b in boxes} == {
        tuple(round(size * side) for side in sides)
    }
    assert all(b.top >= 0 and b.left >= 0 for b in boxes)


BOTH = ViewSet(
    grids=(1, 2), windows=(Windows(size=0.5, stride=0.3), Windows(size=0.4, stride=0.35))
)


def test_parts_are_named_in_the_order_of_their_views():
    assert BOTH.parts == [
        ("1x1", 1),
        ("2x2", 4),
        ("windows 0.5:0.3", 9),
        ("windows 0.4:0.35", 9),
    ]
    assert BOTH.count == 23
    some = ViewSet(grids=(2,), windows=BOTH.windows[1:])
    assert BOTH.rows_of(some) == [1, 2, 3, 4, *range(14, 23)]


def test_every_view_is_the_cut_of_its_box():
    images = torch.rand(2, 3, 50, 37)
    boxes = BOTH.boxes(50, 37)
    assert boxes[0] == (0, 0, 50, 37)
    for view, box in zip(cut_views(images, BOTH, 12).unbind(1), boxes, strict=True):
        inside = images[..., box.top : box.bottom, box.left : box.right]
        assert torch.equal(view, cut_views(inside, ViewSet(grids=(1,)), 12)[:, 0])


@given(sides=st.tuples(st.integers(2, 6), st.integers(2, 6)), patch=st.integers(4, 9))
@settings(max_examples=30)
def test_overlap_of_any_view_is_the_share_of_a_patchs_pixels_inside_its_box(sides, patch):
    height, width = sides[0] * patch, sides[1] * patch
    overlap = view_overlap(BOTH, (height, width), patch)
    for row, box in zip(overlap, BOTH.boxes(height, width), strict=True):
        inside = torch.zeros(height, width)
        inside[box.top : box.bottom, box.left : box.right] = 1
        expected = F.avg_pool2d(inside[None], patch).flatten()
        torch.testing.assert_close(row, expected)


@pytest.mark.parametrize(
    ("views", "named"),
    [
        (ViewSet(grids=(1, 9)), "views.grids has 9"),
        (
            ViewSet(grids=(), windows=(Windows(size=0.05, stride=0.5),)),
            "views.windows has 0.05:0.5",
        ),
        (ViewSet(windows=(Windows(size=0.5, stride=0.01),)), "views.windows has 0.5:0.01"),
    ],
)
def test_an_image_too_small_for_its_views_is_an_error_naming_them(views, named):
    with pytest.raises(InputError, match=f"{named}, which 8 pixels are too few for"):
        cut_views(torch.rand(1, 3, 8, 8), views, 4)
    with pytest.raises(InputError, match=named):
        view_overlap(views, (8, 8), 2)


@pytest.mark.parametrize(
    "values", [(0.0, 0.5), (1.5, 0.5), (0.5, 0.0), (-0.5, 0.5), (0.5, math.nan)]
)
def test_windows_of_no_size_or_stride_are_refused(values):
    with pytest.raises(InputError, match=r"views\.windows"):
        Windows(size=values[0], stride=values[1])


@pytest.mark.parametrize("text", ["", "0.5", "0.5:", "a:b", "0.5:0.2:0.1", "0.5/0.2"])
def test_a_text_that_names_no_windows_is_refused(text):
    with pytest.raises(InputError, match="write SIZE:STRIDE"):
        Windows.parse(text)


@given(size=st.floats(1e-3, 1), stride=st.floats(1e-3, 2))
def test_windows_are_read_from_the_text_that_they_write(size, stride):
    windows = Windows(size=size, stride=stride)
    assert Windows.parse(str(windows)) == windows


@pytest.mark.parametrize(
    ("grids", "windows", "named"),
    [
        ((), (), "at least one view"),
        ((2, 1), (), "views.grids"),
        ((2,), (Windows(size=0.5, stride=0.5), Windows(size=0.5, stride=0.5)), "views.windows"),
    ],
)
def test_a_set_of_views_names_each_once_and_at_least_one(grids, windows, named):
    with pytest.raises(InputError, match=named):
        ViewSet(grids=grids, windows=windows)
