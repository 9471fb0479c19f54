"""Training from shards that are elsewhere: URLs, commands, a web server."""

import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.streams import stream, taken, write
from zeroseg.errors import InputError
from zeroseg.store.shard_cache import ShardCache


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


def test_a_copy_that_is_being_opened_is_not_removed_to_make_room(shards, tmp_path):
    import fsspec

    fsspec.filesystem("memory").put(shards, "/opening", recursive=True)
    cache = ShardCache(folder=tmp_path / "c", gigabytes=1e-9)
    urls = [f"memory://opening/shard-00000{i}.tar" for i in range(2)]

    def fetch_another_and_open(copy: Path) -> bytes:
        cache.read(urls[1], lambda other: None)
        return copy.read_bytes()

    first = Path(shards, "shard-000000.tar").read_bytes()
    assert cache.read(urls[0], fetch_another_and_open) == first
    cache.read(urls[0], lambda copy: None)
    cache.read("memory://opening/shard-000002.tar", lambda copy: None)
    assert len(list((tmp_path / "c").glob("*.tar"))) == 1


@pytest.fixture
def server(shards):
    """The set's folder, served by Python's own web server."""
    handler = partial(SimpleHTTPRequestHandler, directory=shards)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("spec", ["{0}", "{0}/shard-{{000000..000006}}.tar"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_web_server_is_read_like_a_folder(shards, server, tmp_path, spec, workers):
    cache = ShardCache(folder=tmp_path / "cache", retries=0)
    remote = stream(spec.format(server), cache=cache, workers=workers)
    assert taken(remote, 26) == taken(stream(shards), 26)
    assert not remote.lost
    assert len(list((tmp_path / "cache").glob("*.idx"))) == 7


def test_a_shard_that_a_web_server_lacks_is_an_error_naming_it(server, tmp_path):
    cache = ShardCache(folder=tmp_path / "cache", retries=0)
    with pytest.raises(InputError, match=rf"{server}/other/shard-0\.tar cannot be read"):
        stream(f"{server}/other/shard-0.tar", cache=cache)


def command(shards: str, log: Path, before: str = "true") -> str:
    """Prints a shard slowly, and notes that it did."""
    steps = f"{before} $n; sleep 0.1; echo $n >> {log}; cat {shards}/$n"
    return f"pipe:n=shard-{{000000..000006}}.tar; {steps}"


def emptied(cache: Path) -> None:
    for copy in cache.glob("*.tar"):
        copy.unlink()


def test_the_next_shard_is_fetched_once_and_before_it_is_needed(shards, tmp_path):
    log, folder = tmp_path / "log", tmp_path / "cache"
    plain = taken(stream(shards, shuffle=0, batch_size=1), 41)
    source = stream(
        command(shards, log), shuffle=0, batch_size=1, cache=ShardCache(folder=folder, retries=0)
    )
    emptied(folder)  # counting has fetched them all
    log.unlink()
    batches = iter(source)
    found = [next(batches).keys]
    patience = time.monotonic() + 60
    while not (log.exists() and len(log.read_text().split()) == 2):
        assert time.monotonic() < patience, "the second shard does not come"
        time.sleep(0.01)
    found += [next(batches).keys for _ in range(40)]
    assert found == plain
    order = source.plan.order(0).shards
    assert log.read_text().split() == [f"shard-{shard:06d}.tar" for shard in order]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_could_not_be_fetched_ahead_is_tried_again(shards, tmp_path, workers):
    log, folder, marks = tmp_path / "log", tmp_path / "cache", tmp_path / "marks"
    marks.mkdir()
    failing = f"cd {marks}; try() (if mkdir $1; then exit 7; fi); set -e; try"
    cache = ShardCache(folder=folder, retries=1, pause=0.01)
    source = stream(command(shards, log, failing), cache=cache, shuffle=0, workers=workers)
    emptied(folder)
    for mark in marks.iterdir():
        mark.rmdir()
    assert taken(source, 26) == taken(stream(shards, shuffle=0), 26)
    assert not source.lost
    assert len(list(marks.iterdir())) == 7


def test_a_shard_that_never_comes_is_lost_as_without_fetching_ahead(shards, tmp_path):
    folder = tmp_path / "cache"
    spec = command(shards, tmp_path / "log", f"cd {shards}; test -f")
    spec = spec.replace("; sleep", " || exit 1; sleep")
    cache = ShardCache(folder=folder, retries=1, pause=0.01)
    settings = {"shuffle": 0, "most_lost": 1.0, "batch_size": 4}  # a shard of 6 is less than two
    source, local = stream(spec, cache=cache, **settings), stream(shards, **settings)
    emptied(folder)
    Path(shards, "shard-000002.tar").unlink()
    assert taken(source, 10) == taken(local, 10)
    assert source.lost == local.lost
    assert source.lost["unreadable shard"] >= 6
