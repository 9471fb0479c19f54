"""A frozen CLIP tower with prompts: CLIP itself without them, and nothing but them learns."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.towers import SMALL, pixels, saved_clip, tower
from zeroseg.errors import InputError
from zeroseg.models.clip import CLIP
from zeroseg.models.clip_loading import model_name, untrained_tower
from zeroseg.models.deep_prompts import PromptedTower
from zeroseg.models.dense import dense_features

CONVOLUTIONAL = {"timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear"}
POOLING = {"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"}
MODIFIED = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "image_size": 64}


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(24, 24), (16, 40)])
@pytest.mark.parametrize("patches", ["raw", "maskclip"])
def test_without_prompts_it_is_the_clips_own_tower(tmp_path, size, patches):
    clip = CLIP(saved_clip(tmp_path / "clip", {}))
    prompted = PromptedTower(untrained_tower(clip.name, ""), 0, patches)
    prompted.start_from(clip)
    images = torch.rand(2, 3, *size)
    said = prompted(images)
    close(said.patches, clip.dense(images, patches))
    if size == (24, 24):
        close(said.image, clip.encode_image(images))
    assert not said.patches.requires_grad


def test_prompts_of_a_layer_give_way_to_those_of_the_next():
    visual = tower(SMALL)
    prompted = PromptedTower(visual, 3).eval()
    said = prompted(pixels())
    prompts = prompted.prompts()
    tokens = visual.conv1((pixels() - prompted.mean) / prompted.std).flatten(2).mT
    first = visual.class_embedding.expand(2, 1, -1)
    tokens = visual.ln_pre(torch.cat([first, tokens], 1) + visual.positional_embedding)
    for block, layer in zip(visual.transformer.resblocks, prompts, strict=True):
        tokens = torch.cat([tokens[:, :1], layer.expand(2, -1, -1), tokens[:, -9:]], dim=1)
        tokens = block(tokens)
    normed = visual.ln_post(prompted.prompts.norm(tokens)) @ visual.proj
    close(said.image, F.normalize(normed[:, 0], dim=1))
    close(said.patches.flatten(2).mT, F.normalize(normed[:, 4:], dim=2))


def test_only_prompts_learn_and_each_of_them_does():
    prompted = PromptedTower(tower(SMALL), 3)
    prompted.train()
    said = prompted(pixels())
    (said.image.sum() + said.patches.square().sum(dim=0).sum()).backward()
    learning = {name for name, p in prompted.named_parameters() if p.grad is not None}
    assert learning == {name for name, _ in prompted.named_parameters() if "prompts." in name}
    tokens = prompted.prompts.prompt_tokens.grad
    assert (tokens.abs().sum(dim=2) > 0).all()
    assert not prompted.visual.training


def test_recomputing_activations_changes_no_gradient():
    grads = []
    for recompute in (False, True):
        torch.manual_seed(0)
        prompted = PromptedTower(tower(SMALL), 2)
        if recompute:
            prompted.checkpoint_activations()
        prompted(pixels()).patches[:, 0].sum().backward()
        grads.append(prompted.prompts.prompt_tokens.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("vision", [CONVOLUTIONAL, POOLING, MODIFIED])
def test_other_towers_have_patches_and_an_image_and_no_prompts(vision):
    visual = tower({"patch_size": None, "image_size": 64} | vision)
    with pytest.raises(InputError, match=r"method\.prompts is 1, .* set it to 0"):
        PromptedTower(visual, 1)
    prompted = PromptedTower(visual, 0).train()
    side = 2 * prompted.patch_size
    said = prompted(torch.rand(2, 3, side, 2 * side))
    normalised = (torch.rand(1, 3, side, side) - prompted.mean) / prompted.std
    assert said.image.shape == (2, prompted.embed_dim)
    assert said.patches.shape == (2, prompted.embed_dim, 2, 4)
    expected = F.normalize(dense_features(visual, normalised, "maskclip"), dim=1)
    close(prompted(normalised * prompted.std + prompted.mean).patches, expected)
    assert not any(p.requires_grad for p in prompted.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) and m.training for m in prompted.modules())


def test_the_real_teacher_pools_the_mean_of_its_places(real, monkeypatch):
    from zeroseg.models.clip import CLIPConfig

    config = CLIPConfig(
        architecture="mnv2-cliptext",
        weights=str(real / "teacher/mnv2-cliptext.safetensors"),
        register=str(real / "teacher/register.py"),
    )
    visual = untrained_tower(model_name(config.architecture, config.register), config.weights)
    prompted = PromptedTower(visual, 0)
    prompted.start_from(CLIP(config))
    said = prompted(torch.rand(1, 3, 96, 160))
    assert said.patches.shape == (1, 512, 3, 5)


def test_a_tower_of_another_shape_is_refused(tmp_path):
    clip = CLIP(saved_clip(tmp_path / "clip", {"width": 32}))
    with pytest.raises(InputError, match=r"does not fit method\.clip"):
        PromptedTower(tower(SMALL), 0).start_from(clip)
