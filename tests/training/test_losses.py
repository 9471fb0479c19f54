import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroseg.data.views import ViewSet, view_overlap
from zeroseg.training import losses

KINDS = pytest.mark.parametrize(
    ("kind", "normalise"), [("l1", True), ("l1", False), ("cosine", True)]
)
seeds = st.integers(0, 10_000)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_visible(batch, patches, count, seed=0):
    order = torch.rand(batch, patches, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return order[:, :count].sort(dim=1).values


@pytest.mark.parametrize(
    ("kind", "normalise", "expected"),
    [
        ("l1", False, 9.0),
        ("l1", True, 3 / 5 + 1 / 5),
        ("cosine", True, 1 - 4 / 5),
        ("cosine", False, 1 - 4 / 5),
    ],
)
def test_distance_of_three_four_to_zero_ten(kind, normalise, expected):
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 10.0])
    assert losses.distance(a, b, kind, normalise).item() == pytest.approx(expected)


@KINDS
def test_distance_is_symmetric_and_zero_to_itself(kind, normalise):
    a, b = randn(5, 4), randn(5, 4, seed=1)
    torch.testing.assert_close(
        losses.distance(a, b, kind, normalise), losses.distance(b, a, kind, normalise)
    )
    itself = losses.distance(a, a, kind, normalise)
    torch.testing.assert_close(itself, torch.zeros_like(itself))


@pytest.mark.parametrize("kind", ["l1", "cosine"])
def test_normalised_distance_ignores_length(kind):
    a, b = randn(5, 4), randn(5, 4, seed=1)
    torch.testing.assert_close(losses.distance(3 * a, b / 7, kind), losses.distance(a, b, kind))


def test_patchify_gives_zero_mean_and_unit_variance():
    patches = losses.patchify(randn(2, 3, 8, 12), 4)
    assert patches.shape == (2, 6, 48)
    torch.testing.assert_close(patches.mean(-1), torch.zeros(2, 6).double())
    # The variance is one part in 1e6 too large where it is divided by.
    torch.testing.assert_close(patches.var(-1), torch.ones(2, 6).double(), rtol=1e-5, atol=0)


def test_patchify_runs_row_by_row_with_channels_last():
    image = randn(1, 3, 4, 6)
    corner = image[0, :, 0:2, 4:6].permute(1, 2, 0).flatten()
    expected = (corner - corner.mean()) / corner.std()
    torch.testing.assert_close(losses.patchify(image, 2)[0, 2], expected, rtol=1e-5, atol=0)


def test_patchify_of_a_flat_image_is_zero():
    assert losses.patchify(torch.full((1, 3, 4, 4), 0.5), 2).abs().max() == 0


def test_reconstruction_loss_is_the_error_of_hidden_patches_alone():
    predicted, target = randn(2, 6, 12), randn(2, 6, 12, seed=1)
    visible = torch.tensor([[0, 2, 3], [1, 4, 5]])
    hidden = torch.tensor([[1, 4, 5], [0, 2, 3]])
    errors = [(predicted[b, hidden[b]] - target[b, hidden[b]]).square() for b in range(2)]
    loss = losses.reconstruction_loss(predicted, target, visible)
    torch.testing.assert_close(loss, torch.stack(errors).mean())


def test_reconstruction_loss_does_not_see_visible_patches():
    target, visible = randn(1, 4, 12), torch.tensor([[0, 3]])
    predicted = target.clone()
    predicted[:, [0, 3]] += 100
    assert losses.reconstruction_loss(predicted, target, visible) == 0


def test_reconstruction_loss_is_zero_if_nothing_is_hidden():
    visible = torch.arange(4)[None]
    assert losses.reconstruction_loss(randn(1, 4, 12), randn(1, 4, 12, seed=1), visible) == 0


@pytest.mark.parametrize(
    ("kind", "expected"), [("l1", (0 + 2 + 2) / 3), ("cosine", (0 + 1 + 1) / 3)]
)
def test_multi_scale_loss_is_the_mean_over_views(kind, expected):
    whole = torch.tensor([[2.0, 0.0]])
    views = torch.tensor([[[5.0, 0.0], [0.0, 1.0], [0.0, -3.0]]])
    assert losses.multi_scale_loss(whole, views, kind).item() == pytest.approx(expected)


def test_multi_scale_loss_without_normalisation_sums_raw_differences():
    whole, views = torch.tensor([[1.0, 2.0]]), torch.tensor([[[0.0, 0.0], [1.0, 5.0]]])
    assert losses.multi_scale_loss(whole, views, "l1", normalise=False).item() == pytest.approx(3.0)


@KINDS
def test_matching_loss_is_zero_when_every_segment_is_some_view(kind, normalise):
    views = randn(2, 5, 8)
    segments = torch.stack([views[0, [4, 1, 1]], views[1, [0, 2, 3]]])
    loss = losses.matching_loss(segments, views, kind, normalise)
    torch.testing.assert_close(loss, torch.zeros_like(loss))


