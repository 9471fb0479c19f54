"""A full disk ends a command in one line that names the folder, and is never taken for lost samples."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from shards.build import Limits, build
from shards.check import check
from shards.folder import Folder
from shards.sample import encoded
from tests.support.corpora import ONE, put
from tests.support.streams import write
from zeroseg.data.samples import image_of, read_samples
from zeroseg.errors import NoRoom
from zeroseg.store.local_files import in_room
from zeroseg.store.reader import ShardReader
from zeroseg.store.set_writer import scratch
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.storage import fetch, remove, write_atomically

SMALL = "mount -t tmpfs -o size=40k tmpfs {0} && exec env TMPDIR={0} {1}"


def photos(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        noise = rng.integers(0, 255, (48, 64, 3), np.uint8)
        (folder / f"{number}.png").write_bytes(encoded(noise, "png"))
    return folder


def on_a_small_disk(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, with a disk of 40 kB at a place, which is TMPDIR too."""
    place.mkdir()
    command = " ".join([sys.executable, "-m", "pipelines.cli", *arguments])
    script = ["unshare", "-rm", "sh", "-c", SMALL.format(place, command)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    return done


def test_a_build_needs_no_room_where_temporary_files_are(tmp_path):
    source = photos(tmp_path / "photos")
    arguments = ["shards", "build", "folder", str(source), str(tmp_path / "set"), "--workers", "0"]
    done = on_a_small_disk(tmp_path / "small", *arguments)
    assert done.returncode == 0, done.stderr
    assert "8 images in 1 shards" in done.stdout
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == [
        "manifest.json",
        "shard-000000.idx",
        "shard-000000.tar",
    ]


def test_a_build_to_a_full_disk_ends_in_one_line_that_names_it(tmp_path):
    source = photos(tmp_path / "photos")
    place = tmp_path / "small"
    done = on_a_small_disk(place, "shards", "build", "folder", str(source), f"{place}/set")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: no room is left in {place}/set")
    assert "Traceback" not in done.stderr


def test_what_is_full_is_named_with_its_remedy(tmp_path, monkeypatch):
    with (
        pytest.raises(NoRoom, match=r"/some/folder .*free some"),
        in_room("/some/folder", "free some"),
    ):
        Path("/dev/full").write_bytes(bytes(10_000))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(NoRoom, match=rf"{tmp_path} .*set TMPDIR"), scratch("memory://set"):
        Path("/dev/full").write_bytes(bytes(10_000))
    (tmp_path / "file.new").symlink_to("/dev/full")
    with pytest.raises(NoRoom, match=r"file cannot be written .*full"):
        write_atomically(str(tmp_path / "file"), bytes(10_000))


def remote(tmp_path: Path, root: str) -> str:
    for path in Path(write(tmp_path / "set", 8)).iterdir():
        put(root, {path.name: path.read_bytes()})
    return root


def test_a_full_cache_stops_reading_and_leaves_no_half_copy(tmp_path):
    root = remote(tmp_path, f"memory://{uuid4()}")
    cache = ShardCache(folder=tmp_path / "cache", retries=3, pause=60.0)
    reader = ShardReader(open_set(root, cache), cache)
    reader.read(0, 0)
    (copy,) = (tmp_path / "cache").glob("*.tar")
    reader.close()
    copy.unlink()
    copy.with_suffix(".new").symlink_to("/dev/full")
    with pytest.raises(NoRoom, match=f"{tmp_path / 'cache'} "):
        read_samples(ShardReader(reader.shards, cache), [(0, 0)], image_of)
    assert not os.path.lexists(copy.with_suffix(".new"))
    (tmp_path / "one").symlink_to("/dev/full")
    with pytest.raises(NoRoom, match=str(tmp_path)):
        fetch(f"{root}/shard-000000.tar", tmp_path / "one")


def test_a_cache_that_cannot_be_is_named_and_not_taken_for_lost_shards(tmp_path):
    root = remote(tmp_path, f"memory://{uuid4()}")
    shards = open_set(root, ShardCache())
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(NoRoom, match=rf"{folder} cannot be made .*another cache\.folder"):
            read_samples(ShardReader(shards, ShardCache(folder=folder)), [(0, 0)], image_of)


def test_a_folder_of_a_set_may_have_brackets_wherever_it_is(tmp_path):
    put(str(tmp_path), {"photos/a.jpg": ONE})
    for root in (f"memory://{uuid4()}/[1]*", str(tmp_path / "[1]*{0..2}?")):
        destination = f"{root}/set"
        build(Folder(str(tmp_path / "photos")).source(), destination, Limits(workers=0))
        cache = ShardCache(folder=tmp_path / "cache", retries=0)
        assert open_set(destination, cache).counts == (1,)
        assert open_set(f"{destination}/shard-000000.tar", cache).counts == (1,)
        assert open_set(f"{destination}/shard-{{000000..000000}}.tar", cache).counts == (1,)
        check(destination, workers=0)
        check(f"{destination}/shard-{{000000..000000}}.tar", workers=0)
    assert open_set(f"{destination}/*.tar", cache).counts == (1,)
    check(f"{destination}/*.tar", workers=0)
    remove(f"{destination}/manifest.json")
    assert open_set(f"{destination}/*.tar", cache).counts == (1,)
    shutil.copy(f"{destination}/shard-000000.tar", f"{destination}/[0]{{1,2}}.tar")
    assert open_set(f"{destination}/[0]{{1,2}}.tar", cache).counts == (1,)
    with pytest.raises(Exception, match="close every brace"):
        open_set(str(tmp_path / "x-{0..1.tar"), cache)
