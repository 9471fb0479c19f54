"""A keyed permutation: each place once, and no pattern left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.data.permutation import permuted


@given(st.integers(1, 3000), st.integers(0, 2**32), st.integers(0, 50))
def test_every_place_goes_to_another(size, seed, epoch):
    found = permuted(np.arange(size), size, (seed, epoch))
    assert np.array_equal(np.sort(found), np.arange(size))


@given(st.integers(1, 10**12), st.data())
def test_a_place_alone_goes_where_it_goes_among_others(size, data):
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    found = permuted(places, size, (1, 2))
    assert ((found >= 0) & (found < size)).all()
    assert [int(permuted(places[i : i + 1], size, (1, 2))[0]) for i in range(len(places))] == list(
        found
    )


def test_it_is_the_same_everywhere():
    """Values that saved places depend on."""
    assert permuted(np.arange(8), 8, (0, 0)).tolist() == [5, 7, 2, 0, 4, 3, 6, 1]
    assert permuted(np.arange(3), 1_281_167, (0, 0)).tolist() == [95738, 25656, 895012]


@pytest.mark.parametrize("size", [3, 4, 5])
def test_all_orders_of_few_places_come_about_equally_often(size):
    orders = {}
    for key in range(6000):
        order = tuple(permuted(np.arange(size), size, (key,)).tolist())
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == {3: 6, 4: 24, 5: 120}[size]
    assert max(orders.values()) < 2.5 * 6000 / len(orders)


def test_neighbours_and_keys_leave_no_trace():
    line = permuted(np.arange(100_000), 100_000, (0, 0)).astype(float)
    other = permuted(np.arange(100_000), 100_000, (0, 1)).astype(float)
    pairs = [
        (line[:-1], line[1:]),
        (line, other),
        (line, np.arange(100_000)),
        (line[:-300], line[300:]),
    ]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.015 for a, b in pairs)  # chance: 0.003
    quarters = np.histogram2d(line, np.arange(100_000), bins=20)[0]
    assert ((quarters - 250) ** 2 / 250).sum() < 470  # 361 degrees of freedom
