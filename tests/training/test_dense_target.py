import dataclasses
import json
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipelines.embed import EmbedConfig, embed
from shards import scenes
from shards.build import Limits, build
from zeroseg.data.views import ViewSet, Windows, cut_views, view_overlap
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.dense_target import AROUND, DenseTarget, DenseTeacher, shared_length
from zeroseg.training.teacher import CachedTeacher, OnlineTeacher, open_teacher

WHOLE = ViewSet(grids=(1,))
SCENES = CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32")


class Colours(CLIP):
    """A CLIP whose feature of a place is the mean colour of its 8 x 8 pixels."""

    patch_size, image_size = 8, 32

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.embed_dim = 3

    def dense(self, images, method="maskclip"):
        return F.normalize(F.avg_pool2d(images, self.patch_size), dim=1)


def turning(side):
    """A picture whose colour turns by a quarter from the left edge to the right, and its angles."""
    angle = (torch.arange(side) + 0.5) / side * math.pi / 2
    colour = torch.stack([angle.cos(), angle.sin(), torch.zeros(side)])
    return colour[None, :, None].expand(1, 3, side, side), angle


def maskclip(images, grid, clip=None, views=WHOLE, side=None):
    target = DenseTarget(views=views, side=images.shape[2] if side is None else side)
    return DenseTeacher(clip or Colours(), target, AROUND).maskclip(images, grid)


@pytest.fixture(scope="module")
def clip() -> CLIP:
    return CLIP(SCENES)


@given(
    first=st.integers(0, 20),
    length=st.integers(1, 40),
    rest=st.integers(0, 20),
    cells=st.integers(1, 9),
    patches=st.integers(1, 9),
)
def test_patches_and_cells_share_what_is_inside_both(first, length, rest, cells, patches):
    side = first + length + rest
    shared = shared_length((first, first + length), cells, side, patches)
    inside = torch.zeros(side)
    inside[first : first + length] = 1
    fine = inside.repeat_interleave(patches).unflatten(0, (patches, side)).sum(1) / patches
    torch.testing.assert_close(shared.sum(dim=1), fine)
    torch.testing.assert_close(shared.sum(dim=0), torch.full((cells,), length / cells))


def test_a_patch_takes_of_each_cell_what_it_shares_with_it():
    # Cells of 3 pixels from pixel 2 on, patches of 4.
    shared = shared_length((2, 8), 2, 12, 3)
    assert shared.tolist() == [[2, 0], [1, 3], [0, 0]]


def test_one_view_at_the_students_grid_is_the_teachers_own_map(clip):
    images = torch.rand(2, 3, 48, 48).mul(255).round() / 255
    torch.testing.assert_close(
        maskclip(images, (6, 6), clip), clip.dense(images).flatten(2).mT, rtol=1e-4, atol=1e-5
    )


def test_a_cell_is_divided_among_the_patches_in_it():
    images = torch.rand(1, 3, 32, 32)
    fine, coarse = maskclip(images, (8, 8)), maskclip(images, (4, 4))
    spread = coarse.mT.unflatten(2, (4, 4)).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(fine, spread.flatten(2).mT)


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize(
    "views",
    [
        DenseTarget().views,
        ViewSet(grids=(1,), windows=(Windows(size=0.875, stride=0.0625),)),
        ViewSet(grids=(1, 2, 3)),
    ],
)
def test_features_of_shifted_views_come_back_to_where_they_are(across, views):
    picture, angle = turning(96)
    images = picture if across else picture.mT
    found = maskclip(images, (12, 12), views=views).unflatten(1, (12, 12))[0]
    found = found if across else found.transpose(0, 1)
    places = torch.atan2(found[..., 1], found[..., 0])
    # In patches; a cell's colour stands for all of it, so the outermost are off by its half at most.
    error = (places - angle.view(12, 8).mean(dim=1)).abs() / (math.pi / 2 / 12)
    assert error[:, 2:-2].max() < 0.25
    assert error.max() < 0.75


def test_shifted_windows_tell_places_apart_that_lie_in_one_cell():
    """Of 16 patches a side: 8 cells do not tell two neighbours apart, interleaved ones do."""
    picture, angle = turning(64)
    errors = []
    for views in (WHOLE, DenseTarget().views):
        found = maskclip(picture, (16, 16), views=views).unflatten(1, (16, 16))[0, 5]
        places = torch.atan2(found[:, 1], found[:, 0])
        errors.append((places - angle.view(16, 4).mean(dim=1)).abs().mean())
    assert errors[1] < errors[0] / 2


def test_a_mirrored_picture_has_the_mirrored_target():
    images = torch.rand(2, 3, 80, 80)
    views = DenseTarget().views
    found, mirrored = (maskclip(i, (7, 9), views=views) for i in (images, images.flip(3)))
    turned = mirrored.unflatten(1, (7, 9)).flip(2).flatten(1, 2)
    torch.testing.assert_close(found, turned, rtol=1e-3, atol=1e-4)


