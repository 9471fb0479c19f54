"""Two machines: network namespaces with a link between them, a torchrun on each.

torchrun's static rendezvous, not c10d: the agent of the c10d kind asks the first host's store in
every turn, without an end in time, and so does not see that its own worker has failed.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import INTERFACE, Host, two_hosts, why_not
from test_end_to_end import ROOT, arguments, losses

from shards import scenes
from shards.build import Limits, build

STEPS, SAVE_EVERY, TIMEOUT = 16, 4, 15
PORT = 29400
pytestmark = pytest.mark.multinode


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    limits = Limits(images_per_shard=12, workers=0)
    build(scenes.scenes("train", 48), str(folder / "train"), limits)
    return folder


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    if reason := why_not():
        pytest.skip(reason)
    with two_hosts() as pair:
        yield pair


def launched(
    hosts: tuple[Host, Host], shards: Path, run: Path, logs: str
) -> list[tuple[subprocess.Popen, Path]]:
    """One torchrun a host, of one process each; both hosts run the same command but for their rank."""
    every = ["--save-every", str(SAVE_EVERY), "--timeout", str(TIMEOUT)]
    training = arguments(shards, run, STEPS, "--teacher.grids", "1", "2", *every)
    started = []
    for rank, host in enumerate(hosts):
        command = [sys.executable, "-m", "torch.distributed.run"]
        command += ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(rank)]
        command += ["--master-addr", hosts[0].address, "--master-port", str(PORT)]
        command += ["--local-addr", host.address, "-m", "pipelines.train", *training]
        log = run.with_name(f"{logs}-{rank}.log")
        process = host.start(
            command,
            log,
            ACCELERATE_USE_CPU="true",
            GLOO_SOCKET_IFNAME=INTERFACE,
            OMP_NUM_THREADS="1",
            PYTHONPATH=str(ROOT),
        )
        started.append((process, log))
    return started


def ended(started: list[tuple[subprocess.Popen, Path]]) -> list[tuple[int, str]]:
    """Exit status and output of each; fails if one does not end by itself."""
    return [(process.wait(timeout=240), log.read_text()) for process, log in started]


def weights(run: Path) -> bytes:
    return (run / "model/model.safetensors").read_bytes()


def test_a_cut_link_ends_both_hosts_and_the_same_commands_finish_the_undisturbed_run(
    hosts, shards, tmp_path
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for status, output in ended(launched(hosts, shards, whole, "whole")):
        assert status == 0, output[-2000:]

    started = launched(hosts, shards, cut, "cut")
    while not list(cut.glob("checkpoints/step-*")):
        assert all(process.poll() is None for process, _ in started), ended(started)
        time.sleep(0.02)
    hosts[1].link("down")
    for status, output in ended(started):
        assert status not in (0, 75)
        assert re.search(r"Timed out waiting|died or cannot be reached", output), output[-2000:]
    assert losses(cut)[-1]["step"] < STEPS

    hosts[1].link("up")
    for status, output in ended(launched(hosts, shards, cut, "again")):
        assert status == 0, output[-2000:]
    assert "going on from" in (tmp_path / "again-0.log").read_text()
    assert losses(cut) == losses(whole)
    assert weights(cut) == weights(whole)


def test_hosts_are_gone_with_their_processes_also_after_a_failure(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    with pytest.raises(ZeroDivisionError), two_hosts() as pair:
        process = pair[1].start(["sleep", "600"], tmp_path / "log")
        1 / 0  # noqa: B018
    assert process.wait(timeout=60) == -signal.SIGKILL
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not any(host.name in names for host in pair)
