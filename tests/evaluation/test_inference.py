import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.support.queries import queries
from zeroseg.evaluation import inference
from zeroseg.evaluation.inference import (
    Axis,
    WindowScores,
    best_class,
    pixel_scores,
    thresholds_reached,
    window_scores,
    window_starts,
    with_background,
)
from zeroseg.models.segmenter import Segmenter

EPSILON = torch.finfo(torch.float32).eps
property_test = settings(max_examples=60, deadline=None)


class Patches:
    """Scores of a patch are its mean colour against the embeddings; remembers its batches."""

    def __init__(self, multiple: int = 1, dtype: torch.dtype = torch.float32):
        self.multiple, self.dtype, self.batches = multiple, dtype, []

    def predict(self, images, queries):
        self.batches.append(len(images))
        patches = F.avg_pool2d(images, self.multiple)
        return torch.einsum("bchw,kc->bkhw", patches, queries.embeddings).to(self.dtype)


class Corner:
    """Everything in a window is as its upper left pixel."""

    multiple = 1

    def predict(self, images, queries):
        return images[:, :1, :1, :1].expand(-1, len(queries.names), *images.shape[2:])


def axis(side: int, window: int, stride: int) -> Axis:
    return Axis(side, min(window, side), window_starts(side, window, stride))


def random_scores(
    sides: tuple[int, int],
    window: int,
    stride: int,
    classes: int,
    patch: float,
    dtype: torch.dtype = torch.float64,
    batch: int = 1,
    seed: int = 0,
) -> WindowScores:
    down, across = (axis(side, window, stride) for side in sides)
    rows, columns = (len(a.starts) * max(1, round(a.window / patch)) for a in (down, across))
    generator = torch.Generator().manual_seed(seed)
    grids = torch.randn(batch, classes, rows, columns, generator=generator, dtype=dtype)
    return WindowScores(grids, down, across)


def step_by_step(scores: WindowScores, size: tuple[int, int]) -> Tensor:
    """Resize every window, add, divide by how many there were, resize: in float64."""
    down, across = scores.down, scores.across
    grids = scores.grids.double()
    total = grids.new_zeros(*grids.shape[:2], down.side, across.side)
    count = torch.zeros_like(total)
    for top, row in zip(down.starts, grids.chunk(len(down.starts), 2), strict=True):
        for left, part in zip(across.starts, row.chunk(len(across.starts), 3), strict=True):
            place = (..., slice(top, top + down.window), slice(left, left + across.window))
            total[place] += F.interpolate(part, (down.window, across.window), mode="bilinear")
            count[place] += 1
    return F.interpolate(total / count, size, mode="bilinear")


def rounding(grids: Tensor) -> float:
    """How far two scores at a pixel may be from what they would be without rounding, taken together.

    A score is a sum along both axes of at most 12 products, 4 of each of at most 3 windows, whose
    shares sum to one: 13 roundings an axis, each of at most half an epsilon of the largest score.
    """
    return 2 * 2 * 13 * torch.finfo(grids.dtype).eps / 2 * grids.abs().max().item()


def is_best(index: Tensor, scores: Tensor, doubt: float) -> bool:
    """Whether no class scores higher than the chosen one by more than rounding can hide."""
    chosen = scores.gather(1, index[:, None])[:, 0]
    return bool((scores.amax(1) - chosen).max() <= doubt)


def owners_of(scores: WindowScores) -> Tensor:
    return torch.arange(scores.grids.shape[1])


@given(st.integers(1, 300), st.integers(1, 100), st.data())
def test_windows_cover_the_side_and_stay_inside(size, window, data):
    stride = data.draw(st.integers(1, window))
    starts = window_starts(size, window, stride)
    covered = {x for start in starts for x in range(start, min(start + window, size))}
    assert covered == set(range(size))
    assert starts == tuple(sorted(set(starts)))
    assert min(starts) == 0
    assert max(starts) == max(0, size - window)


