from itertools import product
from typing import get_args

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.towers import TEXT, close, pixels, tower
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.dense import ATTENTION, Dense, dense_features, patch_size

METHODS = pytest.mark.parametrize("method", get_args(Dense))


def resnet() -> nn.Module:
    vision = {"layers": (1, 1, 1, 1), "width": 8, "head_width": 16, "image_size": 64}
    return tower(vision)


def test_an_attention_pool_that_weighs_all_alike_is_the_mean_of_the_dense_features():
    visual = resnet()
    pool = visual.attnpool
    for parameter in (*pool.q_proj.parameters(), pool.positional_embedding):
        parameter.zero_()
    found = dense_features(visual, pixels(64, 64), "maskclip")
    assert found.shape == (2, 6, 2, 2)
    close(found.mean(dim=(2, 3)), visual(pixels(64, 64)))


def timm_tower(name, pool="avg") -> nn.Module:
    torch.manual_seed(0)
    vision = {"timm_model_name": name, "timm_model_pretrained": False, "image_size": 32}
    vision |= {"timm_pool": pool, "timm_proj": "linear"}
    return open_clip.CLIP(6, vision, TEXT).visual.eval().requires_grad_(False)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_the_mean_of_dense_features_is_the_embedding_of_a_tower_that_pools_by_the_mean(name):
    visual = timm_tower(name)
    patch = patch_size(visual)
    images = pixels(2 * patch, 3 * patch)
    found = dense_features(visual, images, "maskclip")
    assert found.shape == (2, 6, 2, 3)
    close(found.mean(dim=(2, 3)), visual(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_an_image_of_one_place_has_its_own_embedding_there(name):
    visual = timm_tower(name)
    images = pixels(patch_size(visual), patch_size(visual))
    close(dense_features(visual, images, "maskclip"), visual(images)[..., None, None])


def test_a_tower_that_pools_by_attention_reads_each_token_by_its_head_alone():
    visual = timm_tower("test_vit3", pool="map")
    images = pixels(48, 32)
    found = dense_features(visual, images, "maskclip")
    assert found.shape == (2, 6, 3, 2)
    tokens = visual.trunk.forward_features(images)
    for place in range(6):
        alone = visual.head(visual.trunk.forward_head(tokens[:, place + 1 : place + 2]))
        close(found.flatten(2)[..., place], alone)


@pytest.mark.parametrize("build", [resnet, lambda: timm_tower("test_resnet")])
@pytest.mark.parametrize("method", ["raw", "sclip", "naclip", "clearclip"])
def test_convolutional_towers_have_no_attention_to_change(build, method):
    with pytest.raises(InputError, match=f"{method!r} need a plain vision transformer.*maskclip"):
        dense_features(build(), pixels(64, 64), method)


@pytest.mark.parametrize(
    "vision",
    [{"attentional_pool": True, "attn_pooler_heads": 2}, {"scaled_cosine_attn": True, "layers": 1}],
)
def test_vision_transformers_that_are_not_plain_are_refused(vision):
    with pytest.raises(InputError, match="attentional pooling or cosine"):
        dense_features(tower(vision), pixels(), "raw")


def test_a_vision_transformer_of_timm_is_refused():
    with pytest.raises(InputError, match="VisionTransformer"):
        dense_features(timm_tower("test_vit"), pixels(32, 32), "maskclip")


def test_a_tower_that_says_nothing_of_its_patches_is_refused():
    with pytest.raises(InputError, match="Linear"):
        patch_size(nn.Linear(2, 2))


@pytest.mark.parametrize("build", [lambda: tower({}), resnet, lambda: timm_tower("test_resnet")])
def test_sides_that_are_no_multiples_of_the_patch_are_refused(build):
    visual = build()
    patch = patch_size(visual)
    with pytest.raises(InputError, match=rf"{patch} x {patch + 1} pixels.*multiples of {patch}"):
        dense_features(visual, pixels(patch, patch + 1), "maskclip")


@pytest.fixture(scope="module")
def clip():
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32"))


def pictures(height=48, width=80, batch=3):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(2))


@METHODS
def test_embeddings_are_unit_vectors_of_patches_outside_autocast(clip, method):
    assert clip.patch_size == 8
    found = clip.dense(pictures(), method)
    assert found.shape == (3, 64, 6, 10)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3, 6, 10))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(clip.dense(pictures(), method), found)


def test_the_value_path_is_attention_of_each_token_to_itself_alone(clip):
    visual, seen = clip.model.visual, []
    last = visual.transformer.resblocks[-1]
    handle = last.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    clip.encode_image(pictures(48, 48))
    handle.remove()
    with torch.no_grad():
        tokens = last.ln_1(seen[0])
        alone = torch.full((37, 37), float("-inf")).fill_diagonal_(0)
        own = last.attn(tokens, tokens, tokens, attn_mask=alone, need_weights=False)[0]
        expected = F.normalize(visual.ln_post(own[:, 1:]) @ visual.proj, dim=-1)
    close(clip.dense(pictures(48, 48)), expected.mT.unflatten(2, (6, 6)))


@METHODS
def test_images_of_a_batch_do_not_see_each_other(clip, method):
    alone = torch.cat([clip.dense(image[None], method) for image in pictures()])
    close(clip.dense(pictures(), method), alone)


def test_bfloat16_features_point_where_float32_ones_do(clip):
    coarse = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights="", precision="bf16"))
    for method in ("raw", *ATTENTION):
        found, expected = (c.dense(pictures(), method) for c in (coarse, clip))
        assert found.dtype == torch.float32
        assert (found * expected).sum(dim=1).min() > 0.98


def test_methods_differ(clip):
    found = [clip.dense(pictures(), method) for method in ("raw", *ATTENTION)]
    for i, j in product(range(5), range(5)):
        assert i == j or (found[i] - found[j]).abs().max() > 0.01


def test_every_method_is_named():
    assert set(get_args(Dense)) == {"raw", *ATTENTION}
