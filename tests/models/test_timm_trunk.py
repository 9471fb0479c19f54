import copy
import dataclasses

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import _registry as registry
from torch import nn

from zeroseg.errors import InputError
from zeroseg.models.timm_models import TimmMapTrunk, TimmViTTrunk
from zeroseg.models.timm_trunk import TimmTrunk
from zeroseg.models.trunk import Trainable
from zeroseg.models.trunk_weights import TrunkWeights, load_trunk
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
TINY = {"depth": 2, "embed_dim": 32, "num_heads": 2}
PLAIN = {
    "DeiT, distilled": "deit_tiny_distilled_patch16_224",
    "DeiT III": "deit3_small_patch16_224",
    "MAE": "vit_base_patch16_224.mae",
    "DINO": "vit_small_patch16_224.dino",
    "DINOv2": "vit_small_patch14_dinov2",
    "DINOv2, registers": "vit_small_patch14_reg4_dinov2",
    "DINOv3": "vit_small_patch16_dinov3",
    "CLIP": "vit_base_patch16_clip_224.openai",
    "SigLIP": "vit_base_patch16_siglip_224",
    "SigLIP 2": "vit_base_patch16_siglip_256.v2_webli",
    "TIPSv2": "vit_base_patch14_reg1_tipsv2",
    "EVA": "eva_giant_patch14_224",
    "EVA-02": "eva02_tiny_patch14_224",
    "rotary, learnt": "vit_small_patch16_rope_mixed_224",
    "perception encoder": "vit_pe_core_tiny_patch16_384",
}
MAPS = {
    "ResNet": ("test_resnet", {}),
    "ConvNeXt": ("test_convnext", {}),
    "Swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 64, "window_size": 2, "embed_dim": 8, "depths": (1, 1, 1, 1)},
    ),
    "EfficientNet": ("test_efficientnet", {}),
    "MobileNetV3": ("mobilenetv3_small_050", {}),
    "BEiT": ("beit_base_patch16_224", {"img_size": 64} | TINY),
    "Hiera": (
        "hiera_tiny_224",
        {"img_size": 64, "embed_dim": 8, "num_heads": 1, "stages": (1, 1, 1, 1)},
    ),
}


