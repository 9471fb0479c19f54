import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.support.queries import queries
from zeroseg.data.views import ViewSet, Windows, cut_views, view_overlap
from zeroseg.datasets.queries import Queries
from zeroseg.errors import InputError
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.segmenters import (
    METHODS,
    OVERLAPPING,
    CorrectedCLIP,
    DenseCLIP,
    Student,
    ViewAverage,
    clip_segmenter,
    clip_spec,
)
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.prompts import SIMPLE
from zeroseg.models.segmenter import Segmenter, ShowsSegments
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig

SIZES = [(48, 48), (50, 71), (112, 80)]
SMALL = {"trunk": ViT(patch_size=8, width=16, depth=1, num_heads=2), "image_size": 32}
SMALL |= {"embed_dim": 6, "decoder_depth": 0}
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32"))


@pytest.fixture(scope="module")
def asked(clip) -> Queries:
    return queries(clip.class_embeddings(("red ball", "grass", "sky"), SIMPLE))


def images(size: tuple[int, int], count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """But for rounding: cosines in float32, of sums of hundreds of products in another order."""
    return torch.allclose(found, expected, rtol=0, atol=1e-5)


def crops(clip, grid):
    return DenseCLIP(clip, "maskclip", grid=grid)


@EVERY_METHOD
def test_every_method_is_a_segmenter_that_answers_cosines(clip, asked, method):
    segmenter = clip_segmenter(clip, method)
    assert isinstance(segmenter, Segmenter)
    assert not isinstance(segmenter, ShowsSegments)
    found = segmenter.predict(images((72, 40)), asked)
    assert found.shape[:2] == (2, 3)
    assert found.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("readout", ["segments", "patches", "combined"])
def test_a_student_answers_in_patches_or_pixels(readout):
    model = ZeroSeg(ZeroSegConfig(**SMALL, patch_embeddings=True))
    segmenter, asked = Student(model, readout), queries(torch.eye(6)[:4])
    assert isinstance(segmenter, Segmenter)
    assert segmenter.multiple == 8
    found = segmenter.predict(images((24, 40)), asked)
    assert found.shape == (2, 4, *((24, 40) if readout == "segments" else (3, 5)))
    assert torch.equal(found, model.predict(images((24, 40)), asked.embeddings, readout))


def test_a_student_shows_the_segment_that_owns_each_pixel_most():
    model = ZeroSeg(ZeroSegConfig(**SMALL))
    assert isinstance(Student(model, "segments"), ShowsSegments)
    owners = model.segment(images((24, 40))).assignment.argmax(1).unflatten(1, (3, 5))
    assert torch.equal(Student(model, "segments").segments(images((24, 40)), (3, 5)), owners)


def test_a_readout_that_needs_patch_embeddings_is_refused_where_there_are_none():
    model = ZeroSeg(ZeroSegConfig(**SMALL))
    with pytest.raises(InputError, match="'combined' needs a student with patch_embeddings"):
        Student(model, "combined")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [2, 3])
def test_every_grid_cell_has_the_cosines_of_its_own_view(clip, asked, grid, size):
    picture, views = images(size, 1), ViewSet(grids=(grid,))
    found = ViewAverage(clip, views).predict(picture, asked)[0]
    assert found.shape == (3, *size)
    expected = clip.encode_views(cut_views(picture, views, clip.image_size))[0]
    for box, answer in zip(views.boxes(*size), expected @ asked.embeddings.T, strict=True):
        cell = found[:, box.top : box.bottom, box.left : box.right]
        assert same(cell, answer[:, None, None].expand_as(cell))


@pytest.mark.parametrize("size", SIZES)
def test_the_label_of_the_whole_image_is_one_score_a_class(clip, asked, size):
    found = clip_segmenter(clip, "whole").predict(images(size), asked)
    cut = cut_views(images(size), ViewSet(grids=(1,)), clip.image_size)
    assert found.shape == (2, 3, 1, 1)
    assert same(found[..., 0, 0], clip.encode_image(cut[:, 0]) @ asked.embeddings.T)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "views", [OVERLAPPING, ViewSet(grids=(1, 3), windows=(Windows(size=0.4, stride=0.2),))]
)
def test_every_pixel_has_the_mean_of_the_views_that_it_lies_in(clip, asked, views, size):
    picture = images(size, 1)
    found = ViewAverage(clip, views).predict(picture, asked)[0]
    embeddings = clip.encode_views(cut_views(picture, views, clip.image_size))[0]
    inside = view_overlap(views, size, 1)
    expected = (inside.T @ embeddings / inside.sum(dim=0)[:, None]) @ asked.embeddings.T
    assert same(found, expected.T.unflatten(1, size))


def test_the_overlapping_views_are_quarters_of_a_side_every_eighth(clip):
    assert clip_segmenter(clip, "views") == ViewAverage(clip, OVERLAPPING, cells=8)
    boxes = OVERLAPPING.boxes(112, 112)
    assert len(boxes) == 49
    assert {(b.bottom - b.top, b.right - b.left) for b in boxes} == {(28, 28)}
    assert sorted({b.top for b in boxes}) == [*range(0, 85, 14)]


@pytest.mark.parametrize("kind", ["mean", "solve"])
def test_dense_features_are_corrected_as_a_students_patches_are(clip, asked, kind):
    picture, chosen = images((48, 64)), Correction(kind=kind)
    found = clip_segmenter(clip, kind).predict(picture, asked)
    seen = clip.encode_views(cut_views(picture, chosen.views, clip.image_size))
    dense = clip.dense(picture, "maskclip").flatten(2).mT
    patches = chosen.patches(dense, view_overlap(chosen.views, (48, 64), 8), seen)
    assert same(found, (patches @ asked.embeddings.T).mT.unflatten(2, (6, 8)))