def test_windows_of_a_side_that_divides_evenly():
    assert window_starts(448, 224, 112) == (0, 112, 224)
    assert window_starts(500, 448, 224) == (0, 52)


@pytest.mark.parametrize(("window", "stride"), [(0, 0), (3, 2), (4, 4), (6, 1), (7, 3), (99, 50)])
def test_windows_change_nothing_for_a_segmenter_that_sees_single_pixels(window, stride):
    images, names = torch.rand(6, 3, 5, 7), queries(torch.eye(3))
    scores = window_scores(Patches(), images, names, window, stride)
    # Up to 5 windows an axis share a pixel: 6 roundings each, of numbers below 1.
    assert torch.allclose(pixel_scores(scores, (5, 7)), images, rtol=0, atol=12 * EPSILON / 2)


def test_overlapping_windows_are_averaged():
    images = torch.arange(5.0).expand(1, 3, 2, 5)
    scores = window_scores(Corner(), images, queries(torch.eye(2)), window=3, stride=2)
    assert pixel_scores(scores, (2, 5))[0, 0].tolist() == [[0, 0, 1, 2, 2]] * 2


@property_test
@given(st.data())
def test_one_map_an_axis_is_resizing_averaging_and_resizing_step_by_step(data):
    sides, size = (data.draw(st.tuples(*[st.integers(1, 60)] * 2)) for _ in range(2))
    window = data.draw(st.integers(1, 40))
    stride = data.draw(st.integers(1, window))
    patch = data.draw(st.sampled_from([0.5, 1, 3, 16]))
    seed = data.draw(st.integers(0, 2**32))
    scores = random_scores(sides, window, stride, 3, patch, batch=2, seed=seed)
    expected = step_by_step(scores, size)
    # Hundreds of roundings of 1e-16 of scores below 6, where every pixel has its window.
    assert torch.allclose(pixel_scores(scores, size), expected, rtol=0, atol=1e-12)
    best, index = best_class(scores, size, owners_of(scores))
    assert torch.allclose(best, expected.amax(1), rtol=0, atol=1e-12)
    assert is_best(index, expected, 2e-12)


@pytest.mark.parametrize(
    ("classes", "patch", "sides", "size"),
    [
        (21, 16, (448, 592), (375, 500)),
        (171, 16, (224, 400), (90, 160)),
        (21, 1, (96, 128), (75, 99)),
    ],
)
def test_a_label_map_is_that_of_float64_but_where_rounding_decides(classes, patch, sides, size):
    scores = random_scores(sides, min(sides), min(sides) // 2, classes, patch, torch.float32)
    _, index = best_class(scores, size, owners_of(scores))
    assert is_best(index, step_by_step(scores, size), rounding(scores.grids))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (40, 8), (3, 400)])
def test_a_label_map_has_the_size_of_the_annotation(size):
    scores = random_scores((16, 32), 16, 8, 3, 4, torch.float32)
    scores.grids[:, 2] = 9
    best, index = best_class(scores, size, owners_of(scores))
    assert torch.equal(index, torch.full((1, *size), 2))
    assert torch.allclose(best, torch.full((1, *size), 9.0))


@pytest.mark.parametrize("sides", [(1, 1), (1, 300), (300, 1), (16, 2000)])
def test_images_smaller_than_a_window_and_panoramas_have_scores_everywhere(sides):
    images = torch.rand(1, 3, *sides)
    scores = window_scores(Patches(), images, queries(torch.eye(3)), window=64, stride=32)
    doubt = rounding(scores.grids)
    assert torch.allclose(pixel_scores(scores, sides), images, rtol=0, atol=doubt)
    assert is_best(best_class(scores, sides, torch.arange(3))[1], images, doubt)


