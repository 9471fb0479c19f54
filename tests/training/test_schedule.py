import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.training.optimization import Cosine, Polynomial


@pytest.mark.parametrize(("step", "share"), [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0)])
def test_warm_up_rises_linearly_to_the_peak(step, share):
    rate = Cosine(warmup=4)(step, peak=2e-3, total=20)
    assert rate == pytest.approx(2e-3 * share)


def test_the_cosine_is_half_way_down_in_the_middle_and_zero_at_the_end():
    rates = [Cosine(warmup=10)(step, peak=1.0, total=110) for step in (10, 60, 110)]
    assert rates == pytest.approx([1.0, 0.5, 0.0], abs=1e-12)
    quarter = Cosine(warmup=10)(35, peak=1.0, total=110)
    assert quarter == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_without_warm_up_the_first_step_is_at_the_peak():
    assert Cosine(warmup=0)(0, peak=0.3, total=5) == pytest.approx(0.3)


def test_a_run_that_is_all_warm_up_ends_at_the_peak():
    rates = [Cosine(warmup=4)(step, peak=1.0, total=4) for step in range(4)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0])


@given(warmup=st.integers(0, 20), decay=st.integers(1, 50))
def test_the_rate_rises_then_falls_and_stays_positive(warmup, decay):
    total = warmup + decay
    rates = [Cosine(warmup=warmup)(step, peak=1.0, total=total) for step in range(total)]
    rising, falling = rates[: warmup + 1], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(0 < rate <= 1 for rate in rates)


def test_a_polynomial_falls_to_zero_by_its_power():
    schedule = Polynomial(warmup=10, power=2.0)
    rates = [schedule(step, peak=1.0, total=110) for step in (10, 60, 110)]
    assert rates == pytest.approx([1.0, 0.25, 0.0], abs=1e-12)
