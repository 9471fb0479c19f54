"""The order of an epoch and who reads it: pure functions of numbers, so proved on many."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.data.order import EpochOrder, measure, rank_share, remaining
from zeroseg.data.plan import Plan, Position
from zeroseg.errors import InputError

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=8).map(tuple)
MIXED = st.sampled_from([None, 0, 1, 2, 3, 5, 100])
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6))


def every(counts) -> list[tuple[int, int]]:
    return [(s, i) for s, n in enumerate(counts) for i in range(n)]


def ordered(counts, mixed, seed=0, epoch=0, weights=(), parts=()) -> EpochOrder:
    ones, zeros = (1.0,) * len(counts), (0,) * len(counts)
    return EpochOrder(counts, weights or ones, parts or zeros, mixed, seed, epoch)


def planned(counts, mixed, ranks, size, seed=0) -> Plan:
    return Plan(
        counts=counts,
        weights=(1.0,) * len(counts),
        parts=(0,) * len(counts),
        mixed=mixed,
        seed=seed,
        ranks=ranks,
        batch_size=size,
    )


def read(plan: Plan, place: Position, steps: int) -> list[list[list[tuple[int, int]]]]:
    return [
        [b.samples for b in itertools.islice(plan.batches(place, rank), steps)]
        for rank in range(plan.ranks)
    ]


def steps_of_epoch(plan: Plan) -> int:
    return len(plan.order(0)) // (plan.ranks * plan.batch_size)


def rounds(order: EpochOrder) -> list[list[tuple[int, int]]]:
    """The samples of each round."""
    ends = [0, *order._round_ends.tolist()]
    return [order.samples(a, b) for a, b in itertools.pairwise(ends)]


@given(COUNTS, MIXED, st.integers(0, 3), st.integers(0, 3), st.data())
def test_an_epoch_is_every_sample_once_whatever_the_parts(counts, mixed, seed, epoch, data):
    parts = tuple(
        data.draw(st.lists(st.integers(0, 2), min_size=len(counts), max_size=len(counts)))
    )
    order = ordered(counts, mixed, seed, epoch, parts=parts)
    assert sorted(order.samples(0, len(order))) == every(counts)


@given(COUNTS, MIXED, st.data())
def test_any_stretch_of_an_epoch_can_be_had_alone(counts, mixed, data):
    order = ordered(counts, mixed, 3, 1)
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(order))] * 2)))
    assert order.samples(a, b) == order.samples(0, len(order))[a:b]


@given(COUNTS, st.integers(1, 10))
def test_a_round_is_so_many_whole_shards(counts, mixed):
    found = [{shard for shard, _ in samples} for samples in rounds(ordered(counts, mixed))]
    assert all(len(shards) <= mixed for shards in found)
    assert len(found) == -(-len(counts) // mixed)
    assert sorted(s for shards in found for s in shards) == list(range(len(counts)))


@given(COUNTS)
def test_unshuffled_samples_stand_as_in_their_shards_and_shards_do_not(counts):
    order = ordered(counts, 0)
    assert order.samples(0, len(order)) == [(s, i) for s in order.shards for i in range(counts[s])]


@pytest.mark.parametrize("mixed", [None, 0, 8])
def test_parts_are_mixed_in_every_round_in_proportion(mixed):
    counts = (300,) + (100,) * 60  # a part of one shard beside one of sixty
    order = ordered(counts, mixed, parts=(0,) + (1,) * 60)
    line = [shard == 0 for shard, _ in order.samples(0, len(order))]
    stretch = len(order) if mixed is None else len(order) // len(order._round_ends)
    for first in range(0, len(order) - stretch + 1, stretch):
        assert sum(line[first : first + stretch]) == pytest.approx(stretch / 21, rel=0.3, abs=2)


def test_positions_are_uniform_and_unrelated_over_epochs():
    """Chi-square of where samples come and of pairs that come one after the other, by shard."""
    counts, epochs = (7, 13, 20, 10), 2000
    places = np.zeros((4, 5))
    pairs = np.zeros((4, 4))
    for epoch in range(epochs):
        line = np.array([shard for shard, _ in ordered(counts, None, 0, epoch).samples(0, 50)])
        np.add.at(places, (line, np.arange(50) // 10), 1)
        np.add.at(pairs, (line[:-1:2], line[1::2]), 1)
    share = np.array(counts) / 50
    expected = epochs * 50 * share[:, None] / 5 * np.ones((1, 5))
    assert ((places - expected) ** 2 / expected).sum() < 35  # 12 degrees; drawn without replacement
    n = np.array(counts)
    both = (np.outer(n, n) - np.diag(n)) / (50 * 49) * epochs * 25
    assert ((pairs - both) ** 2 / both).sum() < 45  # 15 degrees


@pytest.mark.parametrize("ranks", [1, 8])
def test_a_batch_has_as_many_classes_as_a_uniform_draw(ranks):
    """Shards in the order of 1,000 classes of 60 images; a batch of 1,024 of all processes."""
    classes, each, batch = 1000, 60, 1024
    plan = planned((1500,) * 40, None, ranks, batch // ranks)
    places = (p for rank in read(plan, Position(), 1) for b in rank for p in b)
    seen = len({(shard * 1500 + number) // each for shard, number in places})
    chance = classes * (1 - (1 - batch / (classes * each)) ** each)
    assert seen == pytest.approx(chance, rel=0.05)


@given(COUNTS, MIXED, SHAPES, st.integers(1, 5))
def test_what_follows_is_the_next_round_of_a_lane(counts, mixed, shape, stride):
    ranks, size = shape
    if sum(counts) < ranks * size:
        return
    plan = planned(counts, mixed, ranks, size)
    ends = plan.order(0)._round_ends
    of_round = [{shard for shard, _ in samples} for samples in rounds(plan.order(0))]
    for rank in range(ranks):
        ((begin, end),) = rank_share([(0, sum(counts))], rank, ranks)
        places = range(0, steps_of_epoch(plan), stride)
        for step, batch in zip(places, plan.batches(Position(), rank, 0, stride), strict=False):
            now = int(np.searchsorted(ends, begin + step * size, side="right"))
            last = int(np.searchsorted(ends, end - 1, side="right"))
            expected = of_round[now + 1] - of_round[now] if now < last else set()
            assert set(batch.following) == expected
            assert len(batch.following) == len(expected)


def test_with_one_shard_at_a_time_the_shards_of_a_lane_follow_one_another():
    plan = planned((4,) * 6, 0, 2, 1)
    line = plan.order(0).shards.tolist()
    for rank, mine in enumerate((line[:3], line[3:])):
        found = [b.following for b in itertools.islice(plan.batches(Position(), rank), 12)]
        assert found == [(mine[1],)] * 4 + [(mine[2],)] * 4 + [()] * 4


def test_epochs_and_seeds_differ_and_the_same_ones_do_not():
    def line(seed: int, epoch: int):
        return ordered((50, 50, 50), None, seed, epoch).samples(0, 150)

    assert line(0, 0) == line(0, 0)
    assert len({tuple(line(s, e)) for s in range(3) for e in range(3)}) == 9


def test_a_weight_is_how_often_a_shard_comes():
    orders = [ordered((10, 10), 5, 0, e, weights=(2.0, 0.25)) for e in range(400)]
    seen = Counter(s for order in orders for s in order.shards.tolist())
    assert seen[0] == 800
    assert 70 < seen[1] < 130  # a quarter of 400


@given(st.integers(0, 200), st.lists(st.tuples(st.integers(1, 6), st.integers(0, 40)), max_size=4))
def test_lanes_are_equal_to_one_sample_and_together_all_that_is_left(total, consumed):
    left = remaining(total, consumed)
    parts = [rank_share(left, r, 5) for r in range(5)]
    positions = sorted(p for part in parts for a, b in part for p in range(a, b))
    assert positions == sorted(p for a, b in left for p in range(a, b))
    assert len(set(positions)) == len(positions)
    sizes = [measure(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(COUNTS, MIXED, SHAPES, st.integers(0, 2))
def test_processes_share_an_epoch_without_overlap_and_in_equal_steps(counts, mixed, shape, seed):
    ranks, size = shape
    if sum(counts) < ranks * size:
        with pytest.raises(InputError, match=r"do not fill one batch"):
            planned(counts, mixed, ranks, size)
        return
    plan = planned(counts, mixed, ranks, size, seed)
    steps = steps_of_epoch(plan)
    batches = read(plan, Position(), steps)
    assert all(len(b) == size for rank in batches for b in rank)
    seen = [sample for rank in batches for b in rank for sample in b]
    assert len(set(seen)) == len(seen) == steps * ranks * size
    assert plan.after(Position(), steps) == Position(1, (), sum(counts) - len(seen))
    assert sum(counts) - len(seen) < ranks * size


@given(COUNTS, MIXED, st.lists(st.tuples(SHAPES, st.integers(0, 5)), min_size=1, max_size=5))
def test_a_job_may_go_on_with_other_numbers_of_processes_and_no_sample_is_lost_or_seen_twice(
    counts, mixed, stages
):
    place, seen = Position(), Counter()
    for (ranks, size), steps in stages:
        if sum(counts) < ranks * size:
            continue
        plan = planned(counts, mixed, ranks, size)
        while plan.after(place, steps).epoch > place.epoch:
            if steps == 0:
                return  # what is left is less than these ranks can share
            steps -= 1
        for rank in read(plan, place, steps):
            seen.update(sample for batch in rank for sample in batch)
        place = plan.after(place, steps)
    assert max(seen.values(), default=1) == 1
    assert sum(seen.values()) == sum(counts) - measure(remaining(sum(counts), place.consumed))


@given(COUNTS, MIXED, SHAPES, st.integers(0, 30), st.integers(1, 5))
def test_going_on_from_a_place_is_not_stopping(counts, mixed, shape, before, after):
    ranks, size = shape
    if sum(counts) < ranks * size:
        return
    plan = planned(counts, mixed, ranks, size)
    whole = read(plan, Position(), before + after)
    place = Position.from_state(plan.after(Position(), before).state_dict())
    assert read(plan, place, after) == [rank[before:] for rank in whole]


@given(COUNTS, SHAPES, st.integers(1, 4), st.integers(0, 20))
def test_workers_divide_a_process_batches_in_turn(counts, shape, workers, before):
    ranks, size = shape
    if sum(counts) < ranks * size:
        return
    plan = planned(counts, 2, ranks, size)
    place = plan.after(Position(), before)
    alone = [b.samples for b in itertools.islice(plan.batches(place, 0), 12)]
    shares = [
        [b.samples for b in itertools.islice(plan.batches(place, 0, w, workers), 12)]
        for w in range(workers)
    ]
    assert [shares[i % workers][i // workers] for i in range(12)] == alone


def test_a_place_costs_the_same_to_find_late_in_an_epoch_as_early():
    plan = planned((10_000,) * 1000, None, 64, 256)
    late = steps_of_epoch(plan) - 1
    place = plan.after(Position(), late)
    assert place == Position(0, ((64, late * 256),))
    assert len(next(plan.batches(place, 63)).samples) == 256


@given(COUNTS, st.lists(st.tuples(SHAPES, MIXED), min_size=2, max_size=4))
def test_an_epoch_ends_in_the_order_that_it_was_begun_in(counts, stages):
    place, seen = Position(), Counter()
    for (ranks, size), mixed in stages:
        if sum(counts) < ranks * size:
            continue
        plan = planned(counts, mixed, ranks, size)
        if plan.after(place, 1).epoch > place.epoch:
            break
        seen.update(sample for rank in read(plan, place, 1) for batch in rank for sample in batch)
        place = plan.after(place, 1)
    assert max(seen.values(), default=1) == 1


def test_a_place_in_another_order_is_refused_by_its_name():
    state = Position(1, ((2, 8),), 3, 16).state_dict()
    assert Position.from_state(state) == Position(1, ((2, 8),), 3, 16)
    with pytest.raises(InputError, match=r"'lines of dice'.*begin another --output"):
        Position.from_state(state | {"order": "lines of dice"})
    before = {"epoch": 1, "consumed": [[2, 8]], "left_out": 3}
    with pytest.raises(InputError, match=r"'blocks of neighbouring samples'.*finish the run with"):
        Position.from_state(before)
