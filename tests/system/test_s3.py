"""The whole road over S3: photos, shards, embeddings and training data in a bucket."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipelines import cli
from shards.build import Limits, build
from shards.folder import read_picture
from shards.sample import Source, encoded
from tests.support.s3 import s3
from tests.support.training_runs import arguments, rows, started, trained, wait_for
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.storage import exists, is_file, list_files, read_bytes, remove, write_atomically

PHOTOS, EACH, STEPS = 24, 6, 12


@pytest.fixture(scope="module")
def bucket():
    with s3() as url:
        yield url


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    return encoded(pixels, "jpeg")


def zeroseg(*command: str | Path) -> None:
    cli.main([str(part) for part in command])


class Data(NamedTuple):
    """Folders with photos, the shards `train` made of them, and their `embeddings`."""

    local: str
    remote: str


@pytest.fixture(scope="module")
def data(bucket, tmp_path_factory) -> Data:
    """The same in a local folder and in the bucket, each made where it is."""
    made = Data(str(tmp_path_factory.mktemp("local")), f"{bucket}/data")
    cache = tmp_path_factory.mktemp("cache")
    for root in made:
        for number in range(PHOTOS):
            write_atomically(f"{root}/photos/{number % 3}/p{number:02d}.jpg", photo(number))
        limits = ("--images-per-shard", str(EACH), "--workers", "2")
        zeroseg("shards", "build", "folder", f"{root}/photos", f"{root}/train", *limits)
        teacher = ("--teacher", "zeroseg-scenes", "--side", "112", "--workers", "1")
        where = ("--shards", f"{root}/train", "--output", f"{root}/embeddings")
        zeroseg("embed", *where, *teacher, "--cache.folder", cache)
    return made


def test_a_bucket_is_listed_read_written_and_cleared_like_a_folder(bucket):
    root = f"{bucket}/files"
    assert not exists(root)
    assert list_files(root) == []
    write_atomically(f"{root}/a/b.txt", b"one")
    write_atomically(f"{root}/a/b.txt", b"three")
    assert read_bytes(f"{root}/a/b.txt") == b"three"
    assert list_files(root) == [("a/b.txt", 5)]
    assert is_file(f"{root}/a/b.txt")
    assert exists(f"{root}/a")
    assert not is_file(f"{root}/a")
    remove(root)
    assert not exists(root)
    with pytest.raises(InputError, match=rf"{root}/a/b.txt cannot be read .*check the name"):
        read_bytes(f"{root}/a/b.txt")
    with pytest.raises(InputError, match="s3://no-such-bucket cannot be listed"):
        list_files("s3://no-such-bucket")


def test_shards_and_embeddings_are_those_of_a_local_folder(data):
    for name in ("train", "embeddings"):
        local, remote = (read_manifest(f"{root}/{name}") for root in data)
        assert remote.samples == PHOTOS
        assert len(remote.shards) == PHOTOS // EACH
        assert remote.shards == local.shards
        files = [{file for file, _ in list_files(f"{root}/{name}")} for root in data]
        assert files[0] == files[1]


def test_what_is_finished_is_not_built_again(data, capsys):
    before = read_bytes(f"{data.remote}/train/manifest.json")
    limits = ("--images-per-shard", str(EACH), "--workers", "0")
    where = (f"{data.remote}/photos", f"{data.remote}/train")
    zeroseg("shards", "build", "folder", *where, *limits)
    assert f"{PHOTOS} images in 4 shards" in capsys.readouterr().out
    assert read_bytes(f"{data.remote}/train/manifest.json") == before


def test_a_build_that_was_stopped_goes_on_with_what_is_missing(data):
    photos, output = f"{data.remote}/photos", f"{data.remote}/stopped"
    source = Source(units=list_files(photos, {".jpg"}), read=partial(read_picture, photos))
    limits = Limits(images_per_shard=EACH, workers=0)
    first, last = (f"{photos}/{source.units[n][0]}" for n in (0, -1))
    gone = {url: read_bytes(url) for url in (first, last)}
    remove(last)
    with pytest.raises(InputError, match=rf"{last} cannot be read"):
        build(source, output, limits)
    assert read_manifest(output) is None
    write_atomically(last, gone[last])
    remove(first)  # is not asked for again
    assert build(source, output, limits).shards == read_manifest(f"{data.remote}/train").shards
    write_atomically(first, gone[first])


def test_a_set_is_checked_and_damage_in_it_is_told(data, capsys):
    zeroseg("shards", "check", f"{data.remote}/train", "--workers", "2")
    assert f"{PHOTOS} images" in capsys.readouterr().out
    for name, _ in list_files(f"{data.remote}/train"):
        write_atomically(f"{data.remote}/damaged/{name}", read_bytes(f"{data.remote}/train/{name}"))
    shard = f"{data.remote}/damaged/shard-000001.tar"
    write_atomically(shard, read_bytes(shard)[:-4000])
    with pytest.raises(SystemExit) as stop:
        zeroseg("shards", "check", f"{data.remote}/damaged", "--workers", "0")
    assert stop.value.code == 1
    assert "shard-000001.tar" in capsys.readouterr().out


def run(root: str, output: Path, *more: str | Path) -> list[str]:
    return arguments(root, output, STEPS, "--save-every", "2", *map(str, more))


def test_training_from_a_bucket_is_training_from_a_folder_also_after_a_kill(data, tmp_path):
    cache = ("--data.cache.folder", tmp_path / "cache")
    trained(run(data.local, tmp_path / "local"))
    trained(run(data.remote, tmp_path / "remote", *cache), ranks=2)
    killed = run(data.remote, tmp_path / "killed", *cache)
    job = started(killed)
    wait_for(job, tmp_path / "killed", 5)
    job.kill()
    assert len(rows(tmp_path / "killed")) < STEPS
    trained(killed)
    assert len(rows(tmp_path / "local")) == STEPS
    assert rows(tmp_path / "killed") == rows(tmp_path / "local")
    assert [row["step"] for row in rows(tmp_path / "remote")] == list(range(1, STEPS + 1))
    assert len(list((tmp_path / "cache").glob("*.tar"))) == 2 * PHOTOS // EACH


def test_a_set_without_manifest_that_is_written_again_is_another_one(bucket, data, tmp_path):
    """Its ETag says so."""
    cache = ShardCache(folder=tmp_path, retries=0)
    url = f"{bucket}/bare/shard-000000.tar"
    seen = []
    for number in (0, 1, 1):
        tar = read_bytes(f"{data.local}/train/shard-{number:06d}.tar")
        write_atomically(url, tar)
        shards = open_set(url, cache)
        seen.append(cache.read(url, Path.read_bytes, shards.versions[0]) == tar)
    assert seen == [True] * 3
    assert len(list(tmp_path.glob("*.tar"))) == 2
