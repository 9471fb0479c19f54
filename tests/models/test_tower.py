"""A CLIP's own tower as trunk: where it starts, what it drops, what of it learns."""

import dataclasses
import shutil

import pytest
import torch
import torch.nn.functional as F

from configs.scenes_scratch import method as SCRATCH
from tests.support.towers import saved_clip
from zeroseg import (
    CLIP,
    CLIPConfig,
    CLIPTower,
    InputError,
    OnlineTeacher,
    TeacherTower,
    Trainable,
    ViT,
    ZeroSeg,
    ZeroSegConfig,
)
from zeroseg.store.shard_cache import ShardCache

TIMM = {"timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear"}
VISIONS = {
    "transformer": {},
    "resnet of CLIP": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 64},
    "timm resnet": TIMM | {"timm_model_name": "test_resnet"},
    "timm efficientnet": TIMM | {"timm_model_name": "test_efficientnet"},
    "attention pooled": TIMM
    | {"timm_model_name": "test_vit3", "timm_pool": "map", "image_size": 160},
}
SIDES = {"transformer": 40}
NOTHING = Trainable(blocks=0, patch_embedding=False, positions=False, registers=False, rest=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return {kind: saved_clip(folder / kind, vision) for kind, vision in VISIONS.items()}


def student(clip: CLIPConfig, image_size: int, registers=0, **changes) -> ZeroSegConfig:
    tower = CLIPTower(clip=clip, registers=registers)
    return dataclasses.replace(
        SCRATCH.student,
        **{
            "trunk": tower,
            "image_size": image_size,
            "embed_dim": 6,
            "head_width": 16,
            "head_heads": 2,
            "mask_ratio": 0.0,
            **changes,
        },
    )


def method(clip: CLIPConfig, image_size: int, trainable=Trainable(), **changes):  # noqa: B008
    return dataclasses.replace(
        SCRATCH,
        student=student(clip, image_size, **changes),
        teacher=OnlineTeacher(clip=clip),
        start=TeacherTower(),
        trainable=trainable,
    )


def started(*arguments, **changes) -> ZeroSeg:
    chosen = method(*arguments, **changes)
    model = chosen.model()
    chosen.training(model, torch.device("cpu"), ShardCache())
    return model


@pytest.mark.parametrize("kind", VISIONS)
def test_a_student_at_its_start_reads_as_its_teachers_maskclip_does(clips, kind):
    side = SIDES.get(kind, 128)
    model = started(clips[kind], side).train()
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    expected = CLIP(clips[kind]).dense(images, "maskclip").flatten(2).mT
    for output in (model(images), model.segment(images)):
        torch.testing.assert_close(F.normalize(output.patches, dim=-1), expected)


def test_what_is_hidden_is_not_seen(clips):
    model = started(clips["transformer"], 40, mask_ratio=0.6)
    images, others = torch.rand(2, 2, 3, 40, 40)
    torch.manual_seed(0)
    before = model(images)
    hidden = torch.ones(2, 25, dtype=torch.bool).scatter(1, before.visible, False)
    mask = F.interpolate(hidden.view(2, 1, 5, 5).float(), scale_factor=8).bool()
    torch.manual_seed(0)
    after = model(torch.where(mask, others, images))
    assert before.visible.shape == (2, 10)
    torch.testing.assert_close(before.patches, after.patches)


def test_registers_are_new_tokens_that_nothing_reads(clips):
    model = started(clips["transformer"], 40, registers=4)
    assert model.trunk.registers.shape == (1, 4, 16)
    images = torch.rand(2, 3, 40, 40)
    before = model.segment(images).patches
    assert before.shape == (2, 25, 6)
    with torch.no_grad():
        model.trunk.registers.normal_()
    assert not torch.allclose(before, model.segment(images).patches)


def test_batch_norm_keeps_its_statistics_while_training(clips):
    model = started(clips["timm resnet"], 128).train()
    before = {k: v.clone() for k, v in model.trunk.state_dict().items() if "running" in k}
    model(torch.rand(2, 3, 128, 128))
    assert before
    assert all(torch.equal(v, model.trunk.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize("kind", VISIONS)
def test_every_parameter_that_learns_gets_a_gradient(clips, kind):
    side = SIDES.get(kind, 128)
    model = started(clips[kind], side).train()
    output = model(torch.rand(2, 3, side, side))
    parts = (output.segments, output.global_feature, output.patches)
    torch.stack([part.square().sum() for part in parts]).sum().backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize(
    ("trainable", "learning"),
    [
        (NOTHING, set()),
        (dataclasses.replace(NOTHING, positions=True), {"visual.positional_embedding"}),
        (dataclasses.replace(NOTHING, patch_embedding=True), {"visual.conv1.weight"}),
        (dataclasses.replace(NOTHING, registers=True), {"registers"}),
    ],
)
def test_the_named_parts_learn_and_no_other(clips, trainable, learning):
    model = started(clips["transformer"], 40, trainable, registers=2)
    assert {n for n, p in model.trunk.named_parameters() if p.requires_grad} == learning
    assert all(p.requires_grad for n, p in model.named_parameters() if not n.startswith("trunk."))


@pytest.mark.parametrize("kind", VISIONS)
def test_the_last_blocks_alone_may_learn(clips, kind):
    last = dataclasses.replace(NOTHING, blocks=1)
    trunk = started(clips[kind], SIDES.get(kind, 128), last).trunk
    learning = {n for n, p in trunk.named_parameters() if p.requires_grad}
    assert learning
    assert {(trunk.part(n), trunk.layer(n)) for n in learning} == {("block", trunk.depth)}


def test_the_trunk_has_its_own_rate_and_layers_decay(clips):
    chosen = dataclasses.replace(
        method(clips["transformer"], 40, Trainable(rate=0.3)), layer_decay=0.5
    )
    trunk = chosen.model().trunk
    rates = {
        "head.tokens_1": 1.0,
        "trunk.visual.ln_post.weight": 0.3,
        "trunk.visual.transformer.resblocks.1.ln_1.weight": 0.3 / 2,
        "trunk.visual.transformer.resblocks.0.ln_1.weight": 0.3 / 4,
        "trunk.visual.conv1.weight": 0.3 / 8,
    }
    assert {name: chosen.rate_scale(trunk, name) for name in rates} == rates


def test_a_tower_needs_no_weights_to_be_built(clips, tmp_path):
    folder = clips["transformer"].architecture.removeprefix("local-dir:")
    shutil.copy(f"{folder}/open_clip_config.json", tmp_path)
    clip = CLIPConfig(architecture=f"local-dir:{tmp_path}", weights="")
    assert ZeroSeg(student(clip, 40)).trunk.depth == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trunk": ViT(patch_size=8)}, r"set method\.student\.trunk to CLIPTower"),
        ({"embed_dim": 7}, "embeds in 6 dimensions"),
        ({"image_size": 41}, "multiples of 8"),
    ],
)
def test_a_student_that_cannot_be_the_teachers_tower_is_refused(clips, change, said):
    with pytest.raises(InputError, match=said):
        started(clips["transformer"], **{"image_size": 40, **change})


def test_another_clips_tower_is_no_start(clips):
    other = dataclasses.replace(
        method(clips["transformer"], 128), teacher=OnlineTeacher(clip=clips["timm resnet"])
    )
    with pytest.raises(InputError, match="they must be the same"):
        other.training(other.model(), torch.device("cpu"), ShardCache())


def test_masking_a_convolutional_tower_is_refused(clips):
    with pytest.raises(InputError, match=r"student\.mask_ratio is 0\.6.*set it to 0"):
        ZeroSeg(student(clips["timm resnet"], 128, mask_ratio=0.6))


def test_registers_are_for_transformers_and_few():
    with pytest.raises(InputError, match="0 to 16"):
        CLIPTower(clip=CLIPConfig(), registers=17)
