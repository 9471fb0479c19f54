import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from configs.zeroseg_vitb16 import config as paper
from zeroseg.models.zeroseg import ZeroSeg
from zeroseg.training.schedule import learning_rate, parameter_groups


@pytest.mark.parametrize(("step", "share"), [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0)])
def test_warm_up_rises_linearly_to_the_peak(step, share):
    rate = learning_rate(step, peak=2e-3, warmup=4, total=20)
    assert rate == pytest.approx(2e-3 * share)


def test_the_cosine_is_half_way_down_in_the_middle_and_zero_at_the_end():
    rates = [learning_rate(step, peak=1.0, warmup=10, total=110) for step in (10, 60, 110)]
    assert rates == pytest.approx([1.0, 0.5, 0.0], abs=1e-12)
    quarter = learning_rate(35, peak=1.0, warmup=10, total=110)
    assert quarter == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_without_warm_up_the_first_step_is_at_the_peak():
    assert learning_rate(0, peak=0.3, warmup=0, total=5) == pytest.approx(0.3)


def test_a_run_that_is_all_warm_up_ends_at_the_peak():
    rates = [learning_rate(step, peak=1.0, warmup=4, total=4) for step in range(4)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0])


@given(warmup=st.integers(0, 20), decay=st.integers(1, 50))
def test_the_rate_rises_then_falls_and_stays_positive(warmup, decay):
    total = warmup + decay
    rates = [learning_rate(step, peak=1.0, warmup=warmup, total=total) for step in range(total)]
    rising, falling = rates[: warmup + 1], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(0 < rate <= 1 for rate in rates)


@pytest.fixture(scope="module")
def student():
    return ZeroSeg(
        dataclasses.replace(
            paper.model,
            image_size=16,
            patch_size=8,
            width=16,
            depth=3,
            num_heads=2,
            embed_dim=6,
            decoder_depth=1,
            decoder_width=8,
            decoder_heads=2,
            segment_tokens=(4, 2),
            patch_embeddings=True,
            cosine_assignment=True,
        )
    )


def names_of(group, model):
    members = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in members}


@pytest.mark.parametrize("layer_decay", [1.0, 0.75])
def test_every_parameter_is_in_exactly_one_group(student, layer_decay):
    groups = parameter_groups(student, 0.1, layer_decay)
    grouped = [id(p) for group in groups for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in student.parameters()}


def test_only_the_first_group_decays(student):
    assert [group["weight_decay"] for group in parameter_groups(student, 0.1)] == [0.1, 0.0]


def test_without_layer_decay_every_rate_is_the_whole_one(student):
    assert [group["scale"] for group in parameter_groups(student, 0.1)] == [1.0, 1.0]


def test_biases_norms_tokens_scales_and_positions_do_not_decay(student):
    free = names_of(parameter_groups(student, 0.1)[1], student)
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
    groups = parameter_groups(student, 0.1, layer_decay)
    decayed = set().union(*(names_of(g, student) for g in groups if g["weight_decay"]))
    assert decayed == expected
    mixers = {"head.grouping_1.mix.mlp.0.weight", "head.hand_on.mlp.2.weight"}
    assert mixers | {"trunk.patch_embed.proj.weight", "decoder.embed.weight"} <= decayed


def test_each_layer_of_the_trunk_learns_at_its_own_rate(student):
    scales = {
        name: group["scale"]
        for group in parameter_groups(student, 0.1, 0.5)
        for name in names_of(group, student)
    }
    expected = {"trunk.patch_embed.": 1 / 16, "trunk.pos_embed": 1 / 16, "": 1.0}
    expected |= {f"trunk.blocks.{i}.": scale for i, scale in enumerate([1 / 8, 1 / 4, 1 / 2])}
    for name, scale in scales.items():
        part = max((prefix for prefix in expected if name.startswith(prefix)), key=len)
        assert scale == expected[part], name
    assert scales["trunk.norm.weight"] == scales["decoder.blocks.0.attn.qkv.weight"] == 1.0


def test_layer_decay_makes_two_groups_a_layer(student):
    groups = parameter_groups(student, 0.1, 0.5)
    assert [group["weight_decay"] for group in groups] == [0.1] * 5 + [0.0] * 5
    assert [group["scale"] for group in groups] == [1.0, 0.5, 0.25, 0.125, 0.0625] * 2


def test_without_weight_decay_the_groups_stay_two(student):
    assert [group["weight_decay"] for group in parameter_groups(student, 0.0)] == [0.0, 0.0]
