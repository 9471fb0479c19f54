"""What the machine's language says changes no name and ends no command."""

import os
import subprocess
import sys

import pytest

from shards.build import Limits, build
from shards.folder import Folder
from tests.support.damage import picture

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A machine on which Python would take names of files for ASCII."""
NAMES = ("Ångström", "plain", "voilà 1", "日本語")


@pytest.mark.parametrize("told", [{}, {"PYTHONIOENCODING": "ascii"}])
def test_keys_are_the_same_whatever_the_locale_and_the_output_can_show(tmp_path, told):
    photos = tmp_path / "phötos"
    photos.mkdir()
    for name in NAMES:
        (photos / f"{name}.jpg").write_bytes(picture(len(name)))
    build(Folder(str(photos)).source(), str(tmp_path / "here"), Limits(workers=0))
    command = [sys.executable, "-m", "pipelines.cli", "shards", "build", "folder", str(photos)]
    command += [str(tmp_path / "thère"), "--workers", "0"]
    done = subprocess.run(command, env=os.environ | ASCII | told, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"4 images in 1 shards" in done.stdout
    for name in ("shard-000000.tar", "shard-000000.idx", "manifest.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "thère" / name).read_bytes()
