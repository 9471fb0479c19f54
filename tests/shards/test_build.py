import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import tarfile
import time
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest

from shards.build import Limits, build
from shards.index import index
from shards.sample import BadSample, Sample, Source, encoded
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.set_writer import BUILDING, LEFT_OUT
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.tar_index import index_text, read_index, scan

LABELS = encoded(np.full((4, 6), 2, np.uint8), "png")


def photo(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return encoded(pixels, "jpeg")


def read(number: int, *, bad: frozenset[int] = frozenset(), pause: float = 0.0):
    time.sleep(pause)
    if number in bad:
        yield BadSample(f"photo {number}: torn")
    else:
        labels = LABELS if number % 2 else None
        yield Sample(f"k{number:03d}", photo(number), labels, f"album/{number}.jpg")


def source(count: int = 10, **options) -> Source:
    return Source(
        units=range(count),
        read=partial(read, **options),
        classes=("a", "b", "c"),
        built_from={"kind": "test", "count": str(count)},
    )


def small(workers: int = 0, images: int = 4, megabytes: float = 1.0) -> Limits:
    return Limits(images_per_shard=images, megabytes_per_shard=megabytes, workers=workers)


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}


def test_a_set_holds_every_sample_untouched_with_its_facts(tmp_path):
    manifest = build(source(), str(tmp_path), small())
    assert [s.samples for s in manifest.shards] == [4, 4, 2]
    assert sorted(content(tmp_path)) == sorted(
        ["manifest.json"] + [f"shard-00000{i}.{e}" for i in range(3) for e in ("tar", "idx")]
    )
    found = members(tmp_path / "shard-000002.tar")
    assert list(found) == ["k008.jpg", "k008.json", "k009.jpg", "k009.json", "k009.png"]
    assert found["k009.jpg"] == photo(9)
    assert found["k009.png"] == LABELS
    assert json.loads(found["k009.json"]) == {
        "width": 6,
        "height": 4,
        "source": "album/9.jpg",
        "sha256": hashlib.sha256(photo(9)).hexdigest(),
    }
    assert read_manifest(str(tmp_path)) == manifest
    for record in manifest.shards:
        data = (tmp_path / record.name).read_bytes()
        assert (record.bytes, record.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert read_index(tmp_path / record.name) == scan(tmp_path / record.name)


def test_processes_change_nothing_but_the_speed(tmp_path):
    for workers in (0, 1, 3):
        build(source(), str(tmp_path / str(workers)), small(workers))
    assert content(tmp_path / "0") == content(tmp_path / "1") == content(tmp_path / "3")


def test_a_shard_that_is_too_large_goes_on_in_another(tmp_path):
    one = len(photo(0)) / 1e6
    manifest = build(source(), str(tmp_path), small(megabytes=3.5 * one))
    assert all(1 <= s.samples <= 3 for s in manifest.shards)
    assert manifest.samples == 10
    assert "shard-000000-001.tar" in {s.name for s in manifest.shards}
    assert open_set(str(tmp_path), ShardCache()).samples == 10


def unlabelled(**changes) -> Source:
    return Source(units=range(40), read=_plain, built_from={"kind": "test"}, **changes)


def _plain(number: int):
    yield Sample(f"k{number:03d}", photo(number))


def keys_of(folder: Path) -> list[str]:
    return [key for path in sorted(folder.glob("*.tar")) for key in scan(path).keys]


def test_units_are_shuffled_by_a_seed_that_the_set_tells_of(tmp_path):
    sorted_keys = [f"k{n:03d}" for n in range(40)]
    limits = {seed: Limits(images_per_shard=8, workers=0, seed=seed) for seed in (0, 1)}
    for seed in limits:
        manifest = build(unlabelled(), str(tmp_path / str(seed)), limits[seed])
        assert manifest.built_from["order"] == f"shuffled by seed {seed}"
    build(unlabelled(), str(tmp_path / "again"), limits[0])
    assert content(tmp_path / "again") == content(tmp_path / "0")
    found = [keys_of(tmp_path / str(seed)) for seed in (0, 1)]
    assert found[0] != found[1]
    assert sorted(found[0]) == sorted(found[1]) == sorted_keys
    # Each of the five shards holds photos of all over the album.
    assert all(
        len({key[:3] for key in found[0][i : i + 8]}) >= 3
        and found[0][i : i + 8] != sorted_keys[i : i + 8]
        for i in range(0, 40, 8)
    )
    with pytest.raises(InputError, match=r"with other limits, order or seed"):
        build(unlabelled(), str(tmp_path / "0"), limits[1])


def test_what_is_labelled_or_drawn_at_random_or_asked_for_by_path_keeps_its_order(tmp_path):
    plain = Limits(images_per_shard=8, workers=0)
    by_path = dataclasses.replace(plain, order="path")
    for name, source, limits in (
        ("path", unlabelled(), by_path),
        ("drawn", unlabelled(in_random_order=True), plain),
        ("labelled", unlabelled(classes=("a",)), plain),
    ):
        assert "order" not in build(source, str(tmp_path / name), limits).built_from
        assert keys_of(tmp_path / name) == [f"k{n:03d}" for n in range(40)]
    build(
        unlabelled(classes=("a",)),
        str(tmp_path / "s"),
        dataclasses.replace(plain, order="shuffled"),
    )
    assert keys_of(tmp_path / "s") != keys_of(tmp_path / "path")


def _begin(folder: str) -> None:
    build(source(20, pause=0.02), folder, small())


def test_a_killed_build_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    build(source(20), str(whole), small())
    process = multiprocessing.get_context("fork").Process(target=_begin, args=(str(broken),))
    process.start()
    while not (broken / BUILDING / "job-000001.json").exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (broken / "manifest.json").exists()
    done = (broken / "shard-000000.tar").stat().st_mtime_ns
    build(source(20), str(broken), small())
    assert content(broken) == content(whole)
    assert (broken / "shard-000000.tar").stat().st_mtime_ns == done


def test_what_cannot_be_used_is_left_out_counted_and_named(tmp_path):
    manifest = build(source(bad=frozenset({0, 7})), str(tmp_path), small())
    assert (manifest.samples, manifest.left_out) == (8, 2)
    lines = (tmp_path / LEFT_OUT).read_text().splitlines()
    assert [json.loads(line)["left_out"] for line in lines] == ["photo 0: torn", "photo 7: torn"]


def test_a_finished_set_is_not_built_again_and_another_is_refused(tmp_path):
    first = build(source(), str(tmp_path), small())
    assert build(source(), str(tmp_path), small()) == first
    with pytest.raises(InputError, match=r"built from something else"):
        build(source(11), str(tmp_path), small())
    with pytest.raises(InputError, match=r"other limits"):
        build(source(), str(tmp_path), small(images=5))


def _same_key(number: int):
    yield Sample("twin" if number in {1, 8} else f"k{number}", photo(number))


def test_one_key_twice_in_a_set_is_an_error_naming_both_shards(tmp_path):
    twins = Source(units=range(10), read=_same_key)
    with pytest.raises(InputError, match=r"'twin', in shard-000000.tar and shard-000002.tar"):
        build(twins, str(tmp_path), small())
    assert read_manifest(str(tmp_path)) is None


def test_nothing_usable_is_an_error_that_says_why(tmp_path):
    with pytest.raises(InputError, match=r"photo 0: torn"):
        build(source(bad=frozenset(range(10))), str(tmp_path), small())


def test_a_set_may_be_written_to_a_url(tmp_path):
    build(source(), "memory://album/set", small())
    build(source(), str(tmp_path / "local"), small())
    memory = fsspec.filesystem("memory")
    stored = {p.rsplit("/", 1)[1]: memory.cat_file(p) for p in memory.find("/album/set")}
    assert stored == content(tmp_path / "local")
    opened = open_set("memory://album/set", ShardCache(folder=tmp_path / "cache"))
    assert opened.samples == 10


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "shard-000001.tar").unlink(), r"shard-000001\.tar does not exist"),
        (lambda f: os.truncate(f / "shard-000001.tar", 5000), r"5000 bytes but its manifest says"),
        (
            lambda f: (f / "manifest.json").write_text("{"),
            r"manifest\.json is not JSON.*build the set again",
        ),
        (
            lambda f: (f / "manifest.json").write_text(
                (f / "manifest.json").read_text().replace('"format": 1', '"format": 9')
            ),
            r"format: 9 is none of 1",
        ),
    ],
)
def test_a_reader_refuses_a_set_that_is_not_what_its_manifest_says(tmp_path, damage, message):
    build(source(), str(tmp_path), small())
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        open_set(str(tmp_path), ShardCache())


