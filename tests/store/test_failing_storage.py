"""A storage that fails says nothing of what it holds: the command ends and names it."""

import json
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from shards.check import check
from shards.img2dataset import img2dataset
from tests.support.corpora import ONE, packed, put, samples
from tests.support.streams import write
from zeroseg.data.embeddings import read_record
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
    assert "run `zeroseg embed` again" in refusal(lambda: read_record(root))
    fail("embeddings.json")
    assert tells_the_network(refusal(lambda: read_record(root)), f"{root}/embeddings.json")


def test_stats_of_img2dataset_that_cannot_be_fetched_are_no_bad_sample(root, fail):
    stats = json.dumps({"successes": 1}).encode()
    put(root, {"00000.tar": packed({"000000000.jpg": ONE}), "00000_stats.json": stats})
    source = img2dataset(root)
    fail("00000_stats.json")
    assert tells_the_network(refusal(lambda: samples(source)), f"{root}/00000_stats.json")
