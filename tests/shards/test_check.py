import os
import shutil
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from shards.check import check, named_shards
from shards.contents import contents, open_shard
from shards.verify_sample import Cause
from tests.support.damage import (
    CLASSES,
    IMPATIENT,
    JPEG,
    SAMPLES,
    Run,
    packed,
    put,
    shard,
    span,
    undamaged,
    wound,
)
from zeroseg.errors import InputError
from zeroseg.store.storage import write_atomically
from zeroseg.store.tar_index import index_text, scan


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    return undamaged(tmp_path_factory.mktemp("built") / "set")


@pytest.fixture
def damaged(built, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(built, tmp_path / "set")


@pytest.mark.parametrize("workers", [0, 2])
def test_an_undamaged_set_is_counted_and_nothing_is_wrong(built, capsys, workers):
    run = Run(capsys, built, workers=workers)
    size = sum(path.stat().st_size for path in built.glob("*.tar"))
    assert run.status == 0
    assert run.told == {}
    assert run.text == f"{SAMPLES} images, {size} bytes in 3 shards checked: nothing wrong\n"


def test_what_is_found_in_a_whole_tar_is_what_scan_finds(built):
    for path in built.glob("*.tar"):
        with open_shard(str(path)) as file:
            found = contents(file)
        assert found.index == scan(path)
        assert found.damage == []


@pytest.mark.parametrize("spec", ["{0}", "{0}/", "{0}/shard-*.tar", "{0}/shard-00000{{0..2}}.tar"])
def test_shards_are_found_by_every_kind_of_spec(built, spec):
    named, findings = named_shards(spec.format(built))
    assert [Path(s.url).name for s in named] == [f"shard-00000{n}.tar" for n in range(3)]
    assert all(s.record and s.classes == CLASSES for s in named)
    assert findings == []


def test_a_remote_set_is_fetched_and_checked(built, capsys):
    remote = f"memory://{uuid4()}"
    for path in built.iterdir():
        write_atomically(f"{remote}/{path.name}", path)
    assert Run(capsys, remote).status == 0
    name = "shard-000001.tar"
    write_atomically(f"{remote}/{name}", shard(built, 1).read_bytes()[:-1] + b"x")
    assert Run(capsys, remote).tells(Cause.CHECKSUM, f"{remote}/{name}")


def test_samples_of_a_command_are_checked(built, capsys):
    run = Run(capsys, f"pipe:cat {shard(built, 0)}")
    assert run.status == 0
    assert run.text.startswith("1 of 1 shards are in no manifest")
    assert "3 images" in run.text


def test_no_shard_at_all_is_an_error_naming_the_spec(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        check(str(tmp_path), workers=0)


def test_shards_without_manifest_are_checked_and_the_missing_checksums_told(damaged, capsys):
    (damaged / "manifest.json").unlink()
    run = Run(capsys, damaged)
    assert run.status == 0
    assert "3 of 3 shards are in no manifest" in run.text


def test_a_flipped_bit_that_still_decodes_is_a_wrong_checksum(damaged, capsys):
    put(shard(damaged, 1), shard(damaged, 1).stat().st_size - 1, b"\1")
    run = Run(capsys, damaged)
    assert run.tells(Cause.CHECKSUM, shard(damaged, 1))
    assert list(run.told) == [Cause.CHECKSUM]


def test_a_missing_shard_is_unreadable(damaged, capsys, monkeypatch):
    monkeypatch.setattr("shards.contents.ShardCache", IMPATIENT)
    shard(damaged, 1).unlink()
    assert Run(capsys, damaged).tells(Cause.UNREADABLE, shard(damaged, 1))
    assert Run(capsys, f"{damaged}/*.tar").tells(Cause.UNREADABLE, shard(damaged, 1))


def test_a_truncated_tar_names_the_samples_that_are_gone(damaged, capsys):
    path = shard(damaged, 0)
    offset, size = span(damaged, 0, "deep/k1", "jpg")
    path.write_bytes(path.read_bytes()[: offset + size // 2])
    run = Run(capsys, damaged)
    assert run.tells(Cause.MANIFEST, path)
    assert run.tells(Cause.DAMAGED, path)
    assert run.tells(Cause.DAMAGED, path, "deep/k1")
    assert run.tells(Cause.DAMAGED, path, "deep/k2")


@pytest.mark.parametrize("header", [b"\xff" * 512, bytes(512)])
def test_samples_behind_a_damaged_header_are_still_found(damaged, capsys, header):
    path = shard(damaged, 0)
    offset, _ = span(damaged, 0, "deep/k0", "jpg")
    put(path, offset - 512, header)
    run = Run(capsys, damaged)
    assert run.tells(Cause.DAMAGED, path)
    assert run.tells(Cause.NO_IMAGE, path, "deep/k0")
    assert "7 images" in run.text


def test_samples_behind_a_damaged_extended_header_are_still_found(tmp_path, capsys):
    members = [(f"\u00e9{n}{'long' * 40}.jpg", JPEG) for n in range(3)]
    folder = packed(tmp_path / "set", members)
    data = shard(folder, 0).read_bytes()
    extended = data.index(b" path=")
    for offset in (extended - 512, extended, extended + 512):
        shard(folder, 0).write_bytes(data[:offset] + b"\xff" * 4 + data[offset + 4 :])
        run = Run(capsys, folder)
        assert run.tells(Cause.CHECKSUM, shard(folder, 0))
        assert int(run.text.splitlines()[-1].split()[0]) >= 2


@pytest.mark.parametrize("content", [b"", b"no tar" * 1000])
def test_a_file_that_is_no_tar_is_a_damaged_one(damaged, capsys, content):
    shard(damaged, 2).write_bytes(content)
    run = Run(capsys, damaged)
    assert run.tells(Cause.DAMAGED, shard(damaged, 2))
    assert run.tells(Cause.NO_IMAGE, shard(damaged, 2))


def test_a_shard_that_the_manifest_does_not_know_is_told(damaged, capsys):
    shutil.copy(shard(damaged, 0), shard(damaged, 9))
    assert Run(capsys, damaged).tells(Cause.MANIFEST, shard(damaged, 9))
    assert Run(capsys, shard(damaged, 9)).tells(Cause.MANIFEST, shard(damaged, 9))


def test_a_manifest_that_counts_otherwise_or_cannot_be_read_is_told(damaged, capsys):
    path = damaged / "manifest.json"
    path.write_text(path.read_text().replace('"samples": 3', '"samples": 4', 1))
    assert Run(capsys, damaged).tells(Cause.MANIFEST, shard(damaged, 0))
    path.write_text("{")
    run = Run(capsys, damaged)
    assert run.tells(Cause.MANIFEST, path)
    assert "7 images" in run.text


@pytest.mark.parametrize("change", [("jpg 512", "jpg 513"), ("v1.2 3", "v1.2 4"), ("k1.", "x.")])
def test_an_index_that_disagrees_with_its_tar_is_told(damaged, capsys, change):
    path = shard(damaged, 1).with_suffix(".idx")
    shutil.copy(shard(damaged, 0).with_suffix(".idx"), path)
    assert Run(capsys, damaged).tells(Cause.INDEX, shard(damaged, 1))
    path = shard(damaged, 0).with_suffix(".idx")
    path.write_text(path.read_text().replace(*change))
    assert Run(capsys, damaged).tells(Cause.INDEX, shard(damaged, 0))


def test_an_index_file_is_no_matter_where_there_is_none(damaged, capsys):
    for path in damaged.glob("*.idx"):
        path.unlink()
    assert Run(capsys, damaged).status == 0
    path = shard(damaged, 0)
    path.with_suffix(".idx").write_text(index_text(scan(path)))
    assert Run(capsys, damaged).status == 0


def test_keys_are_unique_over_all_parts_of_a_set(tmp_path, capsys):
    one = packed(tmp_path / "one", [("a.jpg", JPEG), ("b.jpg", JPEG)], [("c.jpg", JPEG)])
    two = packed(tmp_path / "two", [("c.jpg", JPEG), ("a.jpg", JPEG)], [("d.jpg", JPEG)])
    run = Run(capsys, f"{one}::{two}", workers=2)
    assert run.told == {
        Cause.DUPLICATE: [
            f"{shard(two, 0)} c: also in {shard(one, 1)}",
            f"{shard(two, 0)} a: also in {shard(one, 0)}",
        ]
    }


def test_many_findings_of_a_cause_are_counted_and_the_first_named(tmp_path, capsys):
    folder = packed(tmp_path / "set", [(f"k{n}.jpg", b"torn") for n in range(12)])
    run = Run(capsys, folder)
    assert "      12  undecodable image" in run.text
    assert len(run.told[Cause.IMAGE]) == 6
    assert run.told[Cause.IMAGE][-1] == "and 7 more"


def test_several_workers_find_what_is_wrong_in_several_shards(damaged, capsys):
    wound(damaged)
    run = Run(capsys, damaged, workers=3)
    assert run.tells(Cause.IMAGE, shard(damaged, 0), "deep/k1")
    assert run.tells(Cause.DAMAGED, shard(damaged, 1), "deep/k5")
    assert run.tells(Cause.LABELS, shard(damaged, 2), "deep/k6")
    assert run.text == Run(capsys, damaged, workers=0).text


def _die(file, sample, classes) -> None:
    if sample.key == "deep/k4":
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_an_error_naming_the_shard_and_how_far_it_came(built, monkeypatch):
    monkeypatch.setattr("shards.verify_shard.verify_sample", _die)
    with pytest.raises(InputError, match=rf"killed, .*{shard(built, 1)} after 1 images"):
        check(str(built), workers=1)


def test_fewer_workers_than_none_are_an_error(built):
    with pytest.raises(InputError, match="-1"):
        check(str(built), workers=-1)
