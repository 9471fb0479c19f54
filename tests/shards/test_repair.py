import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shards.check import check
from shards.verify_sample import Cause
from tests.support.damage import (
    CLASSES,
    IMPATIENT,
    JPEG,
    Run,
    left_out,
    packed,
    picture,
    put,
    shard,
    stored,
    undamaged,
    wound,
)
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.tar_index import scan


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    return undamaged(tmp_path_factory.mktemp("built") / "set")


@pytest.fixture
def damaged(built, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(built, tmp_path / "set")


def test_a_repaired_set_has_every_right_sample_as_it_was_and_no_other(built, damaged, capsys):
    wound(damaged)
    mended = damaged.with_name("mended")
    assert Run(capsys, damaged, repair=str(mended), workers=2).status == 1
    assert Run(capsys, mended).status == 0
    lost = {"deep/k1", "deep/k5", "deep/k6"}
    assert stored(mended) == {k: m for k, m in stored(built).items() if k not in lost}
    assert read_manifest(str(mended)).classes == CLASSES
    told = "\n".join(left_out(mended))
    assert {key for key in stored(built) if key in told} == lost


def test_a_repair_that_is_done_is_not_done_again(damaged, capsys):
    wound(damaged)
    mended = damaged.with_name("mended")
    first = Run(capsys, damaged, repair=str(mended))
    times = {path: path.stat().st_mtime_ns for path in mended.iterdir()}
    assert Run(capsys, damaged, repair=str(mended)).text == first.text
    assert {path: path.stat().st_mtime_ns for path in mended.iterdir()} == times


def test_repair_goes_on_without_a_missing_shard_and_names_it(damaged, capsys, monkeypatch):
    monkeypatch.setattr("shards.contents.ShardCache", IMPATIENT)
    shard(damaged, 1).unlink()
    mended = damaged.with_name("mended")
    Run(capsys, damaged, repair=str(mended))
    assert Run(capsys, mended).status == 0
    assert len(stored(mended)) == 4
    assert [str(shard(damaged, 1)) in line for line in left_out(mended)] == [True]


def test_repair_keeps_the_first_of_those_with_one_key(tmp_path, capsys):
    first, other = picture(1), picture(2)
    folder = packed(tmp_path / "set", [("a.jpg", first)], [("a.jpg", other), ("b.jpg", other)])
    Run(capsys, folder, repair=str(tmp_path / "mended"))
    mended = stored(tmp_path / "mended")
    assert {key: members["jpg"] for key, members in mended.items()} == {"a": first, "b": other}
    assert len(left_out(tmp_path / "mended")) == 1


def test_a_right_set_is_copied_too(built, tmp_path, capsys):
    assert Run(capsys, built, repair=str(tmp_path / "copy")).status == 0
    assert stored(tmp_path / "copy") == stored(built)
    assert left_out(tmp_path / "copy") == []


@pytest.mark.parametrize("destination", ["{0}", "{0}/", "{0}/../set", "file://{0}"])
def test_repair_does_not_write_where_it_reads(built, destination):
    with pytest.raises(InputError, match="choose another folder"):
        check(f"{built}/*.tar", destination.format(built), workers=0)


def test_sets_of_different_classes_are_not_repaired_into_one(built, tmp_path):
    other = packed(tmp_path / "other", [("x.jpg", JPEG)])
    with pytest.raises(InputError, match="different classes"):
        check(f"{built}::{other}", str(tmp_path / "mended"), workers=0)


def sample_at(folder: Path, number: int, place: int) -> str | None:
    """Key of the sample whose members, with their headers, are at a place of a shard."""
    index = scan(shard(folder, number))
    for key, members in zip(index.keys, index.members, strict=True):
        if any(s.offset - 512 <= place < s.offset + s.size for s in members.values()):
            return key
    return None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_is_found_and_costs_at_most_its_own_sample(
    built, tmp_path_factory, capsys, data
):
    folder = shutil.copytree(built, tmp_path_factory.mktemp("flip") / "set")
    number = data.draw(st.integers(0, 2))
    path = shard(folder, number)
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    hit = sample_at(folder, number, place)
    put(path, place, bytes([content[place] ^ flip]))
    mended = folder.with_name("mended")
    run = Run(capsys, folder, repair=str(mended))
    assert run.tells(Cause.CHECKSUM, path)
    assert Run(capsys, mended).status == 0
    before, after = stored(built), stored(mended)
    assert before.keys() - after.keys() <= {hit}
    assert all(after[key]["jpg"] == before[key]["jpg"] for key in after)
    assert all(after[key] == before[key] for key in after.keys() - {hit})
