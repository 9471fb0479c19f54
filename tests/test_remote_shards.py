"""Training from shards that are elsewhere: URLs, commands, a web server."""

from pathlib import Path

import pytest
from streams import stream, taken, write

from zeroseg.data.shard_cache import ShardCache


@pytest.fixture
def shards(tmp_path) -> str:
    return write(tmp_path / "set")  # 7 shards, the last of 5


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