def test_a_pattern_refuses_missing_and_stray_shards(tmp_path):
    build(source(), str(tmp_path), small())
    (tmp_path / "shard-000001.tar").rename(tmp_path / "shard-000009.tar")
    with pytest.raises(InputError, match=r"shard-000001\.tar is in its manifest but not there"):
        open_set(f"{tmp_path}/*.tar", ShardCache())
    with pytest.raises(InputError, match=r"shard-000009\.tar is not in the manifest"):
        open_set(f"{tmp_path}/shard-000009.tar", ShardCache())


def test_shards_of_another_program_get_an_index_and_a_manifest(tmp_path):
    build(source(), str(tmp_path), small())
    before = content(tmp_path)
    for path in [*tmp_path.glob("*.idx"), tmp_path / "manifest.json"]:
        path.unlink()
    index(tmp_path)
    after = content(tmp_path)
    assert {k: v for k, v in after.items() if k != "manifest.json"} == {
        k: v for k, v in before.items() if k != "manifest.json"
    }
    assert open_set(str(tmp_path), ShardCache()).counts == (4, 4, 2)


def test_an_index_is_text_that_another_program_can_write(tmp_path):
    build(source(2), str(tmp_path), small())
    first, second, third = (tmp_path / "shard-000000.idx").read_text().splitlines()
    assert first == "v1.2 2"
    assert second.split()[0::4] == ["jpg", "json"]
    extension, offset, size, name = third.split()[8:]
    assert (extension, name) == ("png", "k001.png")
    data = (tmp_path / "shard-000000.tar").read_bytes()
    assert data[int(offset) : int(offset) + int(size)] == LABELS
    assert index_text(scan(tmp_path / "shard-000000.tar")).splitlines()[0] == first


def test_a_tar_cut_between_two_members_is_noticed(tmp_path):
    build(source(2), str(tmp_path), small())
    path = tmp_path / "shard-000000.tar"
    last = scan(path).members[1]["jpg"].offset - tarfile.BLOCKSIZE
    os.truncate(path, last)
    with pytest.raises(InputError, match=r"cut short after 1 samples"):
        scan(path)
