"""Which parameters decay and learn at which rate; optimizers as values."""

import dataclasses
from functools import partial

import pytest
import torch
from torch import nn

from configs.zeroseg_vitb16 import config as paper
from zeroseg import SGD, AdamW, InputError
from zeroseg.methods.method import same_rate
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.optimization import parameter_groups

SMALL = ZeroSegConfig(
    image_size=16,
    trunk=ViT(patch_size=8, width=16, depth=3, num_heads=2),
    embed_dim=6,
    decoder_depth=1,
    decoder_width=8,
    decoder_heads=2,
    segment_tokens=(4, 2),
    patch_embeddings=True,
    cosine_assignment=True,
)


@pytest.fixture(scope="module")
def student():
    return ZeroSeg(SMALL)


def decayed_by_layer(layer_decay):
    """What the method says of each parameter's rate."""
    method = dataclasses.replace(paper.method, student=SMALL, layer_decay=layer_decay)
    return partial(method.rate_scale, ZeroSeg(SMALL).trunk)


def names_of(group, model):
    members = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in members}


@pytest.mark.parametrize("layer_decay", [1.0, 0.75])
def test_every_parameter_is_in_exactly_one_group(student, layer_decay):
    groups = parameter_groups(student, 0.1, decayed_by_layer(layer_decay))
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in student.parameters()}


def test_only_the_first_group_decays(student):
    assert [group["weight_decay"] for group in parameter_groups(student, 0.1, same_rate)] == [
        0.1,
        0.0,
    ]


def test_without_layer_decay_every_rate_is_the_whole_one(student):
    assert [group["scale"] for group in parameter_groups(student, 0.1, same_rate)] == [1.0, 1.0]


def test_biases_norms_tokens_scales_and_positions_do_not_decay(student):
    free = names_of(parameter_groups(student, 0.1, same_rate)[1], student)
    expected = {name for name, parameter in student.named_parameters() if parameter.ndim < 2}
    tables = {"head.tokens_1", "head.tokens_2", "decoder.mask_token", "trunk.pos_embed"}
    assert free == expected | tables
    assert "head.grouping_1.scale" in free
    assert all(n in free for n, _ in student.named_parameters() if "norm" in n or "bias" in n)


@pytest.mark.parametrize("layer_decay", [1.0, 0.75])
def test_what_multiplies_tokens_decays_and_nothing_else(student, layer_decay):
    expected = set()
    for name, module in student.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            expected.add(f"{name}.weight")
        elif isinstance(module, nn.MultiheadAttention):
            expected.add(f"{name}.in_proj_weight")
    groups = parameter_groups(student, 0.1, decayed_by_layer(layer_decay))
    decayed = set().union(*(names_of(g, student) for g in groups if g["weight_decay"]))
    assert decayed == expected
    mixers = {"head.grouping_1.mix.mlp.0.weight", "head.hand_on.mlp.2.weight"}
    assert mixers | {"trunk.patch_embed.proj.weight", "decoder.embed.weight"} <= decayed


def test_each_layer_of_the_trunk_learns_at_its_own_rate(student):
    scales = {
        name: group["scale"]
        for group in parameter_groups(student, 0.1, decayed_by_layer(0.5))
        for name in names_of(group, student)
    }
    expected = {"trunk.patch_embed.": 1 / 16, "trunk.pos_embed": 1 / 16, "": 1.0}
    expected |= {f"trunk.blocks.{i}.": scale for i, scale in enumerate([1 / 8, 1 / 4, 1 / 2])}
    for name, scale in scales.items():
        part = max((prefix for prefix in expected if name.startswith(prefix)), key=len)
        assert scale == expected[part], name
    assert scales["trunk.norm.weight"] == scales["decoder.blocks.0.attn.qkv.weight"] == 1.0


def test_layer_decay_makes_two_groups_a_layer(student):
    groups = parameter_groups(student, 0.1, decayed_by_layer(0.5))
    assert [group["weight_decay"] for group in groups] == [0.1] * 5 + [0.0] * 5
    assert [group["scale"] for group in groups] == [1.0, 0.5, 0.25, 0.125, 0.0625] * 2


def test_without_weight_decay_the_groups_stay_two(student):
    assert [group["weight_decay"] for group in parameter_groups(student, 0.0, same_rate)] == [
        0.0,
        0.0,
    ]


def test_a_frozen_parameter_is_in_no_group(student):
    frozen = student.trunk.pos_embed.requires_grad_(False)
    try:
        groups = parameter_groups(student, 0.1, same_rate)
        assert id(frozen) not in {id(p) for group in groups for p in group["params"]}
    finally:
        frozen.requires_grad_(True)


@pytest.mark.parametrize(
    "optimizer", [SGD(learning_rate=0.5, momentum=0.0), AdamW(learning_rate=0.5)]
)
def test_an_optimizer_of_a_config_makes_its_first_step(optimizer):
    parameter = nn.Parameter(torch.tensor([1.0]))
    made = optimizer.build([{"params": [parameter], "weight_decay": 0.0, "lr": 0.5}])
    parameter.grad = torch.tensor([0.25])
    made.step()
    # SGD goes by rate x gradient; Adam's first step is the rate, whatever the gradient.
    moved = 0.125 if isinstance(optimizer, SGD) else 0.5
    assert parameter.item() == pytest.approx(1 - moved, rel=1e-6)


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_a_rate_that_is_not_positive_is_refused(optimizer):
    with pytest.raises(InputError, match="learning_rate is 0"):
        optimizer(learning_rate=0.0)


@pytest.mark.parametrize("optimizer", [SGD(learning_rate=0.5), AdamW(learning_rate=0.5)])
def test_every_optimizer_can_be_told_on_the_device_to_skip_an_update(optimizer):
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    made = optimizer.build([{"params": [parameter], "weight_decay": 0.1, "lr": 0.5}])
    parameter.grad = torch.tensor([0.25, 0.5])
    made.found_inf = torch.tensor(0.0)
    made.step()
    before = parameter.detach().clone()
    state = {k: v.clone() for k, v in made.state[parameter].items()}
    parameter.grad = torch.tensor([0.25, float("nan")])
    made.found_inf = torch.tensor(1.0)
    made.step()
    assert torch.equal(parameter, before)
    assert all(torch.equal(v, state[k]) for k, v in made.state[parameter].items())
