"""The order of training batches, with real files and real processes."""

import multiprocessing
from collections import Counter

import psutil
import pytest

from tests.support.streams import stream, taken, write
from zeroseg.errors import InputError
from zeroseg.store.reader import OPEN_SHARDS


@pytest.fixture
def shards(tmp_path) -> str:
    return write(tmp_path / "set")  # 7 shards, the last of 5


def _process(shards, rank, world_size, workers, steps, queue) -> None:
    queue.put((rank, taken(stream(shards, rank, world_size, workers=workers), steps)))


def processes(shards: str, world_size: int, workers: int, steps: int) -> list[list]:
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    jobs = [
        context.Process(target=_process, args=(shards, r, world_size, workers, steps, queue))
        for r in range(world_size)
    ]
    for job in jobs:
        job.start()
    found = dict(queue.get(timeout=60) for _ in jobs)
    for job in jobs:
        job.join()
    return [found[rank] for rank in range(world_size)]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_processes_and_workers_see_each_sample_once_in_equal_steps(shards, world_size):
    steps = 41 // (3 * world_size)
    runs = [processes(shards, world_size, workers, steps) for workers in (0, 1, 2)]
    assert runs[0] == runs[1] == runs[2]
    seen = [key for rank in runs[0] for batch in rank for key in batch]
    assert len(seen) == len(set(seen)) == 3 * world_size * steps
    assert 41 - len(seen) < 3 * world_size


def test_one_shard_feeds_several_processes_and_workers(tmp_path):
    folder = write(tmp_path / "one", 12, per_shard=12)
    seen = [k for rank in processes(folder, 2, 2, 2) for batch in rank for k in batch]
    assert sorted(seen) == [f"k{i:03d}" for i in range(12)]


def test_runs_repeat_and_epochs_and_seeds_differ(shards):
    one, again = taken(stream(shards), 26), taken(stream(shards), 26)
    assert one == again
    assert sorted(k for b in one[:13] for k in b) != [k for b in one[:13] for k in b]
    assert one[:13] != one[13:]
    assert taken(stream(shards, seed=1), 13) != one[:13]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("before", [1, 5, 13, 20])
def test_going_on_from_a_state_is_not_stopping(shards, before, workers):
    whole = taken(stream(shards, 1, 2, workers=workers), before + 6)
    first = stream(shards, 1, 2, workers=workers)
    taken(first, before)
    second = stream(shards, 1, 2, workers=workers)
    second.load_state_dict(first.state_dict())
    assert taken(second, 6) == whole[before:]


def test_a_job_that_goes_on_with_more_processes_loses_and_repeats_nothing(shards):
    seen, state = Counter(), None
    for world_size, steps in ((2, 3), (3, 2), (1, 1)):
        parts = [stream(shards, r, world_size, batch_size=2) for r in range(world_size)]
        for part in parts:
            if state is not None:
                part.load_state_dict(state)
            seen.update(k for batch in taken(part, steps) for k in batch)
        state = parts[0].state_dict()
        assert all(p.state_dict() == state for p in parts)
    rest = stream(shards, batch_size=1)
    rest.load_state_dict(state)
    seen.update(k for batch in taken(rest, 41 - sum(seen.values())) for k in batch)
    assert seen == Counter(f"k{i:03d}" for i in range(41))
    assert rest.position.epoch == 1


def test_too_few_images_for_a_batch_of_every_process_are_an_error(shards):
    with pytest.raises(InputError, match=r"41 images do not fill .* lower --data.batch-size"):
        stream(shards, world_size=14)


def test_parts_are_mixed_by_weight(tmp_path):
    one, two = write(tmp_path / "one", 12), write(tmp_path / "two", 6)
    source = stream(f"{one}::{two}", weights=(1.0, 3.0))
    seen = Counter(k for batch in taken(source, 10) for k in batch)
    assert seen == {f"k{i:03d}": 4 if i < 6 else 1 for i in range(12)}
    with pytest.raises(InputError, match=r"one positive number for each of the 2 parts"):
        stream(f"{one}::{two}", weights=(1.0,))


def test_memory_and_open_files_do_not_grow_over_epochs(shards):
    source, process = stream(shards, batch_size=4), psutil.Process()
    batches = iter(source)
    for _ in range(50):
        next(batches)
    before, files = process.memory_info().rss, process.num_fds()
    for _ in range(500):  # 50 epochs
        next(batches)
    assert process.num_fds() <= files + 2 * OPEN_SHARDS
    assert process.memory_info().rss - before < 20e6
