"""Streaming, with real files and real processes."""

import io
import itertools
import multiprocessing
import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from zeroseg.data.batch import load_batch
from zeroseg.data.images import MAX_PIXELS
from zeroseg.data.reader import OPEN_SHARDS, ShardReader
from zeroseg.data.shard_cache import ShardCache
from zeroseg.data.shard_set import open_set
from zeroseg.data.stream import DataConfig, TrainingStream, training_sample
from zeroseg.errors import InputError

SIDE = 8
IMPATIENT = ShardCache(retries=1, pause=0.01)


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return encoded(pixels, "png")


def read(number: int, *, bad: frozenset[int] = frozenset()):
    yield Sample(f"k{number:03d}", b"GIF89a torn" if number in bad else photo(number))


def write(folder: Path, count: int = 41, per_shard: int = 6) -> str:
    source = Source(units=range(count), read=read, built_from={"count": str(count)})
    build(source, str(folder), Limits(images_per_shard=per_shard, workers=0))
    return str(folder)


@pytest.fixture
def shards(tmp_path) -> str:
    return write(tmp_path / "set")  # 7 shards, the last of 5


def spoil(folder: str, *numbers: int) -> None:
    """Overwrite the bytes of some images where they stand."""
    opened = open_set(folder, IMPATIENT)
    reader = ShardReader(opened, IMPATIENT)
    for number in numbers:
        shard, place = divmod(number, opened.counts[0])
        span = reader._shard(shard).index.members[place]["jpg"]
        with open(opened.urls[shard], "r+b") as file:
            file.seek(span.offset)
            file.write(b"\0" * span.size)


def stream(shards: str, rank: int = 0, world_size: int = 1, seed: int = 0, **changes):
    plain = {"image_size": SIDE, "batch_size": 3, "workers": 0, "shuffle": 10, "cache": IMPATIENT}
    config = DataConfig(shards=shards, **plain | changes)
    return TrainingStream(config, rank=rank, world_size=world_size, seed=seed)


def keys(batches) -> list[tuple[str, ...]]:
    return [batch.keys for batch in batches]


def taken(source: TrainingStream, steps: int) -> list[tuple[str, ...]]:
    return keys(itertools.islice(source, steps))


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
    assert rest.place.epoch == 1


def test_a_bad_sample_makes_its_batch_smaller_and_moves_no_other(shards):
    clean = taken(stream(shards), 13)
    spoil(shards, 5)
    source = stream(shards, most_lost=0.5)
    batches = list(itertools.islice(source, 13))
    assert keys(batches) == [tuple(k for k in b if k != "k005") for b in clean]
    (loss,) = [loss for batch in batches for loss in batch.lost]
    assert (loss.key, loss.cause) == ("k005", "UnidentifiedImageError")
    assert loss.shard.endswith("shard-000000.tar")
    assert source.lost == {"UnidentifiedImageError": 1}


def test_neighbours_stand_in_for_a_batch_that_is_lost_whole(shards):
    clean = taken(stream(shards, batch_size=1), 41)
    spoil(shards, 7)
    source = stream(shards, batch_size=1, most_lost=0.5)
    batches = list(itertools.islice(source, 41))
    at = clean.index(("k007",))
    assert keys(batches) == [clean[at + 1 if i == at else i] for i in range(41)]
    assert [len(b.lost) for b in batches] == [int(i == at) for i in range(41)]


def test_too_many_bad_samples_stop_the_run_and_say_which(shards):
    spoil(shards, *range(0, 41, 3))
    with pytest.raises(InputError, match=r"samples could not be had \(\d+ Unidentified.*k0\d\d"):
        taken(stream(shards, most_lost=0.1), 40)


def test_an_unreadable_shard_is_counted_whole(shards):
    source = stream(shards, most_lost=0.5)
    Path(shards, "shard-000002.tar").unlink()
    batches = list(itertools.islice(source, 13))
    lost = [loss for batch in batches for loss in batch.lost]
    assert {(loss.cause, loss.key) for loss in lost} == {("unreadable shard", "")}
    assert all(loss.shard.endswith("shard-000002.tar") for loss in lost)
    assert sum(len(b.keys) + len(b.lost) for b in batches) == 39


class _Flaky(ShardCache):
    """A real cache whose storage fails the first time."""

    def local(self, url: str) -> Path:
        mark = Path(url + ".tried")
        if not mark.exists():
            mark.touch()
            raise OSError("try again")
        return super().local(url)