@pytest.mark.parametrize("cells", [1, 10**9])
@pytest.mark.parametrize("tile", [(1, 1), (7, 1000), (10**9, 10**18)])
def test_the_size_of_tiles_changes_nothing(monkeypatch, tile, cells):
    # In float64, where of these scores no two are as close as rounding.
    scores = random_scores((48, 80), 32, 16, 4, 4)
    expected = best_class(scores, (37, 100), owners_of(scores))
    monkeypatch.setitem(inference.TILE, "cpu", tile)
    monkeypatch.setattr(inference, "CELLS", cells)
    found = best_class(scores, (37, 100), owners_of(scores))
    assert torch.allclose(found[0], expected[0], rtol=0, atol=1e-12)
    assert torch.equal(found[1], expected[1])


class Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that is made meanwhile."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.numbers = max(self.numbers, made.untyped_storage().nbytes() // made.itemsize)
        return made


@pytest.mark.parametrize("logit_scale", [None, 40.0])
def test_no_map_of_all_classes_is_held_at_pixels(logit_scale):
    scores, size = random_scores((224, 448), 224, 112, 171, 16, torch.float32), (256, 512)
    scores.grids.mul_(0.05)
    with Largest() as largest:
        best_class(scores, size, owners_of(scores), logit_scale=logit_scale)
    assert math.prod(size) <= largest.numbers < 171 * math.prod(size) / 30


@pytest.mark.parametrize("scale", [1.0, 40.0, 100.0])
def test_a_softmax_at_pixels_is_over_all_queries(scale):
    scores = random_scores((32, 48), 32, 16, 5, 8, batch=2)
    expected = (scale * step_by_step(scores, (20, 30))).softmax(1).max(1)
    # An error of 1e-15 in a score, 100 times as large in a logit, is as large in its probability.
    best, index = best_class(scores, (20, 30), owners_of(scores), logit_scale=scale)
    assert torch.allclose(best, expected.values, rtol=0, atol=1e-12)
    assert torch.equal(index, expected.indices)


def test_a_class_has_the_best_of_its_queries():
    scores, owners = random_scores((32, 48), 32, 16, 5, 8), torch.tensor([0, 2, 1, 2, 0])
    pixels = step_by_step(scores, (20, 30)).softmax(1)
    classes = torch.stack([pixels[:, owners == c].amax(1) for c in range(3)], 1)
    best, index = best_class(scores, (20, 30), owners, logit_scale=1.0)
    assert torch.allclose(best, classes.amax(1))
    assert torch.equal(index, classes.argmax(1))


@pytest.mark.parametrize("logit_scale", [None, 40.0])
def test_of_equal_scores_the_first_class_wins(logit_scale):
    scores = random_scores((32, 48), 32, 16, 4, 8)
    # Whole numbers, of which pixels get sixteenths: equal scores are equal in any arithmetic.
    scores.grids.mul_(8).round_()
    scores.grids[:, 2:] = scores.grids[:, :2]
    owners = torch.tensor([1, 4, 3, 0])
    _, index = best_class(scores, (32, 48), owners, logit_scale=logit_scale)
    assert index.unique().tolist() == [0, 1]


def test_scores_that_are_no_number_are_no_class():
    scores = random_scores((32, 48), 32, 16, 4, 8)
    scores.grids[:] = torch.nan
    _, index = best_class(scores, (20, 30), owners_of(scores))
    assert index.unique().tolist() == [4]


def test_a_class_that_is_not_allowed_stays_in_the_softmax_and_is_never_the_best():
    scores, owners = random_scores((32, 48), 32, 16, 5, 8, batch=2), torch.tensor([0, 2, 1, 2, 0])
    allowed = torch.tensor([[True, True, False], [True, False, True]])
    pixels = step_by_step(scores, (20, 30)).softmax(1) * allowed[:, owners, None, None]
    best, index = best_class(scores, (20, 30), owners, logit_scale=1.0, allowed=allowed)
    assert torch.allclose(best, pixels.amax(1))
    assert torch.equal(index, owners[pixels.argmax(1)])
    assert [i.unique().tolist() for i in index] == [[0, 1], [0, 2]]


