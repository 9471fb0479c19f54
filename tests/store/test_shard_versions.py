"""A copy of a remote shard is of the set that its manifest tells of, or is no copy."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import fsspec
import pytest

from shards.build import Limits, build
from shards.sample import Sample, Source
from tests.support.jobs import Job
from tests.support.streams import photo, stream, taken
from zeroseg.errors import InputError
from zeroseg.store.reader import ShardReader, UnreadableShard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

SHARDS, EACH = 3, 4


def _read(number: int, *, first: int):
    yield Sample(f"k{number:03d}", photo(first + number))


def written(folder: Path, first: int = 0) -> Path:
    """A set whose keys are always the same, and whose pictures are not."""
    units = range(SHARDS * EACH)
    source = Source(units=units, read=partial(_read, first=first), built_from={"first": str(first)})
    build(source, str(folder), Limits(images_per_shard=EACH, workers=0, order="path"))
    return folder


@pytest.fixture
def cache(tmp_path) -> ShardCache:
    return ShardCache(folder=tmp_path / "cache", retries=2, pause=0.01)


@pytest.fixture
def put():
    """Sends a folder to one URL, in place of what was there, and tells the URL."""
    name = str(uuid4())

    def replace(folder: Path) -> str:
        memory = fsspec.filesystem("memory")
        if memory.exists(f"/{name}"):
            memory.rm(f"/{name}", recursive=True)
        memory.put(str(folder), f"/{name}", recursive=True)
        return f"memory://{name}"

    return replace


def pictures(spec: str, cache: ShardCache) -> list[bytes]:
    """Every image of a set, in order."""
    shards = open_set(spec, cache)
    reader = ShardReader(shards, cache)
    images = [reader.read(s, n).members["jpg"] for s in range(SHARDS) for n in range(EACH)]
    reader.close()
    return images


OLD, NEW = ([photo(first + n) for n in range(SHARDS * EACH)] for first in (0, 100))
BRACES = "/shard-{000000..000002}.tar"


@pytest.mark.parametrize("manifest", [True, False])
def test_a_set_that_is_built_again_under_the_same_url_is_copied_again(
    tmp_path, cache, put, manifest
):
    for folder, expected in ((tmp_path / "old", OLD), (tmp_path / "new", NEW)):
        written(folder, first=0 if expected is OLD else 100)
        if not manifest:
            (folder / "manifest.json").unlink()
        spec = put(folder) + ("" if manifest else BRACES)
        for _ in range(2):
            assert pictures(spec, cache) == expected


def test_copies_are_kept_for_as_long_as_the_set_is_the_same(tmp_path, cache, put):
    spec = put(written(tmp_path / "set"))
    assert pictures(spec, cache) == OLD
    kept = {path: path.stat().st_ino for path in cache.folder.glob("*.tar")}
    assert len(kept) == SHARDS
    put(tmp_path / "set")
    assert pictures(spec, cache) == OLD
    assert {path: path.stat().st_ino for path in cache.folder.glob("*.tar")} == kept


def test_a_copy_that_was_cut_short_is_made_again(tmp_path, cache, put):
    spec = put(written(tmp_path / "set"))
    assert pictures(spec, cache) == OLD
    for copy in cache.folder.glob("*.tar"):
        copy.write_bytes(copy.read_bytes()[:700])
    assert pictures(spec, cache) == OLD


def test_a_shard_of_another_set_than_the_manifest_read_at_the_start_is_named(tmp_path, cache, put):
    spec = put(written(tmp_path / "old"))
    reader = ShardReader(open_set(spec, cache), cache)
    assert reader.read(0, 0).members["jpg"] == OLD[0]
    put(written(tmp_path / "new", first=100))
    with pytest.raises(UnreadableShard, match=rf"{spec}/shard-000001\.tar has .*its manifest says"):
        reader.read(1, 0)
    assert reader.read(0, 1).members["jpg"] == OLD[1]
    assert not list(cache.folder.glob("*.new"))


class _Server(SimpleHTTPRequestHandler):
    """A web server that sends but the first bytes of a shard, as if they were all, for a while."""

    torn: int
    """Downloads that are to be torn."""
    downloads: list[str]

    def log_message(self, *_):
        pass

    def copyfile(self, source, outputfile):
        outputfile.write(source.read(self.limit))

    def send_header(self, keyword, value):
        if keyword == "Content-Length" and self.path.endswith(".tar") and self.command == "GET":
            self.downloads.append(self.path)
            if len(self.downloads) <= self.torn:
                self.limit = 1000
                value = "1000"
        super().send_header(keyword, value)

    limit = -1


@pytest.fixture
def serve():
    """Serves a folder; returns its URL and the downloads of shards so far."""
    running = []

    def begin(folder: Path, torn: int = 0) -> tuple[str, list[str]]:
        downloads: list[str] = []
        handler = type("Handler", (_Server,), {"torn": torn, "downloads": downloads})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        thread = Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", downloads

    yield begin
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("manifest", [True, False])
def test_a_download_that_was_cut_short_is_tried_again(tmp_path, cache, serve, manifest):
    folder = written(tmp_path / "set")
    if not manifest:
        (folder / "manifest.json").unlink()
    url, downloads = serve(folder, torn=2)
    assert pictures(url if manifest else url + BRACES, cache) == OLD
    assert len(downloads) == SHARDS + 2


def test_a_download_that_is_cut_short_each_time_is_named(tmp_path, cache, serve):
    folder = written(tmp_path / "set")
    url, downloads = serve(folder, torn=100)
    size = (folder / "shard-000000.tar").stat().st_size
    told = rf"{url}/shard-000000\.tar has 1000 bytes, its manifest says {size} bytes"
    with pytest.raises(UnreadableShard, match=told):
        pictures(url, cache)
    assert len(downloads) == 1 + cache.retries
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"its storage says"):
        pictures(url + BRACES, cache)
    assert not list(cache.folder.glob("*.tar"))


def read_again(url: str, cache: ShardCache, expected: list[bytes]) -> None:
    assert pictures(url, cache) == expected


def read_by_two_processes(url: str, cache: ShardCache, expected: list[bytes]) -> None:
    jobs = [Job(read_again, url, cache, expected) for _ in range(2)]
    said = [job.ended() for job in jobs]
    assert [job.statuses for job in jobs] == [[0], [0]], said


def test_two_processes_share_a_copy_and_neither_takes_that_of_an_older_set(tmp_path, cache, serve):
    folder = written(tmp_path / "old")
    url, downloads = serve(folder, torn=1)
    read_by_two_processes(url, cache, OLD)
    assert len(downloads) == SHARDS + 1
    folder.rename(tmp_path / "away")
    written(folder, first=100)
    read_by_two_processes(url, cache, NEW)
    assert len(downloads) == 2 * SHARDS + 1


def test_training_goes_on_from_a_set_that_was_built_again_with_its_new_pictures(
    tmp_path, cache, put
):
    spec = put(written(tmp_path / "old"))
    before = next(iter(stream(spec, cache=cache, shuffle=0)))
    put(written(tmp_path / "new", first=100))
    after = next(iter(stream(spec, cache=cache, shuffle=0)))
    assert before.keys == after.keys
    local = next(iter(stream(str(tmp_path / "new"), shuffle=0)))
    assert (after.images == local.images).all()
    assert not (after.images == before.images).all()
    assert taken(stream(spec, cache=cache), 4) == taken(stream(str(tmp_path / "new")), 4)
