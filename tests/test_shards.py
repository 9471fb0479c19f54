import itertools
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.writer import Sample, encoded, write_shards
from zeroseg.data.shards import (
    Batch,
    DataConfig,
    ShardOrder,
    evaluation_batches,
    shard_list,
    train_batches,
)
from zeroseg.errors import InputError

SIDE = 8


def sample(key: str, height: int = SIDE, width: int = SIDE) -> Sample:
    pixels = np.random.default_rng(len(key)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = np.full((height, width), 3, np.uint8)
    return Sample(key, encoded(pixels, "png"), encoded(labels, "png"))


def write(folder: Path, samples: list[Sample], per_shard: int) -> str:
    write_shards(samples, folder, "s", per_shard=per_shard)
    return str(folder / "s-*.tar")


@pytest.fixture
def shards(tmp_path) -> str:
    return write(tmp_path, [sample(f"k{i:02d}") for i in range(24)], per_shard=4)


def read(
    shards: str, count: int, *, rank=0, world_size=1, seed=0, skip=0, **changes
) -> list[Batch]:
    plain = {"image_size": SIDE, "batch_size": 4, "workers": 0, "shuffle": 6}
    config = DataConfig(shards=shards, **plain | changes)
    batches = train_batches(config, rank=rank, world_size=world_size, seed=seed, skip=skip)
    return list(itertools.islice(batches, count))


def keys(batches: list[Batch]) -> list[str]:
    return [key for batch in batches for key in batch.keys]


def names(urls: list[str]) -> list[str]:
    return [Path(url).stem[-1] for url in urls]


def test_a_spec_may_hold_braces_stars_and_several_parts(shards, tmp_path):
    stem = str(tmp_path / "s-00000")
    assert names(shard_list(shards)) == list("012345")
    assert names(shard_list(f"{stem}{{1..3}}.tar")) == list("123")
    assert names(shard_list(f"{stem}5.tar::{stem}{{0,2}}.tar::{stem}[34]*.tar")) == list("50234")


def test_a_missing_shard_is_an_error_naming_it(shards, tmp_path):
    with pytest.raises(InputError, match=r"s-000006\.tar does not exist"):
        shard_list(str(tmp_path / "s-{000005..000006}.tar"))


def test_a_pattern_that_matches_nothing_is_an_error_naming_it(tmp_path):
    with pytest.raises(InputError, match="nothing-"):
        shard_list(str(tmp_path / "nothing-*.tar"))


def test_a_shard_without_images_is_an_error_naming_it(tmp_path):
    (tmp_path / "note.txt").write_text("hello")
    with tarfile.open(tmp_path / "words.tar", "w") as tar:
        tar.add(tmp_path / "note.txt", "note.txt")
    with pytest.raises(InputError, match=r"words\.tar holds no image"):
        shard_list(str(tmp_path / "words.tar"))


@pytest.mark.parametrize("content", [b"", b"this is no tar" * 100])
def test_a_file_that_is_no_tar_is_an_error_naming_it(tmp_path, content):
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tar"):
        shard_list(str(tmp_path / "x.tar"))


def test_remote_shards_are_taken_at_their_word():
    assert shard_list("https://host/{0..1}.tar::pipe:cat x.tar") == [
        "https://host/0.tar",
        "https://host/1.tar",
        "pipe:cat x.tar",
    ]


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_every_epoch_deals_every_shard_to_exactly_one_reader(count, world_size, workers, seed):
    urls = [f"{i}.tar" for i in range(count)]
    readers = world_size * workers
    streams = [
        ShardOrder(urls=urls, rank=rank, world_size=world_size, seed=seed).urls_of(worker, workers)
        for rank in range(world_size)
        for worker in range(workers)
        if count >= readers
    ]
    for _ in range(3 if streams else 0):
        dealt = [
            next(stream)["url"]
            for reader, stream in enumerate(streams)
            for _ in range(len(range(reader, count, readers)))
        ]
        assert sorted(dealt) == sorted(urls)


def test_the_stream_is_a_function_of_the_seed(shards):
    first, again, other = (keys(read(shards, 12, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("batch_size", [1, 4, 6])
def test_every_key_appears_once_in_every_epoch(shards, batch_size):
    stream = keys(read(shards, 48 // batch_size, batch_size=batch_size, shuffle=0))
    assert sorted(stream[:24]) == sorted(stream[24:]) == [f"k{i:02d}" for i in range(24)]
    assert stream[:24] != stream[24:]


def test_the_shards_of_two_processes_are_disjoint_and_together_complete(shards):
    one, two = (keys(read(shards, 3, rank=rank, world_size=2, shuffle=0)) for rank in (0, 1))
    assert not set(one) & set(two)
    assert len(set(one + two)) == 24


def test_images_are_square_float_crops_without_labels(tmp_path):
    spec = write(tmp_path, [sample("tall", 12, 8), sample("wide", 8, 11)], per_shard=2)
    (batch,) = read(spec, 1, batch_size=2)
    assert batch.images.shape == (2, 3, SIDE, SIDE)
    assert 0 <= batch.images.min() <= batch.images.max() <= 1
    assert batch.labels is None


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("skip", [1, 4, 5])
def test_a_resumed_stream_continues_exactly(shards, workers, skip):
    whole = read(shards, skip + 4, workers=workers)
    for a, b in zip(whole[skip:], read(shards, 4, workers=workers, skip=skip), strict=True):
        assert a.keys == b.keys
        assert torch.equal(a.images, b.images)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_is_named_and_moves_no_other_sample(shards, tmp_path, workers):
    samples = [sample(f"k{i:02d}") for i in range(24)]
    samples[5] = Sample("k05", b"\xff\xd8 torn")
    torn = write(tmp_path / "torn", samples, per_shard=4)
    lost = 0
    for whole, part in zip(*(read(s, 12, workers=workers) for s in (shards, torn)), strict=True):
        assert part.keys == tuple(key for key in whole.keys if key != "k05")
        assert len(part.images) == len(part.keys)
        assert len(part.skipped) == whole.keys.count("k05")
        assert all("s-000001.tar k05: UnidentifiedImageError" in s for s in part.skipped)
        lost += len(part.skipped)
    assert lost


def test_a_batch_without_one_readable_image_is_an_error_naming_samples(tmp_path):
    spec = write(tmp_path, [Sample(f"k{i}", b"torn") for i in range(4)], per_shard=4)
    with pytest.raises(InputError, match=r"s-000000\.tar k[0-3]"):
        read(spec, 1)


@pytest.mark.parametrize(("world_size", "workers"), [(7, 0), (1, 7), (2, 4)])
def test_too_few_shards_for_the_readers_are_an_error_with_both_numbers(shards, world_size, workers):
    readers = world_size * max(1, workers)
    with pytest.raises(InputError, match=f"6 shards cannot feed {readers} readers"):
        read(shards, 1, world_size=world_size, workers=workers)


def test_a_truncated_shard_is_named_and_the_stream_goes_on(shards, tmp_path):
    path = tmp_path / "s-000002.tar"
    with tarfile.open(path) as tar:
        inside_k10 = tar.getmember("k10.jpg").offset_data + 10
    path.write_bytes(path.read_bytes()[:inside_k10])
    batches = read(shards, 12, shuffle=0)
    assert any("s-000002.tar" in s for batch in batches for s in batch.skipped)
    assert set(keys(batches)) == {f"k{i:02d}" for i in range(24)} - {"k10", "k11"}
    assert all(len(batch.keys) == 4 for batch in batches)


def evaluated(shards: str, batch_size: int = 4, **options) -> list[Batch]:
    return list(
        evaluation_batches(shards, short_side=SIDE, multiple=4, batch_size=batch_size, **options)
    )


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_the_evaluation_without_gap_or_overlap(shards, world_size):
    parts = [evaluated(shards, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sorted(keys([b for part in parts for b in part])) == [f"k{i:02d}" for i in range(24)]
    assert all(parts)


def test_a_process_without_a_shard_has_nothing_to_evaluate(shards):
    assert evaluated(shards, rank=6, world_size=7) == []


SIZES = {"a": (8, 8), "b": (8, 8), "c": (8, 12), "d": (12, 8), "e": (12, 8), "f": (8, 8)}


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_hold_one_size_and_their_size_changes_nothing_that_is_read(tmp_path, batch_size):
    spec = write(tmp_path, [sample(k, *size) for k, size in SIZES.items()], per_shard=4)
    batches = evaluated(spec, batch_size)
    assert keys(batches) == list(SIZES)
    for batch in batches:
        assert len(batch.keys) <= batch_size
        assert {SIZES[key] for key in batch.keys} == {tuple(batch.images.shape[2:])}
        assert batch.labels.shape[1:] == batch.images.shape[2:]
        assert (batch.labels == 3).all()


def test_an_image_that_cannot_be_scored_is_named_and_the_others_are_read(tmp_path):
    odd = Sample("odd", sample("x", 8, 8).image, sample("x", 8, 12).labels)
    bad = [Sample("torn", b"torn", sample("x").labels), Sample("bare", sample("x").image), odd]
    spec = write(tmp_path, [sample("a"), *bad, sample("b")], per_shard=5)
    batches = evaluated(spec, 2)
    assert keys(batches) == ["a", "b"]
    skipped = [s for batch in batches for s in batch.skipped]
    assert [s.split()[1] for s in skipped] == ["torn:", "bare:", "odd:"]
    assert all("s-000000.tar" in s for s in skipped)


def test_images_are_resized_and_labels_keep_their_own_size(tmp_path):
    spec = write(tmp_path, [sample("a", 16, 22), sample("b", 5, 5)], per_shard=2)
    first, second = evaluated(spec)
    assert first.images.shape == (1, 3, 8, 12)
    assert first.labels.shape == (1, 16, 22)
    assert second.images.shape == (1, 3, 8, 8)
    assert second.labels.shape == (1, 5, 5)
    (batch,) = read(spec, 1, batch_size=2)
    assert batch.images.shape == (2, 3, SIDE, SIDE)
