"""What is written lasts on file systems that lack some calls; a failing disk is still an error."""

import errno
import os

import pytest

from zeroseg import InputError
from zeroseg.store.storage import write_atomically


def refusing(call, code, applies=lambda *_: True):
    def refuse(*arguments, **options):
        if applies(*arguments):
            raise OSError(code, os.strerror(code))
        return call(*arguments, **options)

    return refuse


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_is_written_where_nothing_can_be_synced(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, code))
    write_atomically(f"{tmp_path}/a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EPERM, errno.ENOTSUP])
def test_a_file_is_written_where_none_can_be_renamed_over(tmp_path, monkeypatch, code):
    def taken(_, final):
        return os.path.lexists(final)

    monkeypatch.setattr(os, "replace", refusing(os.replace, code, taken))
    for data in (b"1", b"2"):
        write_atomically(f"{tmp_path}/a", data)
        assert (tmp_path / "a").read_bytes() == data
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_is_an_error(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", refusing(os.fsync, code))
    with pytest.raises(InputError, match="cannot be written"):
        write_atomically(f"{tmp_path}/a", b"1")
