import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroseg.data.views import ViewSet, Windows, view_overlap
from zeroseg.models.vit import random_patches
from zeroseg.models.zeroseg import StudentOutput
from zeroseg.training import losses
from zeroseg.training.losses import grouping_figures, nearest_view_figures
from zeroseg.training.objectives import (
    ViewComposition,
    Views,
    ZeroSegPaper,
)

GRIDS = (1, 2)
NAMES = ("composition", "patches", "agreement", "multi_scale")
EVERY_TERM = ViewComposition(dense_weight=2.0, relations_weight=3.0)


def randn(*shape, seed=0):
    """In float64, where what is left of a difference is a fault."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def some_views(grids=GRIDS, batch=2, seed=7, *, dense=False):
    chosen = ViewSet(grids=grids)
    embeddings = F.normalize(randn(batch, chosen.count, 6, seed=seed), dim=-1)
    targets = F.normalize(randn(batch, 16, 6, seed=seed + 1), dim=-1) if dense else None
    return Views(embeddings, chosen, view_overlap(chosen, (32, 32), 8).double(), targets)


def some_output(*, patches=True, grad=False):
    leaves = [randn(2, 3, 6), randn(2, 3, 10, seed=1), randn(2, 6, seed=2), randn(2, 10, 6, seed=3)]
    segments, logits, whole, own = (leaf.requires_grad_(grad) for leaf in leaves)
    visible = torch.arange(10).expand(2, -1)
    kept = own if patches else None
    return StudentOutput(segments, logits.softmax(dim=1), whole, kept, visible, None, (4, 4)), own


def replaced(views, index, value):
    embeddings = views.embeddings.clone()
    embeddings[:, index] = value
    return Views(embeddings, views.set, views.overlap)


def part(output, views, images):
    *tensors, grid = output
    output = StudentOutput(*(value[images] for value in tensors), grid)
    dense = None if views.dense is None else views.dense[images]
    return output, Views(views.embeddings[images], views.set, views.overlap, dense)


def terms_and_reconstruction(terms, output, views, target):
    painted = losses.reconstruction_loss(output.reconstruction, target, output.visible)
    return terms(output, views, 0) | {"reconstruction": painted}


@pytest.mark.parametrize("terms", [ZeroSegPaper(), ViewComposition(), EVERY_TERM])
@given(seed=st.integers(0, 1000), half=st.integers(1, 4), visible=st.integers(1, 16))
@settings(max_examples=20)
def test_the_losses_of_a_batch_are_the_mean_of_those_of_its_halves(terms, seed, half, visible):
    torch.manual_seed(seed)
    count = 2 * half
    views = some_views((1, 2, 3, 4), count, seed, dense=terms == EVERY_TERM)
    output = StudentOutput(
        segments=randn(count, 3, 6, seed=seed + 1),
        assignment=randn(count, 3, visible, seed=seed + 2).softmax(dim=1),
        global_feature=randn(count, 6, seed=seed + 3),
        patches=randn(count, visible, 6, seed=seed + 4),
        visible=random_patches(count, 16, 1 - visible / 16, torch.device("cpu")),
        reconstruction=randn(count, 16, 12, seed=seed + 5),
        grid=(4, 4),
    )
    target = randn(count, 16, 12, seed=seed + 6)
    together = terms_and_reconstruction(terms, output, views, target)
    first, second = (
        terms_and_reconstruction(terms, *part(output, views, images), target[images])
        for images in (slice(half), slice(half, None))
    )
    for name, loss in together.items():
        torch.testing.assert_close(loss, (first[name] + second[name]) / 2, msg=name)


@given(seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_a_segment_never_matches_the_view_of_the_full_image(seed):
    views, (output, _) = some_views(), some_output()
    output = output._replace(segments=views.embeddings[:, :1].expand(-1, 3, -1))
    matching = ZeroSegPaper()(output, views, 0)["matching"]
    other = F.normalize(randn(2, 6, seed=seed), dim=-1)
    assert matching > 0.1
    assert ZeroSegPaper()(output, replaced(views, 0, other), 0)["matching"] == matching


def test_a_segment_that_is_a_local_view_matches_it():
    views, (output, _) = some_views(), some_output()
    output = output._replace(segments=views.embeddings[:, [1, 4, 4]])
    assert ZeroSegPaper()(output, views, 0)["matching"].item() == pytest.approx(0)


def test_all_views_are_local_without_the_full_image():
    views, (output, _) = some_views((2, 3)), some_output()
    output = output._replace(segments=views.embeddings[:, [0, 5, 12]])
    assert ZeroSegPaper()(output, views, 0)["matching"].item() == pytest.approx(0)


def test_multi_scale_is_the_distance_to_all_views():
    views, (output, _) = some_views(), some_output()
    expected = losses.multi_scale_loss(output.global_feature, views.embeddings)
    torch.testing.assert_close(ZeroSegPaper()(output, views, 0)["multi_scale"], expected)


def test_without_multi_scale_only_the_full_image_is_distilled():
    views, (output, _) = some_views(), some_output()
    terms = ZeroSegPaper(multi_scale=False)
    loss = terms(output, views, 0)["multi_scale"]
    expected = losses.distance(output.global_feature, views.embeddings[:, 0], "l1").mean()
    torch.testing.assert_close(loss, expected)
    elsewhere = replaced(views, slice(1, None), F.normalize(randn(2, 4, 6, seed=9), dim=-1))
    assert terms(output, elsewhere, 0)["multi_scale"] == loss


@pytest.mark.parametrize(
    ("step", "share"), [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0), (1000, 1.0)]
)
def test_matching_weight_rises_linearly_to_its_full_value(step, share):
    views, (output, _) = some_views(), some_output()
    full = ZeroSegPaper()(output, views, 0)["matching"]
    got = ZeroSegPaper(matching_warmup=4, matching_weight=3.0)(output, views, step)["matching"]
    torch.testing.assert_close(got, 3 * share * full)


def test_matching_of_weight_zero_is_computed_but_counts_nothing():
    output, _ = some_output()
    assert ZeroSegPaper(matching_weight=0.0)(output, some_views(), 0)["matching"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_composition_term_of_weight_zero_counts_nothing(name):
    output, _ = some_output()
    result = ViewComposition(**{f"{name}_weight": 0.0})(output, some_views(), 0)
    assert [n for n in NAMES if result[n] == 0] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_composition_terms_grow_with_their_weights(name):
    views, (output, _) = some_views(), some_output()
    one = ViewComposition(**{f"{name}_weight": 1.0})(output, views, 0)[name]
    three = ViewComposition(**{f"{name}_weight": 3.0})(output, views, 0)[name]
    torch.testing.assert_close(three, 3 * one)


def test_optional_terms_are_left_out_unless_they_have_a_weight():
    output, _ = some_output()
    assert list(ViewComposition()(output, some_views(), 0)) == list(NAMES)
    every = EVERY_TERM(output, some_views(dense=True), 0)
    assert list(every) == [*NAMES, "dense", "relations"]
    plain = ViewComposition()(output, some_views(), 0)
    assert all(every[name] == plain[name] for name in NAMES)


def test_optional_terms_grow_with_their_weights():
    output, _ = some_output()
    views = some_views(dense=True)
    one = ViewComposition(dense_weight=1.0, relations_weight=1.0)(output, views, 0)
    more = EVERY_TERM(output, views, 0)
    torch.testing.assert_close(more["dense"], 2 * one["dense"])
    torch.testing.assert_close(more["relations"], 3 * one["relations"])


@pytest.mark.parametrize("name", ["dense", "relations"])
def test_optional_terms_move_patch_embeddings_alone(name):
    output, patches = some_output(grad=True)
    EVERY_TERM(output, some_views(dense=True), 0)[name].backward()
    assert patches.grad.abs().sum() > 0
    assert output.segments.grad is None


def test_agreement_moves_segments_and_assignment_but_not_patch_embeddings():
    output, patches = some_output(grad=True)
    ViewComposition()(output, some_views(), 0)["agreement"].backward(
        inputs=[output.segments, output.assignment, patches]
    )
    assert output.segments.grad.abs().sum() > 0
    assert output.assignment.grad.abs().sum() > 0
    assert patches.grad is None


def test_patches_term_moves_patch_embeddings():
    output, patches = some_output(grad=True)
    ViewComposition()(output, some_views(), 0)["patches"].backward()
    assert patches.grad.abs().sum() > 0
    assert output.segments.grad is None


def test_composition_is_zero_when_one_segment_says_what_every_view_says():
    direction = F.normalize(randn(1, 1, 6), dim=-1)
    views = replace(some_views(), embeddings=direction.expand(2, 5, -1))
    output, _ = some_output()
    assignment = F.one_hot(torch.zeros(2, 10).long(), 3).mT.double()
    segments = torch.cat([4 * direction.expand(2, 1, -1), randn(2, 2, 6)], dim=1)
    output = output._replace(
        segments=segments,
        assignment=assignment,
        global_feature=direction[0].expand(2, -1),
        patches=direction.expand(2, 10, -1),
    )
    for value in ViewComposition()(output, views, 0).values():
        assert value.item() == pytest.approx(0)


def test_figures_of_one_segment_that_owns_all():
    assignment = F.one_hot(torch.full((2, 20), 3), 5).mT.float()
    figures = grouping_figures(assignment)
    assert figures["grouping/segments_used"] == 1
    assert figures["grouping/largest_share"] == 1
    assert figures["grouping/entropy"] == 0


@pytest.mark.parametrize("segments", [2, 5, 8])
def test_entropy_of_a_uniform_assignment_is_the_log_of_the_segments(segments):
    uniform = torch.full((2, segments, 7), 1 / segments, dtype=torch.float64)
    entropy = grouping_figures(uniform)["grouping/entropy"].item()
    assert entropy == pytest.approx(math.log(segments))


def test_figures_of_patches_dealt_out_evenly():
    owners = torch.arange(20).remainder(4).expand(2, -1)
    figures = grouping_figures(F.one_hot(owners, 5).mT.float())
    assert figures["grouping/segments_used"] == 4
    assert figures["grouping/largest_share"].item() == pytest.approx(0.25)


def test_a_segment_below_the_used_share_does_not_count():
    owners = torch.zeros(1, 200).long()
    owners[0, 0] = 1
    assignment = F.one_hot(owners, 2).mT.float()
    assert grouping_figures(assignment)["grouping/segments_used"] == 1
    assert grouping_figures(assignment, used_share=0.001)["grouping/segments_used"] == 2


def nearest(segments, views):
    return nearest_view_figures(segments, views.embeddings[:, views.local], views.set)


def test_the_nearest_views_are_counted_by_their_grid():
    views = some_views((1, 2, 3))
    segments = torch.stack([views.embeddings[0, [1, 4, 5, 13]], views.embeddings[1, [2, 3, 4, 9]]])
    figures = nearest(3 * segments, views)
    assert {name: share.item() for name, share in figures.items()} == {
        "nearest/2x2": 5 / 8,
        "nearest/3x3": 3 / 8,
    }


def test_the_full_image_is_never_the_nearest_view():
    views = some_views((1, 2))
    figures = nearest(views.embeddings[:, :1], views)
    assert {name: share.item() for name, share in figures.items()} == {"nearest/2x2": 1.0}
    assert nearest(views.embeddings, some_views((1,))) == {}


def test_the_nearest_windows_are_counted_by_their_own_name():
    chosen = ViewSet(grids=(1, 2), windows=(Windows(size=0.5, stride=0.25),))
    embeddings = F.normalize(randn(1, 14, 16), dim=-1)
    figures = nearest_view_figures(embeddings[:, [1, 5, 9, 13]], embeddings[:, 1:], chosen)
    shares = {name: share.item() for name, share in figures.items()}
    assert shares == {"nearest/2x2": 1 / 4, "nearest/windows 0.5:0.25": 3 / 4}


@given(
    seed=st.integers(0, 1000),
    grids=st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True).map(sorted),
)
@settings(max_examples=25)
def test_shares_of_nearest_views_sum_to_one_over_the_grids(seed, grids):
    views = some_views(tuple(grids), 3, seed)
    figures = nearest(randn(3, 5, 6, seed=seed + 1), views)
    assert list(figures) == [f"nearest/{grid}x{grid}" for grid in grids if grid > 1]
    if figures:
        assert sum(figures.values()).item() == pytest.approx(1.0)
