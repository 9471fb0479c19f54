"""How many shards are mixed: of what is at hand all, of what must be copied as many as there is room for."""

import pytest

from tests.support.streams import stream, write
from zeroseg.data.mixing import MOST_COPIED, mixed_shards
from zeroseg.errors import InputError
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set


@pytest.fixture
def shards(tmp_path):
    return open_set(write(tmp_path / "set"), ShardCache())


def test_a_local_set_with_an_index_is_mixed_whole_and_without_one_by_some_shards(shards, tmp_path):
    none = [0] * 7
    assert mixed_shards(None, shards, none, ShardCache(), 8) is None
    assert mixed_shards(40, shards, none, ShardCache(), 8) == 40
    (tmp_path / "set/shard-000003.idx").unlink()
    assert mixed_shards(None, shards, none, ShardCache(), 8) == MOST_COPIED
    assert mixed_shards(0, shards, none, ShardCache(), 8) == 0


@pytest.mark.parametrize(("processes", "expected"), [(1, MOST_COPIED), (8, 6), (32, 1), (500, 1)])
def test_remote_shards_are_as_many_as_the_cache_holds_twice(shards, processes, expected):
    copied = [10**9] * 6 + [500]
    assert mixed_shards(None, shards, copied, ShardCache(gigabytes=100.0), processes) == expected
    assert mixed_shards(1, shards, copied, ShardCache(gigabytes=100.0), processes) == 1
    assert mixed_shards(0, shards, copied, ShardCache(gigabytes=100.0), processes) == 0


def test_more_remote_shards_than_there_is_room_for_are_an_error(shards):
    copied = [10**9] * 7
    assert mixed_shards(50, shards, copied, ShardCache(gigabytes=100.0), 1) == 50
    with pytest.raises(InputError, match=r"mixes 51 .* hold 50 .* raise --data.cache.gigabytes"):
        mixed_shards(51, shards, copied, ShardCache(gigabytes=100.0), 1)


def test_a_stream_mixes_by_the_bytes_of_its_shards_and_of_what_lies_beside(tmp_path):
    import fsspec

    folder = write(tmp_path / "set")
    fsspec.filesystem("memory").put(folder, "/mixing", recursive=True)
    largest = max(p.stat().st_size for p in (tmp_path / "set").glob("*.tar"))
    cache = ShardCache(folder=tmp_path / "cache", gigabytes=12.5 * largest / 1e9)
    assert stream(folder, cache=cache).plan.mixed is None
    assert stream("memory://mixing", cache=cache).plan.mixed == 6
    assert stream("memory://mixing", 0, 3, cache=cache).plan.mixed == 2
    piped = f"pipe:cat {folder}/shard-{{000000..000006}}.tar"
    assert stream(piped, cache=cache).plan.mixed == 6