def test_the_fused_target_adds_what_the_image_and_the_cells_around_say():
    target = DenseTarget(reading="fused", views=WHOLE, side=48)
    views = ViewSet(grids=(1, 4, 2, 3))
    images, grid = torch.rand(2, 3, 48, 48), (6, 6)
    embeddings = F.normalize(torch.randn(2, views.count, 3), dim=-1)
    overlap = view_overlap(views, (48, 48), 8)
    found = DenseTeacher(Colours(), target, views)(images, grid, embeddings, overlap)
    own = maskclip(images, grid)
    for row, column in ((0, 0), (2, 3), (5, 1)):
        quarter = 17 + 2 * (row // 3) + column // 3
        ninth = 21 + 3 * (row // 2) + column // 2
        said = embeddings[:, [0, quarter, ninth]].sum(dim=1)
        patch = 6 * row + column
        torch.testing.assert_close(found[:, patch], F.normalize(own[:, patch] + said, dim=-1))


def test_the_fused_target_needs_the_views_that_it_adds():
    with pytest.raises(
        InputError, match=r"teacher\.views lack 3x3: add it to teacher\.views\.grids"
    ):
        DenseTeacher(Colours(), DenseTarget(reading="fused"), ViewSet(grids=(1, 2, 4)))


def test_views_that_leave_a_patch_out_are_refused():
    gaps = ViewSet(grids=(), windows=(Windows(size=0.25, stride=0.5),))
    with pytest.raises(InputError, match=r"teacher\.dense\.views, windows 0\.25:0\.5, leave"):
        maskclip(torch.rand(1, 3, 64, 64), (8, 8), views=gaps)


def test_a_side_that_the_teachers_patch_does_not_divide_is_refused():
    with pytest.raises(InputError, match=r"teacher\.dense\.side is 20: .* patch of 8 pixels"):
        maskclip(torch.rand(1, 3, 64, 64), (8, 8), side=20)
    with pytest.raises(InputError, match=r"teacher\.dense\.side is -8"):
        DenseTarget(side=-8)


@pytest.mark.parametrize(("side", "each"), [(16, 2), (0, 4)])
def test_views_are_resized_to_the_side_that_is_named_or_the_teachers_own(side, each):
    images, views = torch.rand(1, 3, 64, 64), ViewSet(grids=(2,))
    grid = (2 * each, 2 * each)
    found = maskclip(images, grid, views=views, side=side).unflatten(1, grid)
    cells = Colours().dense(cut_views(images, views, 8 * each)[0]).permute(0, 2, 3, 1)
    for cell in range(4):
        rows, columns = (slice(each * place, each * (place + 1)) for place in divmod(cell, 2))
        torch.testing.assert_close(found[0, rows, columns], cells[cell])


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    limits = Limits(images_per_shard=4, workers=0)
    build(scenes.Scenes("train", 4).source(), str(folder / "images"), limits)
    config = EmbedConfig(
        shards=str(folder / "images"),
        output=str(folder / "embeddings"),
        teacher=SCENES,
        views=AROUND,
        side=48,
        workers=0,
    )
    embed(config)
    return folder / "embeddings"


def opened(config, *, dense=True):
    return open_teacher(config, ShardCache(), torch.device("cpu"), dense=dense)


def test_cached_embeddings_have_the_dense_target_of_the_online_teacher(stored):
    target = DenseTarget(reading="fused")
    online = opened(OnlineTeacher(clip=SCENES, views=AROUND, dense=target))
    cached = opened(CachedTeacher(path=str(stored), dense=target))
    images = torch.rand(2, 3, 48, 48)
    embeddings = F.normalize(torch.randn(2, 14, 64), dim=-1)
    asked = (images, (6, 6), embeddings, view_overlap(AROUND, (48, 48), 8))
    assert online.dense is not None
    assert cached.dense is not None
    assert torch.equal(online.dense(*asked), cached.dense(*asked))


def test_no_dense_target_is_computed_unless_it_is_asked_for(stored):
    assert opened(OnlineTeacher(clip=SCENES), dense=False).dense is None
    assert opened(CachedTeacher(path=str(stored)), dense=False).dense is None


def test_a_dense_target_by_other_weights_than_the_embeddings_are_of_is_refused(stored, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in stored.iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    told = json.loads((other / "embeddings.json").read_text())
    (other / "embeddings.json").write_text(json.dumps(told | {"weights_sha256": "0" * 64}))
    config = CachedTeacher(path=str(other))
    assert opened(config, dense=False).clip == dataclasses.replace(SCENES)
    with pytest.raises(InputError, match="are of other weights"):
        opened(config)
