"""The batch script, run whole: its tasks train for real, only SLURM itself is stood in for."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.training_runs import ROOT, arguments, rows, trained

SCRIPT = ROOT / "configs/slurm/train.sbatch"
STEPS, TASKS = 40, 2
PROGRAMS = {
    "srun": f'exec {sys.executable} {ROOT}/tests/support/stand_in_srun.py "$@"',
    "scontrol": 'case "$1" in show) echo 127.0.0.1;; *) echo "$@" >> "$REQUEUED";; esac',
}


@pytest.fixture
def cluster(tmp_path) -> dict[str, str]:
    """A batch script's environment, with the stand-ins first in PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "this"}
    slurm |= {"SLURM_NTASKS": str(TASKS), "SLURM_CPUS_PER_TASK": "1"}
    settings = {"PATH": path, "PYTHONPATH": str(ROOT)}
    return os.environ | slurm | settings | {"REQUEUED": str(tmp_path / "requeued")}


def submitted(cluster: dict[str, str], log: Path, training: list[str]) -> subprocess.Popen:
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(
            ["bash", str(SCRIPT), *training], env=cluster, stdout=file, stderr=subprocess.STDOUT
        )


def tasks_of(job: subprocess.Popen) -> list[psutil.Process]:
    """What srun started."""
    return [task for srun in psutil.Process(job.pid).children() for task in srun.children()]


def killed(job: subprocess.Popen) -> None:
    """The whole of a job, if a failed test has left any of it."""
    if job.poll() is None:
        for process in [*psutil.Process(job.pid).children(recursive=True), job]:
            process.kill()


def test_a_job_that_runs_out_of_time_is_requeued_and_finishes_the_undisturbed_run(
    scenes, cluster, tmp_path
):
    whole, run, log = tmp_path / "whole", tmp_path / "run", tmp_path / "log"
    trained(arguments(scenes, whole, STEPS), TASKS)
    job = submitted(cluster, log, arguments(scenes, run, STEPS))
    try:
        while not rows(run):
            assert job.poll() is None, log.read_text()[-3000:]
            time.sleep(0.02)
        for task in tasks_of(job):
            task.send_signal(signal.SIGUSR1)
        assert job.wait(timeout=120) == 75, log.read_text()[-3000:]
    finally:
        killed(job)
    made = rows(run)[-1]["step"]
    assert f"stopped after step {made}, saved" in log.read_text()
    assert made < STEPS
    requeued = Path(cluster["REQUEUED"])
    assert requeued.read_text(encoding="utf-8") == f"requeue {cluster['SLURM_JOB_ID']}\n"

    job = submitted(cluster, log, arguments(scenes, run, STEPS))
    try:
        assert job.wait(timeout=240) == 0, log.read_text()[-3000:]
    finally:
        killed(job)
    assert f"step-{made:08d}" in log.read_text()
    assert len(requeued.read_text(encoding="utf-8").splitlines()) == 1
    assert rows(run) == rows(whole)
    weights = [folder / "model/model.safetensors" for folder in (run, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_job_that_fails_otherwise_is_not_requeued(cluster, tmp_path):
    log = tmp_path / "log"
    job = submitted(cluster | {"SLURM_NTASKS": "1"}, log, ["configs/nothing.py"])
    try:
        assert job.wait(timeout=240) not in (0, 75)
    finally:
        killed(job)
    assert "configs/nothing.py does not exist" in log.read_text()
    assert not Path(cluster["REQUEUED"]).exists()


def test_the_batch_script_is_valid_bash():
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0
    if shutil.which("shellcheck"):
        checked = subprocess.run(
            ["shellcheck", SCRIPT], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout
