import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
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
        ZeroSegConfig(
            image_size=16,
            patch_size=8,
            width=16,
            depth=1,
            num_heads=2,
            embed_dim=6,
            decoder_depth=1,
            decoder_width=8,
            decoder_heads=2,
            head_layers=(1, 1, 1),
            segment_tokens=(4, 2),
            patch_embeddings=True,
            cosine_assignment=True,
        )
    )


def names_of(group, model):
    members = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in members}


def test_every_parameter_is_in_exactly_one_group(student):
    grouped = [id(p) for group in parameter_groups(student, 0.1) for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in student.parameters()}


def test_only_the_first_group_decays(student):
    assert [group["weight_decay"] for group in parameter_groups(student, 0.1)] == [0.1, 0.0]


def test_biases_norms_tokens_scales_and_positions_do_not_decay(student):
    free = names_of(parameter_groups(student, 0.1)[1], student)
    expected = {name for name, parameter in student.named_parameters() if parameter.ndim < 2}
    tables = {"head.tokens_1", "head.tokens_2", "decoder.mask_token", "trunk.pos_embed"}
    assert free == expected | tables
    assert "head.grouping_1.scale" in free
    assert all(n in free for n, _ in student.named_parameters() if "norm" in n or "bias" in n)


def test_matrices_and_convolutions_decay(student):
    decayed = names_of(parameter_groups(student, 0.1)[0], student)
    assert "trunk.patch_embed.proj.weight" in decayed
    assert "head.grouping_1.read.in_proj_weight" in decayed
    assert "patch_embedding.0.weight" in decayed
