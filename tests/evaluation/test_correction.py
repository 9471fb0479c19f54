"""The correction in closed form: what it changes, what it leaves, and what it is a posterior mean of."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.data.views import ViewSet, Windows, view_overlap
from zeroseg.errors import InputError
from zeroseg.evaluation import correction
from zeroseg.evaluation.correction import (
    Correction,
    affinity_to_views,
    agreeing_with_views,
    check_no_correction,
    mean_of_views,
    regrouped,
    segments_agreeing_with_views,
)
from zeroseg.models.readouts import StudentOutput

ROWS, COLUMNS, PATCH, EMBED, SEGMENTS = 4, 6, 8, 5, 3
SIZE = (ROWS * PATCH, COLUMNS * PATCH)
WINDOWS = ViewSet(grids=(1, 2), windows=(Windows(size=0.5, stride=0.3),))
seeds = st.integers(0, 10_000)


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def shares_of(views: ViewSet) -> torch.Tensor:
    overlap = view_overlap(views, SIZE, PATCH).double()
    return overlap / overlap.sum(dim=1, keepdim=True)


def world(seed: int, views: ViewSet = WINDOWS, batch: int = 2):
    """Patches of a student, shares of views, and what a teacher says of these."""
    shares = shares_of(views)
    patches = unit(batch, ROWS * COLUMNS, EMBED, seed=seed)
    return patches, shares, unit(batch, len(shares), EMBED, seed=seed + 1)


def solved(patches, shares, views, kernel=4.0, diagonal=0.02, noise=0.5) -> torch.Tensor:
    reach = affinity_to_views(patches, shares, kernel, diagonal)
    return agreeing_with_views(patches, reach, shares, views, noise)


def output(seed: int, batch: int = 2) -> StudentOutput:
    generator = torch.Generator().manual_seed(seed)
    assignment = torch.randn(batch, SEGMENTS, ROWS * COLUMNS, generator=generator).softmax(dim=1)
    return StudentOutput(
        segments=3 * unit(batch, SEGMENTS, EMBED, seed=seed + 2).float(),
        assignment=assignment,
        global_feature=torch.zeros(batch, EMBED),
        patches=7 * unit(batch, ROWS * COLUMNS, EMBED, seed=seed).float(),
        visible=torch.arange(ROWS * COLUMNS).expand(batch, -1),
        reconstruction=None,
        grid=(ROWS, COLUMNS),
    )


@given(seeds, st.floats(0, 8), st.floats(0, 1), st.floats(0.05, 2))
def test_the_correction_is_the_posterior_mean_of_a_gaussian_process(seed, kernel, diagonal, noise):
    """Against the joint covariance of patches and observations, written out and conditioned."""
    patches, shares, views = world(seed, batch=1)
    p, s, v = patches[0].numpy(), shares.numpy(), views[0].numpy()
    prior = np.exp(kernel * (p @ p.T - 1)) + diagonal * np.eye(len(p))
    joint = np.block([[prior, prior @ s.T], [s @ prior, s @ prior @ s.T + noise * np.eye(len(s))]])
    precision = np.linalg.inv(joint[len(p) :, len(p) :])
    expected = p + joint[: len(p), len(p) :] @ precision @ (v - s @ p)
    found = solved(patches, shares, views, kernel, diagonal, noise)[0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-9)


@given(seeds)
def test_without_noise_the_patches_of_a_view_say_together_what_the_view_says(seed):
    patches, shares, views = world(seed, ViewSet(grids=(3,)))
    found = solved(patches, shares, views, noise=1e-10)
    torch.testing.assert_close(shares @ found, views, rtol=0, atol=1e-6)


@given(seeds)
def test_with_ever_more_noise_the_student_is_left_as_it_is(seed):
    patches, shares, views = world(seed)
    torch.testing.assert_close(solved(patches, shares, views, noise=1e12), patches)


@given(seeds)
def test_views_that_say_what_the_student_says_change_nothing(seed):
    patches, shares, _ = world(seed)
    torch.testing.assert_close(solved(patches, shares, shares @ patches), patches)


def test_without_views_nothing_is_changed():
    patches, shares, views = world(0)
    assert torch.equal(solved(patches, shares[:0], views[:, :0]), patches)
    reach = affinity_to_views(patches, shares[:0], 4.0, 0.02)
    assert torch.equal(mean_of_views(reach, views[:, :0]), 0 * patches)


@given(seeds, st.permutations(range(WINDOWS.count)))
def test_the_order_of_the_views_does_not_matter(seed, order):
    patches, shares, views = world(seed)
    turned = solved(patches, shares[order], views[:, order])
    torch.testing.assert_close(turned, solved(patches, shares, views))
    means = [
        mean_of_views(affinity_to_views(patches, s, 16.0), v)
        for s, v in ((shares, views), (shares[order], views[:, order]))
    ]
    torch.testing.assert_close(*means)


@pytest.mark.parametrize("held", [1, 100, 2**24])
def test_affinities_are_the_same_however_many_are_held_at_once(monkeypatch, held):
    patches, shares, _ = world(3)
    monkeypatch.setattr(correction, "HELD", held)
    whole = (4 * (patches @ patches.mT - 1)).exp() + 0.02 * torch.eye(ROWS * COLUMNS)
    torch.testing.assert_close(affinity_to_views(patches, shares, 4.0, 0.02), whole @ shares.mT)


@given(seeds)
def test_the_mean_is_of_all_views_alike_where_all_patches_are(seed):
    patches, shares, views = world(seed)
    alone = mean_of_views(affinity_to_views(patches, shares[:1], 16.0), views[:, :1])
    torch.testing.assert_close(alone, views[:, :1].expand_as(patches))
    alike = mean_of_views(affinity_to_views(patches, shares, 0.0), views)
    torch.testing.assert_close(alike, views.mean(dim=1, keepdim=True).expand_as(patches))


@given(seeds)
def test_a_patch_that_is_like_no_other_takes_the_mean_of_the_views_that_it_lies_in(seed):
    patches, shares, views = torch.eye(24, dtype=torch.float64)[None], *world(seed, batch=1)[1:]
    found = mean_of_views(affinity_to_views(patches, shares, 1e3), views)
    expected = shares.T / shares.sum(dim=0)[:, None] @ views
    torch.testing.assert_close(found, expected)


def test_patches_are_assigned_to_the_segments_that_they_are_like():
    patches, before = unit(2, 24, EMBED, seed=3).float(), output(3).assignment
    same, segments = regrouped(before, patches, 0.0)
    torch.testing.assert_close(same, before)
    torch.testing.assert_close(segments, F.normalize(before @ patches, dim=-1))
    sharp, named = regrouped(before, patches, 1e4)
    torch.testing.assert_close(sharp.sum(dim=1), torch.ones(2, 24))
    torch.testing.assert_close(named, F.normalize(sharp @ patches, dim=-1))
    first = F.one_hot((segments @ patches.mT).argmax(dim=1), SEGMENTS).mT.float()
    again = F.normalize(first @ patches, dim=-1) @ patches.mT
    assert torch.equal(sharp.argmax(dim=1), again.argmax(dim=1))


@given(seeds, st.floats(0.01, 3))
def test_a_segment_that_is_a_view_lies_between_what_both_say(seed, noise):
    segments, views = unit(2, SEGMENTS, EMBED, seed=seed), unit(2, SEGMENTS, EMBED, seed=seed + 1)
    owned = torch.eye(SEGMENTS, dtype=torch.float64).expand(2, -1, -1)
    found = segments_agreeing_with_views(segments, owned, views, noise)
    torch.testing.assert_close(found, (views + noise * segments) / (1 + noise))


@given(seeds)
def test_views_that_say_what_the_segments_say_change_none_of_them(seed):
    segments, owned = unit(2, SEGMENTS, EMBED, seed=seed), unit(2, 7, SEGMENTS, seed=seed + 1).abs()
    torch.testing.assert_close(
        segments_agreeing_with_views(segments, owned, owned @ segments, 0.3), segments
    )


@pytest.mark.parametrize("kind", ["mean", "solve", "fused"])
@pytest.mark.parametrize("patches", [True, False])
def test_an_image_is_corrected_alike_alone_and_in_a_batch(kind, patches):
    views, overlap = (
        unit(3, WINDOWS.count, EMBED, seed=5).float(),
        view_overlap(WINDOWS, SIZE, PATCH),
    )
    whole, chosen = output(4, batch=3), Correction(kind=kind, views=WINDOWS)
    whole = whole if patches else whole._replace(patches=None)
    together = chosen.corrected(whole, overlap, views)
    for i in range(3):
        one = StudentOutput(*(v[i : i + 1] if isinstance(v, torch.Tensor) else v for v in whole))
        alone = chosen.corrected(one, overlap, views[i : i + 1])
        torch.testing.assert_close(alone.segments, together.segments[i : i + 1])
        torch.testing.assert_close(alone.assignment, together.assignment[i : i + 1])
        if patches:
            torch.testing.assert_close(alone.patches, together.patches[i : i + 1])


def test_patches_are_corrected_and_segments_follow_them():
    views, overlap = (
        unit(2, WINDOWS.count, EMBED, seed=5).float(),
        view_overlap(WINDOWS, SIZE, PATCH),
    )
    before, shares = output(4), shares_of(WINDOWS).float()
    patches = F.normalize(before.patches, dim=-1)
    mean = patches + 2 * mean_of_views(affinity_to_views(patches, shares, 16.0), views)
    fused = patches + overlap.mT @ views
    ways = {"solve": solved(patches, shares, views), "mean": mean, "fused": fused}
    for kind, expected in ways.items():
        found = Correction(kind=kind, views=WINDOWS).corrected(before, overlap, views)
        torch.testing.assert_close(found.patches, F.normalize(expected, dim=-1))
        assignment, segments = regrouped(before.assignment, found.patches, 40.0)
        assert torch.equal(found.assignment, assignment)
        assert torch.equal(found.segments, segments)


def test_without_patch_embeddings_segments_agree_with_the_views():
    views, overlap = (
        unit(2, WINDOWS.count, EMBED, seed=5).float(),
        view_overlap(WINDOWS, SIZE, PATCH),
    )
    before = output(4)._replace(patches=None)
    segments, shares = F.normalize(before.segments, dim=-1), shares_of(WINDOWS).float()
    owned = shares @ before.assignment.mT
    solve = segments_agreeing_with_views(segments, owned, views, 0.3)
    mean = segments + 2 * mean_of_views(owned.mT, views)
    for kind, expected in (("solve", solve), ("mean", mean)):
        found = Correction(kind=kind, views=WINDOWS).corrected(before, overlap, views)
        torch.testing.assert_close(found.segments, expected)
        assert found.assignment is before.assignment


def test_a_small_noise_is_solved_as_exactly_in_single_precision():
    patches, shares, views = world(9)
    single = solved(patches.float(), shares.float(), views.float(), noise=1e-3)
    double = solved(patches, shares, views, noise=1e-3)
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kernel": -1.0}, r"correction\.kernel is -1\.0: it must be at least 0"),
        ({"share": -1.0}, r"correction\.share is -1\.0: it must be at least 0"),
        ({"regrouping": -1.0}, r"correction\.regrouping is -1\.0: it must be at least 0"),
        ({"diagonal": -0.1}, r"correction\.diagonal is -0\.1: it must be at least 0"),
        ({"noise": 0.0}, r"correction\.noise is 0\.0: it must be above 0"),
        ({"segment_noise": -1.0}, r"correction\.segment_noise is -1\.0: it must be above 0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(fields, says):
    with pytest.raises(InputError, match=says):
        Correction(**fields)


def test_a_correction_is_told_by_its_kind_and_by_what_is_changed():
    assert str(Correction()) == ""
    assert str(Correction(kind="solve")) == "solve"
    assert str(Correction(kind="mean", kernel=2.0)) == "mean, kernel 2"
    changed = Correction(kind="solve", segment_noise=1.0, views=ViewSet(grids=(1, 2)))
    assert str(changed) == "solve, segment noise 1, views 1x1, 2x2"


def test_held_out_data_chooses_from_all_kinds_with_the_same_numbers():
    asked = Correction(kind="held-out", noise=0.1)
    assert [c.kind for c in asked.candidates] == ["none", "mean", "solve", "fused"]
    assert {c.noise for c in asked.candidates} == {0.1}
    assert Correction(kind="mean").candidates == (Correction(kind="mean"),)


def test_a_teacher_is_not_corrected_by_itself():
    check_no_correction(Correction())
    with pytest.raises(InputError, match="correction 'solve' of a CLIP that was never trained"):
        check_no_correction(Correction(kind="solve"))