def test_a_shard_that_fails_for_a_while_is_tried_again(shards):
    source = stream(shards, cache=_Flaky(retries=2, pause=0.01))
    assert taken(source, 13) == taken(stream(shards), 13)
    assert not source.lost


def _die(sample, **how):
    if sample.key == "k020":
        os.kill(os.getpid(), signal.SIGKILL)
    return training_sample(sample, **how)


def test_a_worker_that_dies_is_reported_with_its_sample(shards, monkeypatch):
    monkeypatch.setattr("zeroseg.data.stream.training_sample", _die)
    with pytest.raises(RuntimeError, match=r"shard-000003\.tar k020"):
        taken(stream(shards, workers=1), 14)


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


def test_remote_and_piped_shards_are_read_like_local_ones(shards, tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(shards, "/remote", recursive=True)
    cache = ShardCache(folder=tmp_path / "cache", retries=0)
    local = taken(stream(shards), 13)
    assert taken(stream("memory://remote", cache=cache), 13) == local
    piped = f"pipe:cat {shards}/shard-{{000000..000006}}.tar"
    assert taken(stream(piped, cache=cache), 13) == local


def test_copies_of_remote_shards_stay_within_their_limit(shards, tmp_path):
    import fsspec

    fsspec.filesystem("memory").put(shards, "/limited", recursive=True)
    size = Path(shards, "shard-000000.tar").stat().st_size
    cache = ShardCache(folder=tmp_path / "c", gigabytes=2.5 * size / 1e9, retries=0)
    taken(stream("memory://limited", cache=cache), 26)
    assert sum(p.stat().st_size for p in (tmp_path / "c").glob("*.tar")) <= 2.5 * size


def test_memory_and_open_files_do_not_grow_over_epochs(shards):
    source, process = stream(shards, batch_size=4), psutil.Process()
    batches = iter(source)
    for _ in range(50):
        next(batches)
    before, files = process.memory_info().rss, process.num_fds()
    for _ in range(500):  # 50 epochs
        next(batches)
    assert process.num_fds() <= files + OPEN_SHARDS
    assert process.memory_info().rss - before < 20e6


def kinds() -> dict[str, bytes]:
    rgb = np.full((20, 30, 3), 200, np.uint8)
    cases = {
        "one pixel": (Image.new("RGB", (1, 1), (200,) * 3), "png", {}),
        "grey": (Image.new("L", (30, 20), 200), "jpeg", {}),
        "cmyk": (Image.fromarray(rgb).convert("CMYK"), "jpeg", {"quality": 100}),
        "16-bit": (Image.fromarray(np.full((20, 30), 200 * 257, np.uint16)), "png", {}),
        "alpha": (Image.new("RGBA", (30, 20), (200, 200, 200, 9)), "png", {}),
        "palette": (Image.fromarray(rgb).convert("P"), "png", {}),
        "webp": (Image.fromarray(rgb), "webp", {}),
        "animated": (Image.fromarray(rgb), "gif", {"save_all": True, "append_images": []}),
    }
    made = {}
    for name, (image, kind, options) in cases.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made[name] = buffer.getvalue()
    return made


def _kind(name: str):
    yield Sample(name.replace(" ", "-"), kinds()[name])


def test_every_kind_of_picture_trains(tmp_path):
    source = Source(units=list(kinds()), read=_kind)
    build(source, str(tmp_path), Limits(workers=0))
    (batch,) = itertools.islice(stream(str(tmp_path), batch_size=8), 1)
    assert not batch.lost
    assert batch.images.dtype == torch.uint8
    assert (batch.images.int() - 200).abs().max() <= 6  # the palette has no 200


def _bomb(_: int):
    yield Sample("bomb", encoded(np.zeros((1, 1), np.uint8), "png"))


def test_a_decompression_bomb_is_a_bad_sample(tmp_path):
    build(Source(units=range(1), read=_bomb), str(tmp_path), Limits(workers=0))
    opened = open_set(str(tmp_path), IMPATIENT)
    huge = Image.new("1", (10_000, MAX_PIXELS // 10_000 + 1))
    buffer = io.BytesIO()
    huge.save(buffer, "png")

    def decode(sample):
        swapped = sample._replace(members={"jpg": buffer.getvalue()})
        return training_sample(swapped, config=DataConfig(shards=""), epoch=0)

    batch = load_batch(ShardReader(opened, IMPATIENT), [(0, 0)], decode)
    assert [loss.cause for loss in batch.lost] == ["DecompressionBombWarning"]
