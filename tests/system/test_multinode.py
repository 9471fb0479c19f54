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

from tests.support.hosts import INTERFACE, Host, two_hosts, why_not
from tests.support.training_runs import ROOT, arguments, rows, trained

STEPS = 40
SAVING = ("--save-every", "4", "--timeout", "15")
PORT = 29400
pytestmark = pytest.mark.multinode


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    if reason := why_not():
        pytest.skip(reason)
    with two_hosts() as pair:
        yield pair


def launched(
    hosts: tuple[Host, Host], scenes: Path, run: Path, logs: str
) -> list[tuple[subprocess.Popen, Path]]:
    """One torchrun a host, of one process each; both hosts run the same command but for their rank."""
    training = arguments(scenes, run, STEPS, *SAVING)
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
    hosts, scenes, tmp_path
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    trained(arguments(scenes, whole, STEPS, *SAVING), 2)
    started = launched(hosts, scenes, cut, "cut")
    while not list(cut.glob("checkpoints/step-*")):
        assert all(process.poll() is None for process, _ in started), ended(started)
        time.sleep(0.02)
    hosts[1].link("down")
    for status, output in ended(started):
        assert status not in (0, 75)
        assert re.search(r"Timed out waiting|died or cannot be reached", output), output[-2000:]
    assert rows(cut)[-1]["step"] < STEPS

    hosts[1].link("up")
    for status, output in ended(launched(hosts, scenes, cut, "again")):
        assert status == 0, output[-2000:]
    assert "going on from" in (tmp_path / "again-0.log").read_text()
    assert rows(cut) == rows(whole)
    assert weights(cut) == weights(whole)


def test_hosts_are_gone_with_their_processes_also_after_a_failure(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    started = []

    def failing() -> None:
        with two_hosts() as pair:
            started.append((pair, pair[1].start(["sleep", "600"], tmp_path / "log")))
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    [(pair, process)] = started
    assert process.wait(timeout=60) == -signal.SIGKILL
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not any(host.name in names for host in pair)
