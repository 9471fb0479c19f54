import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer

from zeroseg.errors import InputError
from zeroseg.models.trunk_weights import TrunkWeights, load_trunk
from zeroseg.models.vit import ViT, gather_tokens, random_patches, sin_cos_positions


def small_trunk(image_size=32, width=16):
    return ViT(patch_size=8, width=width, depth=2, num_heads=2).build(image_size).eval()


def normalised(images):
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    return (images - mean) / std


@pytest.fixture
def timm_vit():
    torch.manual_seed(0)
    return VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=0
    ).eval()


def written(state, path: Path) -> str:
    state = {name: value.clone() for name, value in state.items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


@pytest.fixture(params=["vit.safetensors", "vit.pt", "vit.pth"])
def source(request, timm_vit, tmp_path):
    return written(timm_vit.state_dict(), tmp_path / request.param)


def test_timm_weights_arrive_unchanged(timm_vit, source):
    trunk = small_trunk()
    load_trunk(trunk, TrunkWeights(source=source))
    theirs = timm_vit.state_dict()
    theirs["pos_embed"] = theirs["pos_embed"][:, 1:]
    for name, parameter in trunk.state_dict().items():
        assert torch.equal(parameter, theirs[name]), name


def test_a_loaded_trunk_gives_the_patch_features_of_timms_blocks(timm_vit, source):
    trunk = small_trunk()
    load_trunk(trunk, TrunkWeights(source=source))
    images = torch.rand(2, 3, 32, 32)
    tokens = timm_vit.patch_embed(normalised(images)) + timm_vit.pos_embed[:, 1:]
    with torch.no_grad():
        expected = timm_vit.norm(timm_vit.blocks(tokens))
        torch.testing.assert_close(trunk(images).tokens, expected)
        chosen = torch.tensor([[0, 3, 9], [2, 3, 15]])
        some = timm_vit.norm(timm_vit.blocks(gather_tokens(tokens, chosen)))
        torch.testing.assert_close(trunk(images, chosen).tokens, some)


@pytest.mark.parametrize("wrapper", ["model", "state_dict"])
def test_weights_may_be_wrapped_in_a_checkpoint(timm_vit, tmp_path, wrapper):
    path = tmp_path / "checkpoint.pth"
    torch.save({wrapper: timm_vit.state_dict(), "epoch": 3}, path)
    trunk = small_trunk()
    load_trunk(trunk, TrunkWeights(source=str(path)))
    assert torch.equal(trunk.norm.weight, timm_vit.norm.weight)
    assert torch.equal(trunk.patch_embed.proj.weight, timm_vit.patch_embed.proj.weight)


def test_positions_are_resampled_to_the_trunks_grid(timm_vit, source):
    trunk = small_trunk(image_size=48)
    load_trunk(trunk, TrunkWeights(source=source))
    expected = resample_abs_pos_embed(
        timm_vit.pos_embed[:, 1:], [6, 6], [4, 4], num_prefix_tokens=0
    )
    torch.testing.assert_close(trunk.pos_embed, expected, check_stride=False)


def test_positions_of_the_own_grid_are_the_parameter_itself():
    trunk = small_trunk()
    assert torch.equal(trunk.positions(4, 4), trunk.pos_embed)
    assert trunk.positions(3, 5).shape == (1, 15, 16)


def test_a_trunk_encodes_images_of_other_sizes():
    assert small_trunk()(torch.rand(2, 3, 24, 40)).tokens.shape == (2, 15, 16)


def test_a_missing_parameter_is_named_unless_allowed(timm_vit, tmp_path):
    state = timm_vit.state_dict()
    del state["blocks.1.attn.qkv.weight"]
    source = written(state, tmp_path / "vit.pt")
    trunk = small_trunk()
    before = trunk.blocks[1].attn.qkv.weight.clone()
    with pytest.raises(InputError, match=r"missing \['blocks.1.attn.qkv.weight'\]"):
        load_trunk(trunk, TrunkWeights(source=source))
    load_trunk(trunk, TrunkWeights(source=source, allow_missing=("blocks.1.*",)))
    assert torch.equal(trunk.blocks[1].attn.qkv.weight, before)
    assert torch.equal(trunk.blocks[0].attn.qkv.weight, state["blocks.0.attn.qkv.weight"])


def test_an_unexpected_parameter_is_named_unless_allowed(timm_vit, tmp_path):
    state = timm_vit.state_dict() | {"decoder.weight": torch.zeros(2)}
    source = written(state, tmp_path / "vit.pt")
    with pytest.raises(InputError, match=r"unexpected \['decoder.weight'\]"):
        load_trunk(small_trunk(), TrunkWeights(source=source))
    allowed = TrunkWeights(source=source, allow_unexpected=("cls_token", "decoder.*"))
    load_trunk(small_trunk(), allowed)


def test_the_class_token_is_unexpected_when_not_allowed(source):
    with pytest.raises(InputError, match="cls_token"):
        load_trunk(small_trunk(), TrunkWeights(source=source, allow_unexpected=()))


def test_a_wrong_shape_is_named_with_both_shapes(timm_vit, tmp_path):
    state = timm_vit.state_dict() | {"norm.weight": torch.ones(17)}
    source = written(state, tmp_path / "vit.pt")
    trunk = small_trunk()
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    with pytest.raises(InputError, match=r"norm.weight is \(17,\), needs \(16,\)"):
        load_trunk(trunk, TrunkWeights(source=source, allow_missing=("*",)))
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


def test_weights_of_another_width_are_refused(source):
    with pytest.raises(InputError, match="wrong shape"):
        load_trunk(small_trunk(width=32), TrunkWeights(source=source))


@pytest.mark.parametrize("source", ["no_such_vit_of_timm", "/nowhere/vit.safetensors"])
def test_a_source_that_cannot_be_had_is_named(source):
    with pytest.raises(InputError, match=source):
        load_trunk(small_trunk(), TrunkWeights(source=source))


def test_positions_at_the_start_are_sines_and_cosines_of_column_then_row():
    positions = sin_cos_positions(8, 3, 5)[0].unflatten(0, (3, 5))
    for row in range(3):
        for column in range(5):
            expected = [
                wave(place * frequency)
                for place in (column, row)
                for wave in (math.sin, math.cos)
                for frequency in (1.0, 0.01)
            ]
            torch.testing.assert_close(positions[row, column], torch.tensor(expected))


@pytest.mark.parametrize(
    ("patches", "ratio", "count"), [(16, 0.0, 16), (16, 0.6, 6), (196, 0.6, 78), (16, 1.0, 1)]
)
def test_visible_patches_are_distinct_rising_and_as_many_as_the_ratio_leaves(patches, ratio, count):
    chosen = random_patches(5, patches, ratio, torch.device("cpu"))
    assert chosen.shape == (5, count)
    assert (chosen.diff(dim=1) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() < patches


def test_every_patch_is_visible_equally_often():
    torch.manual_seed(0)
    chosen = random_patches(4000, 10, 0.6, torch.device("cpu"))
    share = chosen.flatten().bincount(minlength=10) / 4000
    # A share of 4,000 draws is off by 0.008, on average; 0.04 is five times that.
    torch.testing.assert_close(share, torch.full((10,), 0.4), rtol=0, atol=0.04)
