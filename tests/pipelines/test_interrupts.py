"""Ctrl-C ends a command in one line, with status 130, and leaves nothing behind."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from pipelines.interrupts import interruptible
from tests.support.jobs import Job, program


@pytest.mark.parametrize(
    ("name", "arguments", "way"),
    [
        ("embed", [], "goes on"),
        ("curate", ["data/photos"], "goes on"),
        ("curate", ["show", "chosen"], "begins again"),
        ("shards", ["build"], "goes on"),
        ("shards", ["check"], "begins again"),
    ],
)
def test_a_command_that_is_interrupted_says_how_to_go_on(name, arguments, way, capsys):
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended, interruptible(name, arguments):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"\nstopped by Ctrl-C: the same command {way}\n"


def test_one_that_is_not_leaves_the_handler_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with interruptible("embed", []):
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_a_build_ends_with_its_processes_and_goes_on(tmp_path):
    build = ["shards", "build", "scenes", "train", str(tmp_path / "set"), "--images", "48"]
    build += ["--images-per-shard", "12", "--workers", "2"]
    job = Job(program, "pipelines.cli", build)
    main = psutil.Process(job.processes[0].pid)
    while job.running and "/48" not in job.said():
        time.sleep(0.02)
    children = main.children(recursive=True)
    for process in (main, *children):
        process.send_signal(signal.SIGINT)
    said = job.ended()
    assert job.statuses == [130], said
    assert said.endswith("\nstopped by Ctrl-C: the same command goes on\n")
    assert "Traceback" not in said
    assert not [process for process in children if process.is_running()]
    left = [path.name for path in Path(tmp_path / "set").rglob("*")]
    assert not [name for name in left if name.endswith(".new")]