@pytest.mark.parametrize(("batch_size", "expected"), [(1, [1] * 12), (5, [5, 5, 2]), (32, [12])])
def test_windows_of_all_images_enter_the_model_together(batch_size, expected):
    images, segmenter = torch.rand(2, 3, 24, 32), Patches(4)
    scores = window_scores(segmenter, images, queries(torch.eye(3)), 16, 8, batch_size=batch_size)
    assert segmenter.batches == expected
    alone = [window_scores(segmenter, i[None], queries(torch.eye(3)), 16, 8).grids for i in images]
    assert torch.allclose(scores.grids, torch.cat(alone))


def test_scores_of_half_precision_are_resized_in_single_precision():
    images = torch.rand(1, 3, 8, 8)
    scores = window_scores(Patches(4, torch.bfloat16), images, queries(torch.eye(3)), 8, 4)
    best, _ = best_class(scores, (8, 8), torch.arange(3), logit_scale=1.0)
    assert scores.grids.dtype == best.dtype == torch.float32


def test_anything_with_a_predict_method_and_a_multiple_is_a_segmenter():
    assert isinstance(Patches(), Segmenter)
    assert not isinstance(object(), Segmenter)


def single(scores: list[list[float]]) -> WindowScores:
    """Of one window of one row: a list for each pixel, of its classes."""
    grid = torch.tensor(scores).T[None, :, None]
    return WindowScores(grid, Axis(1, 1, (0,)), Axis(grid.shape[3], grid.shape[3], (0,)))


def test_scores_are_interpolated_before_the_best_class_is_taken():
    scores = single([[1.0, 0.0], [0.0, 0.9]])
    best, index = best_class(scores, (1, 8), torch.tensor([1, 2]))
    assert index.tolist() == [[[1, 1, 1, 1, 2, 2, 2, 2]]]
    assert with_background(best, index, 0.8).tolist() == [[[1, 1, 1, 0, 0, 0, 2, 2]]]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, [3, 1]), (0.5, [3, 1]), (0.50001, [0, 1]), (0.75, [0, 1]), (0.76, [0, 0]), (1, [0, 0])],
)
def test_a_pixel_is_background_only_below_the_threshold(threshold, expected):
    best, index = torch.tensor([[[0.5, 0.75]]]), torch.tensor([[[3, 1]]])
    assert with_background(best, index, float(threshold)).tolist() == [[expected]]
    assert torch.equal(with_background(best, index, None), index)


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.4, [3, 1]), (0.6, [0, 1]), (0.76, [0, 1]), (1, [0, 1])]
)
def test_groupvits_rule_keeps_the_most_certain_pixel_of_every_image(threshold, expected):
    best, index = torch.tensor([[[0.5, 0.75]], [[0.1, 0.05]]]), torch.tensor([[[3, 1]], [[2, 2]]])
    found = with_background(best, index, float(threshold), "groupvit")
    assert found.tolist() == [[expected], [[2, 0]]]


@property_test
@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0]), min_size=6, max_size=6),
    st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 1.0]), min_size=1, unique=True),
    st.sampled_from(["constant", "groupvit"]),
)
def test_the_number_of_thresholds_reached_says_where_each_makes_background(best, values, rule):
    pixels, thresholds = torch.tensor(best).view(2, 1, 3), sorted(values)
    reached = thresholds_reached(pixels, torch.tensor(thresholds), rule)
    for number, threshold in enumerate(thresholds):
        lowest = pixels.amax((1, 2), keepdim=True).clamp(max=torch.tensor(threshold))
        kept = pixels >= (torch.tensor(threshold) if rule == "constant" else lowest)
        assert torch.equal(reached > number, kept)
        found = with_background(pixels, torch.ones(2, 1, 3).long(), threshold, rule)
        assert torch.equal(found == 1, kept)