def test_overlapping_views_are_answered_where_their_edges_cut_the_image(clip, asked):
    picture = images((48, 64))
    found, pixels = (ViewAverage(clip, cells=cells).predict(picture, asked) for cells in (8, 0))
    assert found.shape == (2, 3, 8, 8)
    assert same(found, pixels[..., 3::6, 4::8])


@pytest.mark.parametrize("size", [(48, 48), (56, 80)])
def test_the_fused_reading_is_the_sum_of_a_patch_and_what_it_lies_in(clip, asked, size):
    picture = images(size)
    found = clip_segmenter(clip, "fused").predict(picture, asked)
    total = clip.dense(picture, "maskclip").flatten(2).mT
    for grid in (1, 2, 3):
        views = ViewSet(grids=(grid,))
        embeddings = clip.encode_views(cut_views(picture, views, clip.image_size))
        total = total + view_overlap(views, size, 8).T @ embeddings
    expected = F.normalize(total, dim=-1) @ asked.embeddings.T
    assert found.shape == (2, 3, size[0] // 8, size[1] // 8)
    assert same(found, expected.mT.unflatten(2, found.shape[2:]))


@pytest.mark.parametrize("method", ["raw", "sclip"])
def test_dense_scores_are_cosines_of_patches_with_classes(clip, asked, method):
    picture = images((48, 64))
    features = clip.dense(picture, method)
    found = DenseCLIP(clip, method).predict(picture, asked)
    assert found.shape == (2, 3, 6, 8)
    assert same(found[1, 2, 5, 0], features[1, :, 5, 0] @ asked.embeddings[2])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_crops_lie_side_by_side_at_the_resolution_of_their_own_input(clip, asked, grid, size):
    found = crops(clip, grid).predict(images(size), asked)
    assert crops(clip, grid).multiple == 1
    assert found.shape == (2, 3, 6 * grid, 6 * grid)
    views = cut_views(images(size), ViewSet(grids=(grid,)), clip.image_size)
    for number, (i, j) in enumerate(itertools.product(range(grid), repeat=2)):
        expected = DenseCLIP(clip, "maskclip").predict(views[:, number], asked)
        part = found[..., 6 * i : 6 * i + 6, 6 * j : 6 * j + 6]
        assert same(part, expected)


@pytest.mark.parametrize(
    "build",
    [
        ViewAverage,
        CorrectedCLIP,
        lambda clip: crops(clip, 2),
        lambda clip: DenseCLIP(clip, "naclip"),
    ],
)
def test_an_image_is_segmented_alike_alone_and_in_a_batch(clip, asked, build):
    pair, segmenter = images((48, 64)), build(clip)
    alone = torch.cat([segmenter.predict(image[None], asked) for image in pair])
    assert same(segmenter.predict(pair, asked), alone)


@EVERY_METHOD
def test_the_order_of_the_classes_does_not_matter(clip, asked, method):
    picture, order, segmenter = images((48, 64), 1), [2, 0, 1], clip_segmenter(clip, method)
    turned = segmenter.predict(picture, queries(asked.embeddings[order]))
    assert same(turned, segmenter.predict(picture, asked)[:, order])


@pytest.mark.parametrize(
    ("text", "architecture", "weights", "method"),
    [
        ("clip:ViT-B-16:openai:sclip", "ViT-B-16", "openai", "sclip"),
        ("clip:ViT-B-16:/a/b.pt:cells3", "ViT-B-16", "/a/b.pt", "cells3"),
        ("clip:ViT-B-16:/a:b/c.pt:raw", "ViT-B-16", "/a:b/c.pt", "raw"),
        ("clip:zeroseg-scenes:whole", "zeroseg-scenes", "", "whole"),
        ("clip:zeroseg-scenes::whole", "zeroseg-scenes", "", "whole"),
        ("clip:local-dir:/a/b:naclip", "local-dir:/a/b", "", "naclip"),
        ("clip:local-dir:/a/b::naclip", "local-dir:/a/b", "", "naclip"),
        ("clip:local-dir:/a:b::naclip", "local-dir:/a:b", "", "naclip"),
        ("clip:hf-hub:owner/name::clearclip", "hf-hub:owner/name", "", "clearclip"),
    ],
)
def test_a_segmenter_is_named_by_architecture_weights_and_method(
    text, architecture, weights, method
):
    assert clip_spec(text) == (CLIPConfig(architecture=architecture, weights=weights), method)


@given(st.text("abc-/.:1", min_size=1), st.sampled_from(METHODS))
def test_the_method_follows_the_last_colon_of_a_name(weights, method):
    clip = CLIPConfig(architecture="ViT-B-16", weights=weights)
    assert clip_spec(f"clip:{clip}:{method}") == (clip, method)


@pytest.mark.parametrize(
    "text",
    [
        "clip",
        "clip:",
        "clip:ViT-B-16",
        "clip:ViT-B-16:raw",
        "clip::openai:raw",
        "clip:local-dir::raw",
        "clip:zeroseg-scenes:openai:raw",
        "run:ViT-B-16:openai:raw",
        "runs/student",
    ],
)
def test_any_other_form_is_refused_with_the_right_one(text):
    with pytest.raises(InputError, match=r"write (clip:ARCH:WEIGHTS:METHOD|ARCHITECTURE:WEIGHTS)"):
        clip_spec(text)


@pytest.mark.parametrize("method", ["", "cells5", "SCLIP", "dense"])
def test_an_unknown_method_is_refused_with_those_there_are(method):
    with pytest.raises(InputError, match="none of raw, maskclip, sclip, naclip, clearclip, whole"):
        clip_spec(f"clip:ViT-B-16:openai:{method}")
