"""The order of an epoch and who reads it: pure functions of numbers, so proved on many."""

import itertools
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zeroseg.data.order import EpochOrder, measure, rank_share, remaining
from zeroseg.data.plan import Plan, Position
from zeroseg.errors import InputError

COUNTS = st.lists(st.integers(1, 30), min_size=1, max_size=8).map(tuple)
BLOCKS = st.sampled_from([0, 1, 7, 50, 1000])
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6))


def every(counts) -> list[tuple[int, int]]:
    return [(s, i) for s, n in enumerate(counts) for i in range(n)]


def planned(counts, block, ranks, size, seed=0, weights=None) -> Plan:
    return Plan(
        counts=counts,
        weights=weights or (1.0,) * len(counts),
        block=block,
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


@given(COUNTS, BLOCKS, st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_is_every_sample_once(counts, block, seed, epoch):
    order = EpochOrder(counts, (1.0,) * len(counts), block, seed, epoch)
    assert sorted(order.samples(0, len(order))) == every(counts)


@given(COUNTS, BLOCKS, st.data())
def test_any_stretch_of_an_epoch_can_be_had_alone(counts, block, data):
    order = EpochOrder(counts, (1.0,) * len(counts), block, 3, 1)
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(order))] * 2)))
    assert order.samples(a, b) == order.samples(0, len(order))[a:b]


@given(COUNTS, st.integers(1, 40))
def test_samples_move_only_within_their_block(counts, block):
    ones = (1.0,) * len(counts)
    still = EpochOrder(counts, ones, 0, 0, 0).samples(0, sum(counts))
    mixed = EpochOrder(counts, ones, block, 0, 0).samples(0, sum(counts))
    for first in range(0, sum(counts), block):
        assert sorted(still[first : first + block]) == sorted(mixed[first : first + block])


@given(COUNTS, BLOCKS, SHAPES, st.integers(1, 5))
@example((1, 1, 1, 1, 1, 1, 1, 3), 7, (5, 1), 1)
def test_the_shard_that_follows_is_one_that_its_lane_has_not_come_to_and_comes_to(
    counts, block, shape, stride
):
    ranks, size = shape
    if sum(counts) < ranks * size:
        return
    plan = planned(counts, block, ranks, size)
    steps = steps_of_epoch(plan)
    for rank in range(ranks):
        left = rank_share([(0, sum(counts))], rank, ranks)
        mine = [shard for a, b in left for shard, _ in plan.order(0).samples(a, b)]
        places = itertools.islice(plan.batches(Position(), rank, 0, stride), -(-steps // stride))
        for number, batch in enumerate(places):
            first = number * stride * size
            if batch.following is None:
                continue
            assert batch.following in mine[first:]
            assert batch.samples[0][0] != batch.following


def test_with_few_samples_in_a_block_the_shards_of_a_lane_follow_one_another():
    plan = planned((4,) * 6, 2, 2, 1)
    line = plan.order(0).shards
    for rank, mine in enumerate((line[:3], line[3:])):
        found = [b.following for b in itertools.islice(plan.batches(Position(), rank), 12)]
        assert found == [mine[1]] * 4 + [mine[2]] * 4 + [None] * 4


def test_epochs_and_seeds_differ_and_the_same_ones_do_not():
    def line(seed: int, epoch: int):
        return EpochOrder((50, 50, 50), (1.0,) * 3, 60, seed, epoch).samples(0, 150)

    assert line(0, 0) == line(0, 0)
    assert len({tuple(line(s, e)) for s in range(3) for e in range(3)}) == 9


def test_a_weight_is_how_often_a_shard_comes():
    orders = [EpochOrder((10, 10), (2.0, 0.25), 5, 0, e) for e in range(400)]
    seen = Counter(s for order in orders for s in order.shards)
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


@given(COUNTS, BLOCKS, SHAPES, st.integers(0, 2))
def test_processes_share_an_epoch_without_overlap_and_in_equal_steps(counts, block, shape, seed):
    ranks, size = shape
    if sum(counts) < ranks * size:
        with pytest.raises(InputError, match=r"do not fill one batch"):
            planned(counts, block, ranks, size)
        return
    plan = planned(counts, block, ranks, size, seed)
    steps = steps_of_epoch(plan)
    batches = read(plan, Position(), steps)
    assert all(len(b) == size for rank in batches for b in rank)
    seen = [sample for rank in batches for b in rank for sample in b]
    assert len(set(seen)) == len(seen) == steps * ranks * size
    assert plan.after(Position(), steps) == Position(1, (), sum(counts) - len(seen))
    assert sum(counts) - len(seen) < ranks * size


@given(COUNTS, BLOCKS, st.lists(st.tuples(SHAPES, st.integers(0, 5)), min_size=1, max_size=5))
def test_a_job_may_go_on_with_other_numbers_of_processes_and_no_sample_is_lost_or_seen_twice(
    counts, block, stages
):
    place, seen = Position(), Counter()
    for (ranks, size), steps in stages:
        if sum(counts) < ranks * size:
            continue
        plan = planned(counts, block, ranks, size)
        while plan.after(place, steps).epoch > place.epoch:
            if steps == 0:
                return  # what is left is less than these ranks can share
            steps -= 1
        for rank in read(plan, place, steps):
            seen.update(sample for batch in rank for sample in batch)
        place = plan.after(place, steps)
    assert max(seen.values(), default=1) == 1
    assert sum(seen.values()) == sum(counts) - measure(remaining(sum(counts), place.consumed))


@given(COUNTS, BLOCKS, SHAPES, st.integers(0, 30), st.integers(1, 5))
def test_going_on_from_a_place_is_not_stopping(counts, block, shape, before, after):
    ranks, size = shape
    if sum(counts) < ranks * size:
        return
    plan = planned(counts, block, ranks, size)
    whole = read(plan, Position(), before + after)
    place = Position.from_state(plan.after(Position(), before).state_dict())
    assert read(plan, place, after) == [rank[before:] for rank in whole]


@given(COUNTS, SHAPES, st.integers(1, 4), st.integers(0, 20))
def test_workers_divide_a_process_batches_in_turn(counts, shape, workers, before):
    ranks, size = shape
    if sum(counts) < ranks * size:
        return
    plan = planned(counts, 7, ranks, size)
    place = plan.after(Position(), before)
    alone = [b.samples for b in itertools.islice(plan.batches(place, 0), 12)]
    shares = [
        [b.samples for b in itertools.islice(plan.batches(place, 0, w, workers), 12)]
        for w in range(workers)
    ]
    assert [shares[i % workers][i // workers] for i in range(12)] == alone


def test_a_place_costs_the_same_to_find_late_in_an_epoch_as_early():
    plan = planned((10_000,) * 1000, 5000, 64, 256)
    late = steps_of_epoch(plan) - 1
    place = plan.after(Position(), late)
    assert place == Position(0, ((64, late * 256),))
    assert len(next(plan.batches(place, 63)).samples) == 256
