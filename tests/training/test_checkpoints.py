"""Checkpoints as files: whole or not there, whatever happens to them or to the disk."""

import errno
import os
import shutil
import subprocess

import pytest
import torch

from zeroseg import InputError
from zeroseg.training.checkpoints import Checkpoints, Content, damage, read, step_of


def content(step: int) -> Content:
    generator = torch.Generator().manual_seed(step)
    tensors = {f"part.{i}": torch.rand(50, 40, generator=generator) for i in range(3)}
    return Content({"student": tensors, "optimizer": {"a/step": torch.tensor(1.0)}}, {"step": step})


def kept(checkpoints: Checkpoints) -> list[int]:
    return [step_of(path) for path in checkpoints.paths()]


def test_what_is_read_is_what_was_written(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep_last=2)
    checkpoints.write(7, content(7))
    found = checkpoints.newest(print)
    assert found == tmp_path / "c/step-00000007"
    assert read(found).state == {"step": 7}
    for name, tensors in content(7).tensors.items():
        got = read(found).tensors[name]
        assert got.keys() == tensors.keys()
        assert all(torch.equal(got[k], v) for k, v in tensors.items())
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=found, check=False).returncode == 0


def test_the_newest_and_the_wanted_multiples_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_every=20)
    for step in range(5, 60, 5):
        checkpoints.write(step, content(step))
        assert os.readlink(tmp_path / "latest") == f"step-{step:08d}"
        assert damage(tmp_path / "latest") is None
    assert kept(checkpoints) == [20, 40, 50, 55]


