import errno
import os
import sys
import tarfile
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from shards.archive import tar_members
from tests.support.corpora import packed
from zeroseg.errors import InputError
from zeroseg.store import storage
from zeroseg.store.storage import (
    exists,
    is_file,
    join,
    list_files,
    listing,
    open_file,
    read_bytes,
    remove,
    version,
    write_atomically,
)

FILES = {"b/two.JPG": b"22", "a.jpg": b"1", "b/c/three.txt": b"333"}


@pytest.fixture(params=["local", "file://", "memory://"])
def root(request, tmp_path) -> str:
    if request.param == "memory://":
        return f"memory://{uuid4()}"
    return f"{'' if request.param == 'local' else request.param}{tmp_path}/new folder"


@pytest.fixture
def full(root) -> str:
    for name, data in FILES.items():
        write_atomically(join(root, name), data)
    return root


def test_what_was_written_is_read_back_and_found(full):
    for name, data in FILES.items():
        url = join(full, name)
        assert read_bytes(url) == data
        assert exists(url)
        assert is_file(url)
        assert version(url).bytes == len(data)
        with open_file(url) as file:
            file.seek(len(data) - 1)
            assert file.read() == data[-1:]
    assert exists(join(full, "b"))
    assert not is_file(join(full, "b"))
    assert not exists(join(full, "no"))
    assert not is_file(join(full, "no"))
    assert not exists(join(full, "a.jpg/below a file"))


def test_a_listing_is_in_order_of_path_and_keeps_the_suffixes_asked_for(full):
    assert list_files(full) == [("a.jpg", 1), ("b/c/three.txt", 3), ("b/two.JPG", 2)]
    assert list_files(full, {".jpg"}) == [("a.jpg", 1), ("b/two.JPG", 2)]
    assert list_files(full, recursive=False) == [("a.jpg", 1)]
    assert list_files(join(full, "b/")) == [("c/three.txt", 3), ("two.JPG", 2)]


def test_a_listing_does_not_hang_on_the_order_that_the_folder_gives(tmp_path, monkeypatch):
    for name in "cab":
        (tmp_path / name).write_bytes(b"")
    walk = os.walk
    monkeypatch.setattr(
        storage.os, "walk", lambda *a, **k: ((f, d, n[::-1]) for f, d, n in walk(*a, **k))
    )
    backwards = list_files(str(tmp_path))
    monkeypatch.undo()
    assert backwards == list_files(str(tmp_path)) == [("a", 0), ("b", 0), ("c", 0)]


def test_a_name_that_only_begins_like_the_folder_is_not_below_it():
    root = f"memory://{uuid4()}"
    write_atomically(f"{root}/set/a", b"")
    write_atomically(f"{root}/set2/b", b"")
    assert list_files(f"{root}/set") == [("a", 0)]


def test_a_removed_folder_is_gone_and_a_missing_one_is_no_error(full):
    remove(join(full, "b"))
    remove(join(full, "b"))
    assert list_files(full) == [("a.jpg", 1)]


def test_links_are_followed_but_for_a_circle_of_them(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(b"1")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "elsewhere")
    assert list_files(str(tmp_path / "set")) == [("link/a", 1)]
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "elsewhere")
    assert list_files(str(tmp_path / "set")) == [("link/a", 1)]
    assert listing(str(tmp_path / "set"), {""}).passed_over == {
        "links to a folder that they lie in": 1
    }


def test_a_missing_local_folder_is_an_error_and_a_missing_remote_one_is_empty(tmp_path):
    with pytest.raises(InputError, match=r"no/such cannot be listed .*: check the name"):
        list_files(str(tmp_path / "no" / "such"))
    assert list_files(f"memory://{uuid4()}") == []


@pytest.mark.parametrize("call", [read_bytes, version, lambda url: open_file(url).__enter__()])
def test_a_missing_file_is_an_error_naming_it(root, call):
    with pytest.raises(InputError, match=r"absent cannot be .*: check the name"):
        call(join(root, "absent"))


def test_a_protocol_without_its_package_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # nothing here has imported it before
    with pytest.raises(InputError, match=r"(?i)^gs://bucket/x needs a package.*install gcsfs"):
        read_bytes("gs://bucket/x")


def test_an_unknown_protocol_is_an_error_naming_the_url():
    with pytest.raises(InputError, match="gopher://a/b"):
        list_files("gopher://a/b")


@pytest.mark.parametrize(
    ("root", "url"), [("a", "a/n"), ("a/", "a/n"), ("/", "/n"), ("s3://b", "s3://b/n")]
)
def test_join_puts_one_slash(root, url):
    assert join(root, "n") == url


def test_a_local_file_can_be_sent_and_replaces_what_was_there(root, tmp_path):
    one = tmp_path / "one"
    one.write_bytes(b"x" * 3_000_000)
    url = join(root, "sent")
    write_atomically(url, b"older")
    write_atomically(url, one)
    assert read_bytes(url) == one.read_bytes()
    assert list_files(root) == [("sent", 3_000_000)]


def test_a_write_that_raises_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    write_atomically(str(path), b"older")
    monkeypatch.setattr(storage.os, "fsync", full_disk)
    with pytest.raises(InputError, match=r"file cannot be written .*No space"):
        write_atomically(str(path), b"newer")
    monkeypatch.undo()
    with pytest.raises(InputError, match="cannot be written"):
        write_atomically(str(path), tmp_path / "absent")
    monkeypatch.setattr(storage.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(str(path), b"newer")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"older"


def interrupt(*_):
    raise KeyboardInterrupt


def test_the_bytes_and_then_the_name_are_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def watched(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(storage.os, "fsync", watched)
    write_atomically(str(tmp_path / "file"), b"data")
    assert synced == [str(tmp_path / "file.new"), str(tmp_path)]


def test_what_a_remote_store_raises_is_an_error_naming_the_url(monkeypatch):
    class RefusedError(Exception):
        pass

    def refuse(*_, **__):
        raise RefusedError("no credentials")

    for name in ("pipe_file", "cat_file", "find", "info", "_open"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    for call in (
        read_bytes,
        list_files,
        exists,
        is_file,
        version,
        lambda url: write_atomically(url, b""),
    ):
        with pytest.raises(InputError, match=r"memory://x/y .*RefusedError: no credentials"):
            call("memory://x/y")


def test_members_of_a_tar_come_in_its_order_by_suffix(root):
    write_atomically(join(root, "x.tar"), packed({"b.JPG": b"1", "c.txt": b"2", "d/a.jpg": b""}))
    found = list(tar_members(join(root, "x.tar"), {".jpg"}))
    assert found == [("b.JPG", b"1"), ("d/a.jpg", b"")]


@pytest.mark.parametrize(("keep", "whole"), [(0, 0), (700, 0), (1024, 1), (1600, 1), (2048, 2)])
def test_a_tar_cut_short_gives_its_whole_members_and_then_an_error(tmp_path, keep, whole):
    path = tmp_path / "x.tar"
    path.write_bytes(packed({"a.jpg": b"1" * 512, "b.jpg": b"2" * 512})[:keep])
    found = []

    def read():
        for name, _ in tar_members(str(path), {".jpg"}):
            found.append(name)

    with pytest.raises(tarfile.TarError):
        read()
    assert found == ["a.jpg", "b.jpg"][:whole]


def test_a_file_that_is_no_tar_is_an_error(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(tarfile.TarError):
        list(tar_members(str(tmp_path / "x.tar"), {".jpg"}))
