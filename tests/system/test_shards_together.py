"""`zeroseg shards build` under launchers: the files of one process, also after all were killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines.shards import main
from tests.support.corpora import picture, put
from tests.support.jobs import done, places, program
from tests.support.selections import leave_out
from tests.support.training_runs import ROOT
from zeroseg.store.manifest import read_manifest

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SRUN = [sys.executable, f"{ROOT}/tests/support/stand_in_srun.py", "--kill-on-bad-exit=1"]
LIMITS = ["--images-per-shard", "3", "--workers", "0"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> str:
    files = {f"album/{n:03d}.png": picture(n, "png") for n in range(180)} | {"torn.jpg": b"torn"}
    return put(str(tmp_path_factory.mktemp("photos")), files)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, photos) -> Path:
    """What one process writes."""
    folder = tmp_path_factory.mktemp("alone") / "set"
    main(building(photos, folder))
    return folder


def building(photos: str, folder: Path) -> list[str]:
    return ["build", "folder", photos, str(folder), *LIMITS]


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def launch(launcher: list[str], arguments: list[str], **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*launcher, "-m", "pipelines.shards", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_killed_under_torchrun_and_gone_on_with_under_srun(photos, alone, tmp_path):
    folder = tmp_path / "set"
    torchrun = launch(TORCHRUN, building(photos, folder))
    while torchrun.poll() is None and len(list(folder.glob(".building/job-*.json"))) < 5:
        time.sleep(0.002)
    for process in [*psutil.Process(torchrun.pid).children(recursive=True), torchrun]:
        process.send_signal(signal.SIGKILL)
    said, _ = torchrun.communicate(timeout=60)
    assert torchrun.returncode == -signal.SIGKILL, said
    assert read_manifest(str(folder)) is None
    meeting = {name: value for name, value in places(2)[0].items() if name.startswith("MASTER")}
    srun = launch([*SRUN, sys.executable], building(photos, folder), SLURM_NTASKS="2", **meeting)
    said, _ = srun.communicate(timeout=240)
    assert srun.returncode == 0, said
    assert content(folder) == content(alone)
    assert said.count(f"{folder}: 180 images in 61 shards") == 1


def test_a_copy_of_a_selection_is_shared_like_any_other_kind(alone, tmp_path):
    chosen = leave_out(str(alone), tmp_path / "s", [0, 7, *range(12, 18)])
    copying = ["build", "copy", str(alone), "DESTINATION", "--selection", chosen, *LIMITS]
    one, two = ([*copying[:3], str(tmp_path / n), *copying[4:]] for n in ("one", "two"))
    main(one)
    said = done(program, "pipelines.shards", two, ranks=2)
    assert content(tmp_path / "two") == content(tmp_path / "one")
    assert said.count("172 images in 59 shards") == 1