def randomised(model: nn.Module) -> nn.Module:
    """The same model, whose every parameter matters: layer scale starts at 1e-5, tokens near zero."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, mean=0.05, std=0.1)
    return model.eval()


def plain(name: str, patches: int = 4, **options) -> nn.Module:
    side = patches * (14 if "patch14" in name else 16)
    return randomised(timm.create_model(name, img_size=side, **TINY | options))


def pictures(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std


@pytest.fixture(params=PLAIN.values(), ids=PLAIN)
def name(request):
    return request.param


@torch.no_grad()
def test_tokens_are_timms_own_to_the_last_bit(name):
    model = plain(name)
    trunk = TimmViTTrunk(copy.deepcopy(model), MEAN, STD).eval()
    side = 4 * trunk.patch_size
    features = model.forward_features(normalised(pictures(side, side)))
    assert torch.equal(trunk(pictures(side, side)).tokens, features[:, model.num_prefix_tokens :])


@torch.no_grad()
@pytest.mark.parametrize("made_dynamic", [False, True])
def test_tokens_of_another_size_are_those_of_timms_dynamic_model(name, made_dynamic):
    dynamic = plain(name, dynamic_img_size=True)
    trunk = TimmViTTrunk(plain(name, dynamic_img_size=not made_dynamic), MEAN, STD).eval()
    images = pictures(3 * trunk.patch_size, 6 * trunk.patch_size)
    features = dynamic.forward_features(normalised(images))[:, dynamic.num_prefix_tokens :]
    assert features.shape == (2, 18, 32)
    assert torch.equal(trunk(images).tokens, features)


@torch.no_grad()
def test_hidden_patches_are_dropped_as_timm_drops_patches(name):
    dropping = plain(name, patch_drop_rate=0.5).train()
    # timm's own would take a distillation token for a patch.
    dropping.patch_drop.num_prefix_tokens = dropping.num_prefix_tokens
    trunk = TimmViTTrunk(plain(name), MEAN, STD)
    images = pictures(4 * trunk.patch_size, 4 * trunk.patch_size)
    torch.manual_seed(2)
    features = dropping.forward_features(normalised(images))[:, dropping.num_prefix_tokens :]
    torch.manual_seed(2)
    kept = torch.randn(2, 16).argsort(dim=1)[:, :8]
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(trunk(images, kept).tokens, features)
    assert trunk(images).tokens.shape == (2, 16, 32)


@pytest.mark.parametrize(
    "name",
    [
        "deit_tiny_distilled_patch16_224",
        "vit_small_patch14_reg4_dinov2",
        "vit_small_patch16_dinov3",
        "vit_base_patch16_siglip_224",
        "eva02_tiny_patch14_224",
        "vit_small_patch16_rope_mixed_224",
    ],
)
def test_every_parameter_of_a_trunk_made_by_name_is_of_use(name):
    """Heads are left out: processes that share gradients wait for each of them."""
    model = TimmTrunk(name=name)
    with torch.device("meta"):
        trunk = model.build(4 * (14 if "patch14" in name else 16))
        trunk(torch.rand(1, 3, 4 * trunk.patch_size, 4 * trunk.patch_size)).tokens.sum().backward()
    assert [n for n, p in trunk.named_parameters() if p.grad is None] == []
    assert trunk.can_mask
    blocks = {trunk.layer(n) for n, _ in trunk.named_parameters() if trunk.part(n) == "block"}
    assert blocks == set(range(1, trunk.depth + 1))
    first = {trunk.layer(n) for n, _ in trunk.named_parameters() if trunk.part(n) != "block"}
    assert first <= {0, trunk.depth}


@pytest.mark.parametrize("stride", [0, 8])
@pytest.mark.parametrize(("name", "options"), MAPS.values(), ids=MAPS)
def test_a_map_is_timms_own_to_the_last_bit(name, options, stride):
    if "beit" in name and stride:
        pytest.skip("has one stride")
    model = randomised(timm.create_model(name, **options))
    strides = [level["reduction"] for level in model.feature_info]
    level = max(i for i, reduction in enumerate(strides) if reduction <= (stride or 100))
    trunk = TimmMapTrunk(copy.deepcopy(model), MEAN, STD, stride=stride).eval()
    assert trunk.patch_size == strides[level]
    with torch.no_grad():
        [expected] = model.forward_intermediates(
            normalised(pictures(64, 64)),
            indices=[level],
            norm="hiera" not in name,
            intermediates_only=True,
        )
        got = trunk(pictures(64, 64)).tokens
        assert torch.equal(got, expected.flatten(2).mT)
        if not stride and name in {"test_resnet", "test_convnext"}:
            features = model.forward_features(normalised(pictures(64, 64)))
            assert torch.equal(got, features.flatten(2).mT)
    assert got.shape == (2, (64 // trunk.patch_size) ** 2, trunk.feature_width)
    trunk.train()(pictures(64, 64)).tokens.sum().backward()
    assert [n for n, p in trunk.named_parameters() if p.grad is None] == []


def test_layers_of_a_map_are_timms_and_parts_of_them_learn_alone():
    trunk = TimmTrunk(name="test_convnext").build(64)
    names = [n for n, _ in trunk.named_parameters()]
    stem = [n for n in names if n.startswith("model.stem")]
    assert {trunk.layer(n) for n in stem} == {0}
    assert {trunk.part(n) for n in stem} == {"patch_embedding"}
    last = [n for n in names if Trainable(blocks=1, patch_embedding=False).learns(trunk, n)]
    assert last
    assert all(n.startswith("model.stages.3.blocks.1.") for n in last)
    assert trunk.depth == trunk.layer(last[0])


def test_what_timm_has_no_groups_for_is_one_block():
    with torch.device("meta"):
        trunk = TimmTrunk(name="poolformer_s12").build(64)
    assert {trunk.layer(n) for n, _ in trunk.named_parameters()} == {trunk.depth} == {1}


def test_pixels_are_normalised_as_the_named_weights_want_them():
    trunk = TimmTrunk(name="test_vit").build(32)
    assert trunk.mean.flatten().tolist() == trunk.std.flatten().tolist() == [0.5, 0.5, 0.5]
    trunk = TimmTrunk(name="test_resnet").build(32)
    expected = timm.get_pretrained_cfg("test_resnet").mean
    assert trunk.mean.flatten().tolist() == pytest.approx(expected)
    assert not [n for n in trunk.state_dict() if n in {"mean", "std"}]


def test_statistics_of_batch_norms_are_frozen_in_training():
    trunk = TimmTrunk(name="test_resnet").build(64).train()
    before = copy.deepcopy(trunk.state_dict())
    training = trunk(pictures(64, 64)).tokens
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    assert torch.equal(training, trunk.eval()(pictures(64, 64)).tokens)


SMALL = {
    "image_size": 64,
    "embed_dim": 6,
    "segment_tokens": (6, 4),
    "decoder_depth": 1,
    "decoder_width": 16,
    "decoder_heads": 2,
    "patch_embeddings": True,
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [("test_vit", {}), ("test_resnet", {"mask_ratio": 0.0, "head_heads": 2})],
)
def test_a_student_of_it_learns_the_same_where_activations_are_computed_again(name, changes):
    config = ZeroSegConfig(trunk=TimmTrunk(name=name), **SMALL | changes)
    results = []
    for again in (False, True):
        torch.manual_seed(0)
        student = ZeroSeg(config).train()
        if again:
            student.checkpoint_activations()
        torch.manual_seed(1)
        output = student(pictures(64, 64))
        loss = output.patches.square().mean() + output.segments.square().mean()
        (
            loss + output.global_feature.square().mean() + output.reconstruction.square().mean()
        ).backward()
        results.append([output.patches, *(p.grad for p in student.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert student.predict(pictures(96, 64), torch.randn(3, 6)).shape == (2, 3, 96, 64)


def test_a_model_that_timm_cannot_compute_again_is_named():
    with torch.device("meta"):
        trunk = TimmTrunk(name="vgg11").build(64)
    with pytest.raises(InputError, match="activation_checkpointing: timm's VGG cannot"):
        trunk.checkpoint_activations()


def test_a_map_cannot_be_masked():
    with pytest.raises(InputError, match="needs all patches"):
        ZeroSeg(ZeroSegConfig(trunk=TimmTrunk(name="test_resnet"), head_heads=2, **SMALL))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "vit_small_patch14_dinov4"}, "did you mean .*vit_small_patch14_dinov2"),
        ({"name": "qqqqqqqqqqqq"}, "see timm.list_models"),
        ({"name": "hf-hub:timm/test_vit"}, "timm has no model"),
        ({"name": "vit_base_patch16_224.mea"}, "no tag 'mea': name .*vit_base_patch16_224.mae"),
        ({"name": "test_vit", "stride": 8}, "patches of 16 pixels: leave it 0"),
        ({"name": "test_resnet", "stride": 1}, r"has \[2, 4, 8, 16, 32\], choose one of them"),
        ({"name": "nest_tiny"}, "nest_tiny cannot be made for images of 72 pixels"),
    ],
)
def test_a_name_or_a_stride_that_does_not_fit_is_one_line(fields, says):
    with pytest.raises(InputError, match=says) as caught:
        TimmTrunk(**fields).build(72)
    assert "\n" not in str(caught.value)


def test_a_size_that_a_model_was_not_made_for_is_one_line():
    trunk = TimmMapTrunk(timm.create_model("beit_base_patch16_224", img_size=64, **TINY), MEAN, STD)
    with pytest.raises(InputError, match=r"Beit does not take images of 96 x 96 pixels: .*96"):
        trunk(pictures(96, 96))


@pytest.fixture
def file(tmp_path):
    """Weights of timm at the size that the model has by default, heads and all."""
    model = randomised(timm.create_model("test_vit"))
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    return model, str(tmp_path / "vit.safetensors")


@torch.no_grad()
def test_weights_of_a_file_are_taken_and_positions_resampled(file):
    model, path = file
    trunk = TimmTrunk(name="test_vit").build(64).eval()
    load_trunk(trunk, TrunkWeights(source=path, allow_unexpected=()))
    model.set_input_size((64, 64))
    images = pictures(64, 64)
    features = model.forward_features((images - trunk.mean) / trunk.std)
    assert torch.equal(trunk(images).tokens, features[:, model.num_prefix_tokens :])


@torch.no_grad()
def test_weights_by_its_own_name_are_what_timm_gives_for_it(file, monkeypatch):
    """The table of timm names a file here, where it names the hub."""
    model, path = file
    tag = "test_vit.r160_in1k"
    place = dataclasses.replace(registry._model_pretrained_cfgs[tag], file=path)
    monkeypatch.setitem(registry._model_pretrained_cfgs, tag, place)
    trunk = TimmTrunk(name=tag).build(64).eval()
    torch.manual_seed(5)
    load_trunk(trunk, TrunkWeights())
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(trunk.model.norm.weight, model.norm.weight)
    model.set_input_size((64, 64))
    torch.testing.assert_close(trunk.model.pos_embed, model.pos_embed)


def test_deeper_maps_of_a_file_are_left_out_and_nothing_else(tmp_path):
    model = randomised(timm.create_model("test_resnet"))
    trunk = TimmTrunk(name="test_resnet", stride=8).build(64)
    for extra in (False, True):
        state = model.state_dict() | ({"other": torch.zeros(1)} if extra else {})
        torch.save(state, tmp_path / "resnet.pt")
        if not extra:
            load_trunk(trunk, TrunkWeights(source=str(tmp_path / "resnet.pt")))
    assert torch.equal(trunk.model.conv1[0].weight, model.conv1[0].weight)
    with pytest.raises(InputError, match=r"unexpected \['other'\]"):
        load_trunk(trunk, TrunkWeights(source=str(tmp_path / "resnet.pt")))


def test_positions_of_no_square_grid_are_named(tmp_path, file):
    model, _ = file
    state = model.state_dict()
    state["pos_embed"] = state["pos_embed"][:, :-1]
    torch.save(state, tmp_path / "vit.pt")
    with pytest.raises(InputError, match=r"wrong shape .*pos_embed"):
        load_trunk(
            TimmTrunk(name="test_vit").build(64), TrunkWeights(source=str(tmp_path / "vit.pt"))
        )


def test_a_trunk_of_our_own_has_no_name_to_start_from():
    with pytest.raises(InputError, match=r"method\.start\.source is empty"):
        load_trunk(ViT(width=16, depth=1, num_heads=2).build(32), TrunkWeights())