@given(seed=seeds, segments=st.integers(1, 4), views=st.integers(1, 5))
@settings(max_examples=25)
def test_matching_loss_sums_the_smallest_distance_of_each_segment(seed, segments, views):
    a, b = randn(2, segments, 3, seed=seed), randn(2, views, 3, seed=seed + 1)
    smallest = [
        min((F.normalize(s, dim=0) - F.normalize(v, dim=0)).abs().sum().item() for v in b[i])
        for i in range(2)
        for s in a[i]
    ]
    assert losses.matching_loss(a, b).item() == pytest.approx(sum(smallest) / 2)


@given(seed=seeds)
@settings(max_examples=20)
def test_matching_loss_ignores_the_order_of_segments_and_of_views(seed):
    segments, views = randn(2, 4, 6, seed=seed), randn(2, 5, 6, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    shuffled = segments[:, torch.randperm(4, generator=generator)]
    other_views = views[:, torch.randperm(5, generator=generator)]
    expected = losses.matching_loss(segments, views)
    torch.testing.assert_close(losses.matching_loss(shuffled, views), expected)
    torch.testing.assert_close(losses.matching_loss(segments, other_views), expected)


def test_matching_gradient_is_the_sign_of_the_difference_to_the_nearest_view():
    segments = torch.tensor([[[0.0, 0.0], [9.0, 9.0]]], requires_grad=True)
    views = torch.tensor([[[1.0, -2.0], [8.0, 11.0], [50.0, 50.0]]], requires_grad=True)
    losses.matching_loss(segments, views, normalise=False).backward()
    assert segments.grad.tolist() == [[[-1.0, 1.0], [1.0, -1.0]]]
    assert views.grad.tolist() == [[[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]]]


@KINDS
def test_matching_gradient_is_that_of_finite_differences(kind, normalise):
    views = randn(1, 4, 3)
    segments = randn(1, 2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: losses.matching_loss(s, views, kind, normalise), segments
    )


@given(seed=seeds, count=st.integers(1, 16))
@settings(max_examples=25)
def test_visible_shares_sum_to_one_or_are_all_zero(seed, count):
    overlap = view_overlap(ViewSet(grids=(1, 2, 3)), (32, 32), 8)
    visible = some_visible(3, 16, count, seed)
    shares = losses.visible_shares(overlap, visible)
    touched = overlap[:, visible].sum(dim=-1).T > 0
    torch.testing.assert_close(shares.sum(dim=-1), touched.float())
    assert shares[~touched].eq(0).all()


def test_shares_are_in_proportion_to_the_overlap():
    overlap = view_overlap(ViewSet(grids=(2,)), (24, 24), 8)
    shares = losses.visible_shares(overlap, torch.tensor([[0, 1, 4]]))
    torch.testing.assert_close(shares[0, 0], torch.tensor([1.0, 0.5, 0.25]) / 1.75)
    torch.testing.assert_close(shares[0, 3], torch.tensor([0.0, 0.0, 1.0]))


def test_composition_of_one_hot_assignments_averages_the_segments_of_the_cells_patches():
    segments, owners = (
        randn(1, 3, 5),
        torch.tensor([0, 2, 1, 1, 0, 2, 2, 2, 0, 1, 1, 0, 0, 0, 2, 1]),
    )
    assignment = F.one_hot(owners, 3).T[None].double()
    overlap = view_overlap(ViewSet(grids=(1, 2)), (32, 32), 8).double()
    shares = losses.visible_shares(overlap, torch.arange(16)[None])
    told = shares @ losses.composed_patches(assignment, segments)
    cells = [range(16), [0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    for cell, row in zip(cells, told[0], strict=True):
        vectors = [F.normalize(segments[0, owners[patch]], dim=0) for patch in cell]
        torch.testing.assert_close(row, torch.stack(vectors).mean(dim=0))


@pytest.mark.parametrize("kind", ["l1", "cosine"])
def test_pooled_loss_is_the_same_when_cells_and_views_are_permuted_together(kind):
    patches, views = randn(2, 6, 5), randn(2, 14, 5, seed=1)
    overlap, visible = (
        view_overlap(ViewSet(grids=(1, 2, 3)), (32, 32), 8).double(),
        some_visible(2, 16, 6),
    )
    permutation = torch.randperm(14, generator=torch.Generator().manual_seed(3))
    loss = losses.pooled_loss(patches, losses.visible_shares(overlap, visible), views, kind)
    shares = losses.visible_shares(overlap[permutation], visible)
    other = losses.pooled_loss(patches, shares, views[:, permutation], kind)
    torch.testing.assert_close(loss, other)


def test_pooled_loss_ignores_cells_without_a_visible_patch():
    overlap = view_overlap(ViewSet(grids=(2,)), (32, 32), 8).double()
    visible = torch.tensor([[0, 1, 10]])
    shares = losses.visible_shares(overlap, visible)
    patches, views = randn(1, 3, 4), randn(1, 4, 4, seed=1)
    elsewhere = views.clone()
    elsewhere[:, 1:3] = randn(1, 2, 4, seed=2)
    loss = losses.pooled_loss(patches, shares, views)
    torch.testing.assert_close(loss, losses.pooled_loss(patches, shares, elsewhere))
    seen = losses.distance((shares @ patches)[:, [0, 3]], views[:, [0, 3]], "l1").mean()
    torch.testing.assert_close(loss, seen)


def test_pooled_loss_counts_images_alike_however_many_of_their_cells_are_seen():
    overlap = view_overlap(ViewSet(grids=(2,)), (32, 32), 8).double()
    visible = torch.tensor([[0, 1, 4], [0, 2, 8]])
    shares = losses.visible_shares(overlap, visible)
    assert (shares.sum(dim=-1) > 0).sum(dim=1).tolist() == [1, 3]
    views = F.normalize(torch.ones(2, 4, 3), dim=-1).double()
    patches = views[:, :3] * torch.tensor([1.0, -1.0])[:, None, None]
    assert losses.pooled_loss(patches, shares, views, "cosine").item() == pytest.approx(1.0)


def test_pooled_loss_of_opposite_vectors_is_two_in_cosine():
    patches, views = randn(1, 1, 4).expand(-1, 16, -1), -randn(1, 1, 4).expand(-1, 4, -1)
    shares = losses.visible_shares(
        view_overlap(ViewSet(grids=(2,)), (32, 32), 8).double(), torch.arange(16)[None]
    )
    assert math.isclose(losses.pooled_loss(patches, shares, views, "cosine").item(), 2.0)


def test_the_dense_loss_is_of_each_visible_patch_and_its_own_target():
    targets = F.normalize(randn(1, 3, 4), dim=-1)
    ninety = targets[:, 1] - (targets[:, 1] * targets[:, 0]).sum(-1, keepdim=True) * targets[:, 0]
    patches = torch.stack([3 * targets[:, 2], ninety, -targets[:, 1]], dim=1)
    loss = losses.dense_loss(patches, targets, torch.tensor([[2, 0, 1]]))
    assert loss.item() == pytest.approx((0 + 1 + 2) / 3)
    elsewhere = targets.clone()
    elsewhere[:, 0] = randn(1, 4, seed=5)
    some = torch.tensor([[2, 1]])
    kept = losses.dense_loss(patches[:, :2], targets, some)
    torch.testing.assert_close(losses.dense_loss(patches[:, :2], elsewhere, some), kept)


def test_relations_of_two_views_that_patches_find_alike_and_the_teacher_does_not():
    views = torch.eye(2, dtype=torch.float64)[None]
    patches = torch.ones(1, 2, 2, dtype=torch.float64)
    # Both cosines between the two are off by one, those of each with itself by nothing.
    assert losses.relations_loss(patches, views, views).item() == pytest.approx(2 / 4)


@given(seed=seeds)
@settings(max_examples=15)
def test_relations_hold_wherever_the_students_space_is_turned_to(seed):
    overlap, visible = (
        view_overlap(ViewSet(grids=(1, 2)), (32, 32), 8).double(),
        some_visible(2, 16, 9),
    )
    shares = losses.visible_shares(overlap, visible)
    patches, views = randn(2, 9, 5, seed=seed), randn(2, 5, 5, seed=seed + 1)
    turn = torch.linalg.qr(randn(5, 5, seed=seed + 2))[0]
    loss = losses.relations_loss(patches, shares, views)
    torch.testing.assert_close(losses.relations_loss(7 * patches @ turn, shares, views), loss)
    told = losses.relations_loss(patches, shares, shares @ patches @ turn)
    seen = shares.sum(dim=-1) > 0
    assert not seen.all() or told.item() == pytest.approx(0)


def test_relations_ignore_views_without_a_visible_patch():
    overlap = view_overlap(ViewSet(grids=(2,)), (32, 32), 8).double()
    shares = losses.visible_shares(overlap, torch.tensor([[0, 1, 10]]))
    patches, views = randn(1, 3, 4), randn(1, 4, 4, seed=1)
    elsewhere = views.clone()
    elsewhere[:, 1:3] = randn(1, 2, 4, seed=2)
    loss = losses.relations_loss(patches, shares, views)
    torch.testing.assert_close(loss, losses.relations_loss(patches, shares, elsewhere))
    alone = losses.relations_loss(patches, shares[:, [0, 3]], views[:, [0, 3]])
    torch.testing.assert_close(loss, alone)
