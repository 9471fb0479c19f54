import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from zeroseg.errors import InputError
from zeroseg.models.backbone import Backbone

TINY = {"name": "test_resnet", "weights": ""}


def pictures(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_maps_are_those_of_timms_own_feature_network():
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    maps = Backbone(**TINY, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3)).build().eval()
    maps.model.load_state_dict(model.state_dict())
    images = pictures(64, 96)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3)))
    expected = model((images - mean) / std)
    assert [tuple(m.shape[1:]) for m in maps(images)] == [
        (c, 64 // s, 96 // s) for c, s in zip(maps.channels, maps.strides, strict=True)
    ]
    assert all(torch.equal(a, b) for a, b in zip(maps(images), expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "mobilenetv2_100"])
def test_any_size_has_a_cell_for_every_begun_stride(name):
    maps = Backbone(name=name, weights="").build()
    sides = [tuple(m.shape[2:]) for m in maps(pictures(65, 100))]
    assert sides == [(17, 25), (9, 13), (5, 7), (3, 4)]


@torch.no_grad()
def test_an_output_stride_has_the_last_stage_with_finer_cells():
    torch.manual_seed(0)
    plain = Backbone(**TINY).build().eval()
    dilated = Backbone(**TINY, output_stride=16).build().eval()
    dilated.model.load_state_dict(plain.model.state_dict())
    images = pictures(64, 64)
    assert dilated.strides == (4, 8, 16)
    assert dilated.channels[-1] == plain.channels[-1]
    fine, coarse = dilated(images)[-1], plain(images)[-1]
    assert fine.shape[2:] == (4, 4)
    assert coarse.shape[2:] == (2, 2)


def test_batch_norms_stay_as_they_are_in_training():
    maps = Backbone(**TINY).build().train()
    before = {name: value.clone() for name, value in maps.state_dict().items()}
    sum(m.sum() for m in maps(pictures(64, 64))).backward()
    norms = [n for n, m in maps.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(torch.equal(value, before[name]) for name, value in maps.state_dict().items())
    for name, parameter in maps.named_parameters():
        frozen = name.rpartition(".")[0] in norms
        assert parameter.requires_grad is not frozen, name
        assert (parameter.grad is None) is frozen, name


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "mobilenetv2_100"])
def test_group_norms_stand_in_for_all_batch_norms_and_mix_no_images(name):
    maps = Backbone(name=name, weights="", norm="group").build().train()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in maps.modules())
    images = pictures(64, 64)
    together, alone = maps(images), maps(images[:1])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[:1], b, rtol=1e-4, atol=1e-5)
    sum(m.sum() for m in together).backward()
    assert [n for n, p in maps.named_parameters() if p.grad is None] == []


def test_weights_are_taken_from_below_a_prefix_of_a_file(tmp_path):
    model = timm.create_model("test_resnet")
    inside = {f"visual.trunk.{k}": v for k, v in model.state_dict().items()}
    save_file(inside | {"text.weight": torch.zeros(3)}, tmp_path / "clip.safetensors")
    backbone = Backbone(
        name="test_resnet", weights=str(tmp_path / "clip.safetensors"), prefix="visual.trunk."
    )
    maps = backbone.build()
    backbone.load(maps)
    own = maps.model.state_dict()
    assert "fc.weight" not in own
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in own.items())


def test_a_file_that_lacks_or_misses_is_refused_by_name(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    removed = {k: v for k, v in state.items() if k != "layer3.0.conv1.weight"}
    save_file(removed | {"conv1.0.weight": torch.zeros(2)}, tmp_path / "a.safetensors")
    backbone = Backbone(name="test_resnet", weights=str(tmp_path / "a.safetensors"))
    with pytest.raises(InputError, match=r"1 missing below '' \['layer3.0.conv1.weight'\], wrong"):
        backbone.load(backbone.build())
    save_file(state, tmp_path / "b.safetensors")
    grouped = Backbone(name="test_resnet", weights=str(tmp_path / "b.safetensors"), norm="group")
    with pytest.raises(InputError, match="batch norms for group norms"):
        grouped.load(grouped.build())
    absent = Backbone(name="test_resnet", weights=str(tmp_path / "none.pth"))
    with pytest.raises(InputError, match=r"none.pth' is no file"):
        absent.load(absent.build())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "vit_tiny_patch16_224"}, "strides \\[16\\], but not of 4, 8, 32"),
        ({"name": "resnet5"}, "timm has no model 'resnet5': did you mean"),
        ({"name": "densenet121", "output_stride": 16}, "densenet121 cannot be made with output"),
        ({"name": "res2net50_14w_8s", "norm": "group"}, "must be divisible by num_groups"),
        ({"name": "test_convnext", "norm": "group"}, "test_convnext has no batch norm"),
        ({"register": "absent.py"}, "absent.py of `register` does not exist"),
    ],
)
def test_a_backbone_that_does_not_fit_is_one_line(fields, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        Backbone(**{"weights": ""} | fields).build()


def test_fields_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="output_stride is 4: choose 8, 16 or 32"):
        Backbone(output_stride=4)
    with pytest.raises(InputError, match="timm's weights are of its own norms"):
        Backbone(norm="group")


def test_a_registered_name_without_weights_of_timms_asks_for_a_file(tmp_path):
    (tmp_path / "register.py").write_text(
        "from timm.models import register_model\n"
        "from timm.models.resnet import test_resnet\n"
        "@register_model\n"
        "def resnet_of_the_test(pretrained=False, **kwargs):\n"
        "    return test_resnet(**kwargs)\n"
    )
    backbone = Backbone(name="resnet_of_the_test", register=str(tmp_path / "register.py"))
    with pytest.raises(InputError, match="timm has no weights of resnet_of_the_test"):
        backbone.load(backbone.build())


@pytest.mark.real
@torch.no_grad()
def test_the_backbone_inside_the_teacher_of_the_photos_is_its_own(real):
    folder = real / "teacher"
    backbone = Backbone(
        name="mobilenetv2_same_100",
        weights=str(folder / "mnv2-cliptext.safetensors"),
        prefix="visual.trunk.",
        register=str(folder / "register.py"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    maps = backbone.build().eval()
    backbone.load(maps)
    tower = open_clip.create_model(
        "mnv2-cliptext", pretrained=str(folder / "mnv2-cliptext.safetensors")
    ).visual.eval()
    images = pictures(224, 224)
    features = tower.trunk.conv_head(maps(images)[-1])
    expected = tower.trunk.forward_features(2 * images - 1)
    torch.testing.assert_close(tower.trunk.bn2(features), expected)