@pytest.mark.parametrize(
    "name", ["student.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"]
)
@pytest.mark.parametrize("how", ["truncated", "a bit turned", "missing", "empty"])
def test_damage_to_any_file_is_found_and_the_one_before_is_used(tmp_path, name, how):
    checkpoints = Checkpoints(tmp_path, keep_last=3)
    for step in (1, 2):
        checkpoints.write(step, content(step))
    file = tmp_path / "step-00000002" / name
    data = bytearray(file.read_bytes())
    if how == "missing":
        file.unlink()
    elif how == "a bit turned":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        file.write_bytes(data[: len(data) // 2] if how == "truncated" else b"")
    said = []
    assert checkpoints.newest(said.append) == tmp_path / "step-00000001"
    assert len(said) == 1
    assert "step-00000002 is damaged" in said[0]
    assert "set aside as damaged-step-00000002" in said[0]
    assert (tmp_path / "damaged-step-00000002").is_dir()
    assert os.readlink(tmp_path / "latest") == "step-00000001"


@pytest.mark.parametrize("keep_last", [1, 2])
def test_after_a_damaged_one_those_that_follow_are_kept(tmp_path, keep_last):
    checkpoints = Checkpoints(tmp_path, keep_last=keep_last, keep_every=50)
    for step in (50, 100):
        checkpoints.write(step, content(step))
    (tmp_path / "step-00000100/state.json").write_text("{}")
    assert checkpoints.newest(lambda said: None) == tmp_path / "step-00000050"
    for step in (60, 70, 80):
        checkpoints.write(step, content(step))
        assert damage(tmp_path / "latest") is None
    assert kept(checkpoints) == [50, *(60, 70, 80)[-keep_last:]]
    for step in (90, 100):  # the same one again, and damaged again
        checkpoints.write(step, content(step))
    (tmp_path / "step-00000100/state.json").write_text("{}")
    before = 90 if keep_last == 2 else 50
    assert checkpoints.newest(lambda said: None) == tmp_path / f"step-{before:08d}"


def test_a_link_that_a_kill_left_dangling_is_mended(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    for step in (1, 2):
        checkpoints.write(step, content(step))
    shutil.rmtree(tmp_path / "step-00000002")
    assert checkpoints.newest(pytest.fail) == tmp_path / "step-00000001"
    assert damage(tmp_path / "latest") is None


def test_when_every_one_is_damaged_nothing_is_begun_again_unasked(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    assert checkpoints.newest(print) is None
    checkpoints.write(1, content(1))
    (tmp_path / "step-00000001/state.json").write_text("{}")
    for _ in range(2):  # asking again does not help
        with pytest.raises(InputError, match="every checkpoint"):
            checkpoints.newest(print)


def test_what_a_kill_leaves_half_written_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    checkpoints.write(1, content(1))
    shutil.copytree(tmp_path / "step-00000001", tmp_path / "writing")
    assert kept(checkpoints) == [1]
    checkpoints.write(2, content(2))
    assert kept(checkpoints) == [1, 2]
    assert not (tmp_path / "writing").exists()


def test_a_checkpoint_can_be_written_again(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    for seed in (3, 4):
        checkpoints.begin(9, Content(content(seed).tensors, {"step": 9}))
        checkpoints.finish()
    got = read(tmp_path / "latest").tensors["student"]
    assert torch.equal(got["part.0"], content(4).tensors["student"]["part.0"])


def test_a_full_disk_leaves_the_old_one_whole_and_says_so(small_disk):
    checkpoints = Checkpoints(small_disk, keep_last=2)
    for step in (1, 2):
        checkpoints.write(step, content(step))
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(free.f_bavail * free.f_bsize - 16_384))
    checkpoints.begin(3, content(3))
    with pytest.raises(InputError, match=r"step-00000003 cannot be written \(No space left"):
        checkpoints.finish()
    assert checkpoints.newest(pytest.fail) == small_disk / "step-00000002"
    assert not (small_disk / "writing").exists()
    (small_disk / "filler").unlink()
    checkpoints.write(3, content(3))
    assert kept(checkpoints) == [2, 3]


FOREIGN = [
    "step-00000002.bak",
    "step-00000002 copy",
    "step-00000004-before-lr-change",
    "step-3",
    "step-abc",
    "damaged-step-00000001",
    "backup",
]


def test_only_what_the_run_wrote_is_a_checkpoint_and_the_rest_is_left_alone(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    checkpoints.write(2, content(2))
    for name in FOREIGN:
        shutil.copytree(tmp_path / "step-00000002", tmp_path / name)
    (tmp_path / "step-00000007").write_text("notes")
    assert checkpoints.newest(pytest.fail) == tmp_path / "step-00000002"
    for step in (3, 7, 8):
        checkpoints.write(step, content(step))
    assert kept(checkpoints) == [8]
    assert all(damage(tmp_path / name) is None for name in FOREIGN)
    assert (tmp_path / "foreign-step-00000007").read_text() == "notes"


def test_a_copy_under_a_later_name_is_not_gone_on_from(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    checkpoints.write(2, content(2))
    shutil.copytree(tmp_path / "step-00000002", tmp_path / "step-00000009")
    (tmp_path / "step-00000011").mkdir()
    (tmp_path / "damaged-step-00000009").mkdir()
    said = []
    assert checkpoints.newest(said.append) == tmp_path / "step-00000002"
    assert "it is a copy of step-00000002): set aside as damaged-step-00000009-2" in said[1]
    assert damage(tmp_path / "damaged-step-00000009-2") is None


def test_an_empty_folder_is_no_reason_to_drop_a_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    checkpoints.write(2, content(2))
    (tmp_path / "step-00000009").mkdir()
    checkpoints.write(3, content(3))
    assert kept(checkpoints) == [3, 9]


def no_links(errno: int):
    def refuse(*_, **__):
        raise OSError(errno, os.strerror(errno))

    return refuse


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTSUP])
def test_without_symbolic_links_a_file_names_the_latest(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "symlink", no_links(code))
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    for step in (1, 2):
        checkpoints.write(step, content(step))
        assert (tmp_path / "latest").read_text() == f"step-{step:08d}"
    assert read(tmp_path / "latest").state == {"step": 2}
    assert damage(tmp_path / "latest") is None
    monkeypatch.undo()
    checkpoints.write(3, content(3))
    assert os.readlink(tmp_path / "latest") == "step-00000003"


@pytest.mark.parametrize("kind", ["copy", "other", "elsewhere", "missing", "text"])
def test_whatever_latest_is_the_newest_is_found(tmp_path, kind):
    checkpoints, latest = Checkpoints(tmp_path / "c", keep_last=2), tmp_path / "c/latest"
    checkpoints.write(2, content(2))
    latest.unlink()
    if kind == "copy":
        shutil.copytree(tmp_path / "c/step-00000002", latest)
    elif kind == "other":
        latest.mkdir()
        (latest / "mine").write_text("kept")
    elif kind == "elsewhere":
        (tmp_path / "far").mkdir()
        latest.symlink_to(tmp_path / "far")
    elif kind == "text":
        latest.write_text("../../etc")
    assert checkpoints.newest(pytest.fail) == tmp_path / "c/step-00000002"
    if kind == "other":
        assert (latest / "mine").read_text() == "kept"
    else:
        assert os.readlink(latest) == "step-00000002"
    assert kind != "elsewhere" or (tmp_path / "far").is_dir()
