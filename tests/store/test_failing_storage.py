"""A storage that fails says nothing of what it holds: the command ends and names it."""

import io
import json
from pathlib import Path
from uuid import uuid4

import pyarrow
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from pipelines.embed import EmbedConfig, embed
from shards import table
from shards.check import check
from shards.img2dataset import Img2Dataset
from shards.table import Parquet
from tests.support.corpora import ONE, packed, put, samples
from tests.support.streams import write
from zeroseg import CLIPConfig
from zeroseg.data.embeddings import read_teacher_record
from zeroseg.data.views import ViewSet
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set


class HiccupError(Exception):
    """Of a class that only the storage's own library knows."""


@pytest.fixture
def fail(monkeypatch):
    """Makes a storage fail at files of one name."""

    def begin(name: str) -> None:
        read = MemoryFileSystem.cat_file

        def fail_at_times(self, path, *args, **kwargs):
            if path.endswith(name):
                raise HiccupError("the network is down")
            return read(self, path, *args, **kwargs)

        monkeypatch.setattr(MemoryFileSystem, "cat_file", fail_at_times)

    return begin


@pytest.fixture
def root() -> str:
    return f"memory://{uuid4()}"


@pytest.fixture(params=[HiccupError, OSError, ConnectionResetError])
def cut(request, monkeypatch):
    """Makes a storage fail in the middle of files, behind so many bytes."""

    def begin(behind: int) -> None:
        read = MemoryFile.read

        def fail_behind(self, size=-1):
            if self.tell() + size > behind:
                raise request.param("the network is down")
            return read(self, size)

        monkeypatch.setattr(MemoryFile, "read", fail_behind)

    return begin


def refusal(action) -> str:
    with pytest.raises(InputError) as refused:
        action()
    return str(refused.value)


def tells_the_network(text: str, url: str) -> bool:
    named = f"{url} cannot be read (HiccupError: the network is down)" in text
    return named and "network if it is remote" in text and "again" not in text


def test_a_manifest_that_cannot_be_fetched_is_no_damaged_one(root, tmp_path, fail):
    write(tmp_path / "set", 3)
    for path in (tmp_path / "set").iterdir():
        put(root, {path.name: path.read_bytes()})
    assert read_manifest(root).samples == 3
    fail("manifest.json")
    for action in (
        lambda: read_manifest(root),
        lambda: open_set(root, ShardCache(folder=tmp_path / "cache")),
        lambda: check(root, workers=0),
    ):
        assert tells_the_network(refusal(action), f"{root}/manifest.json")


def test_a_record_of_embeddings_that_cannot_be_fetched_is_no_damaged_one(root, fail):
    put(root, {"embeddings.json": b"{}"})
    assert "run `zeroseg embed` again" in refusal(lambda: read_teacher_record(root))
    fail("embeddings.json")
    assert tells_the_network(refusal(lambda: read_teacher_record(root)), f"{root}/embeddings.json")


def test_stats_of_img2dataset_that_cannot_be_fetched_are_no_bad_sample(root, fail):
    stats = json.dumps({"successes": 1}).encode()
    put(root, {"00000.tar": packed({"000000000.jpg": ONE}), "00000_stats.json": stats})
    source = Img2Dataset(root).source()
    fail("00000_stats.json")
    assert tells_the_network(refusal(lambda: samples(source)), f"{root}/00000_stats.json")


def test_a_tar_that_does_not_come_whole_is_no_damaged_one(root, cut):
    """And what was read before it is not taken for all that there is."""
    stats = json.dumps({"successes": 2}).encode()
    tar = packed({"000000000.jpg": ONE, "000000001.jpg": bytes(200_000)})
    put(root, {"00000.tar": tar, "00000_stats.json": stats})
    source = Img2Dataset(root).source()
    cut(behind=100_000)
    text = refusal(lambda: samples(source))
    assert f"{root}/00000.tar cannot be read" in text
    assert "the network is down" in text


def test_a_row_group_that_does_not_come_is_no_damaged_one(root, cut, monkeypatch):
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"image": [ONE, ONE]}), buffer, row_group_size=1)
    put(root, {"x.parquet": buffer.getvalue()})
    source = Parquet(root).source()
    read_rows = table._values

    def fail_at_rows(*args):
        cut(behind=0)
        yield from read_rows(*args)

    monkeypatch.setattr(table, "_values", fail_at_rows)
    assert f"{root}/x.parquet cannot be read" in refusal(lambda: samples(source))


def test_a_shard_that_does_not_come_is_not_left_out_of_embeddings(tmp_path, root, monkeypatch):
    for path in Path(write(tmp_path / "set", 8)).iterdir():
        put(root, {path.name: path.read_bytes()})
    config = EmbedConfig(
        shards=root,
        output=str(tmp_path / "embeddings"),
        teacher=CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32"),
        views=ViewSet(grids=(1,)),
        side=16,
        workers=0,
        cache=ShardCache(folder=tmp_path / "cache", retries=1, pause=0.01),
    )
    fetch = MemoryFileSystem.get_file

    def fail_at_the_second(self, path, *args, **kwargs):
        if path.endswith("shard-000001.tar"):
            raise HiccupError("the network is down")
        return fetch(self, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", fail_at_the_second)
        assert tells_the_network(refusal(lambda: embed(config)), f"{root}/shard-000001.tar")
    manifest = embed(config)
    assert (manifest.samples, manifest.left_out) == (8, 0)
