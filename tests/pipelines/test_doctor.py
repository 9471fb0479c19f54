"""What `zeroseg doctor` says, against the machine that it says it of."""

import dataclasses
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

from pipelines import cli
from pipelines.machine import cgroup, packages
from pipelines.machine.facts import Device, Facts, Faiss, Space, look
from pipelines.machine.findings import GIB, findings
from zeroseg.models.precision import has_fast_bfloat16

ROOT = Path(__file__).parents[2]
DOCTOR = (sys.executable, "-m", "pipelines.cli", "doctor")


def test_the_facts_are_those_of_this_machine(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    status = 0
    try:
        cli.main(["doctor", "--json"])
    except SystemExit as stop:
        status = stop.code
    said = json.loads(capsys.readouterr().out)
    facts = said["facts"]
    assert status == (not said["can_train"])
    assert said["can_train"] is not any(finding["stops"] for finding in said["findings"])
    assert facts["python"] == platform.python_version()
    assert facts["torch"] == torch.__version__
    assert facts["usable_cores"] == len(os.sched_getaffinity(0))
    assert facts["torch_threads"] == torch.get_num_threads()
    assert facts["disk"]["folder"] == str(tmp_path)
    assert facts["disk"]["total_bytes"] == shutil.disk_usage(tmp_path).total
    assert facts["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts["open_files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    fast = has_fast_bfloat16(torch.device("cpu"))
    assert facts["devices"][-1]["bfloat16"] == ("fast" if fast else "slow")
    assert {"accelerate", "numpy", "torch"} <= {package["name"] for package in facts["packages"]}


def test_few_open_files_are_noted_and_a_refused_variable_stops_training():
    environment = os.environ | {"ACCELERATE_MIXED_PRECISION": "fp16", "COLUMNS": "80"}
    limited = ["bash", "-c", 'ulimit -n 200; exec "$@"', "bash", *DOCTOR]
    done = subprocess.run(
        limited, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    stopping = [line for line in lines if line.startswith("stops training")]
    assert len(stopping) == 1
    assert "ACCELERATE_MIXED_PRECISION=fp16" in stopping[0]
    assert "--precision is bf16 or no" in stopping[0]
    assert any(line.startswith("note  200 files") and "ulimit -n" in line for line in lines)
    assert lines[-1] == "training cannot run: 1 to mend"


HIDDEN = """
mount -t tmpfs none /proc && mount -t tmpfs -o size=4k none /dev/shm && echo full > /dev/shm/file
exec "$@"
"""


def test_without_proc_the_rest_is_said_and_full_shared_memory_stops_training():
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be hidden: not root")
    hidden = ["unshare", "-m", "bash", "-c", HIDDEN, "bash", *DOCTOR, "--json"]
    done = subprocess.run(hidden, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert said["facts"]["memory_bytes"] is None
    stopping = [finding for finding in said["findings"] if finding["stops"]]
    assert [finding["what"].split(",")[0] for finding in stopping] == ["/dev/shm"]
    assert "--shm-size" in stopping[0]["remedy"]


@pytest.fixture(scope="module")
def facts() -> Facts:
    """A machine of which there is nothing to say."""
    return dataclasses.replace(
        look(Path.cwd()),
        system="Linux",
        nvidia_driver="570.1",
        devices=[Device("cuda:0", "H100", 80 * GIB, "fast"), Device("cpu", "Xeon", None, "slow")],
        cores=16,
        usable_cores=16,
        core_quota=None,
        torch_threads=16,
        memory_bytes=128 * GIB,
        memory_available_bytes=100 * GIB,
        memory_limit_bytes=None,
        shared_memory=Space("/dev/shm", 64 * GIB, 64 * GIB, writable=True),
        open_files=65536,
        disk=Space("/work", 100 * GIB, 50 * GIB, writable=True),
        faiss=Faiss("1.11", gpu=True, gpus=1, threads=16),
        packages=[packages.Package("torch", ">=2.7", "2.8.0+cu128")],
    )


FOUND = {
    "driver": ({"devices": [Device("cpu", "Xeon", None, "fast")]}, False, "uses no GPU"),
    "no GPU": (
        {"devices": [Device("cpu", "Xeon", None, "fast")], "nvidia_driver": None},
        False,
        "zeroseg quickstart",
    ),
    "bfloat16": ({"devices": [Device("cuda:0", "T4", None, "slow")]}, False, "than float32 on T4"),
    "no bfloat16": ({"devices": [Device("cuda:0", "P100", None, "none")]}, False, "had on P100"),
    "quota": ({"core_quota": 2.5}, False, "the time of 2.5"),
    "cores": ({"cores": 32}, False, "16 of 32 cores"),
    "limit": ({"memory_limit_bytes": GIB}, False, "1.00GiB of memory"),
    "no shared memory": ({"shared_memory": None}, True, "missing"),
    "little shared memory": (
        {"shared_memory": Space("/dev/shm", 1 << 26, 1 << 26, writable=True)},
        False,
        "--shm-size",
    ),
    "little disk": ({"disk": Space("/work", GIB, GIB, writable=True)}, False, "1.00GiB of disk"),
    "full disk": ({"disk": Space("/work", GIB, 0, writable=True)}, True, "/work"),
    "read-only": ({"disk": Space("/work", GIB, GIB, writable=False)}, True, "written to"),
    "faiss-cpu": ({"faiss": Faiss("1.11", gpu=False, gpus=0, threads=16)}, False, "--extra gpu"),
    "no faiss": (
        {"faiss": Faiss(None, gpu=False, gpus=0, threads=None, error="no libcudart")},
        False,
        "no libcudart",
    ),
    "old": ({"packages": [packages.Package("timm", ">=1", "0.9")]}, False, "timm 0.9 is not >=1"),
    "none": ({"packages": [packages.Package("timm", ">=1", None)]}, True, "timm is not installed"),
}
"""By name: what is otherwise, whether it stops a training, and what is said of it."""


@pytest.mark.parametrize("name", FOUND)
def test_each_fault_is_said_once_with_its_remedy(facts, name):
    changes, stops, words = FOUND[name]
    found = findings(dataclasses.replace(facts, **changes), {})
    of_it = [finding for finding in found if words in str(finding)]
    assert [finding.stops for finding in of_it] == [stops]
    assert of_it[0].remedy
    assert [finding for finding in found if finding.stops and finding not in of_it] == []


def test_nothing_is_said_of_a_machine_that_has_it_all(facts):
    assert findings(facts, {"PATH": "/bin", "ACCELERATE_MIXED_PRECISION": "bf16"}) == []
    in_place = dataclasses.replace(facts, packages=[packages.Package("faiss-cpu", ">=1.10", None)])
    assert findings(in_place, {}) == []


def test_variables_that_are_refused_or_have_no_effect_are_all_named(facts):
    names = ("XLA_USE_BF16", "NVIDIA_TF32_OVERRIDE", "ACCELERATE_GRADIENT_CLIPPING")
    found = findings(facts, dict.fromkeys(names, "1"))
    assert [finding.what.split("=")[0] for finding in found] == [*names]
    assert [finding.stops for finding in found] == [True, True, False]


@pytest.fixture
def groups(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setattr(cgroup, "GROUPS", tmp_path / "groups")
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")


def test_the_lowest_limit_of_a_group_and_those_above_holds(groups):
    put(groups / "groups", "0::/job/step")
    put(groups / "job/step/memory.max", "max")
    put(groups / "job/memory.max", "4000")
    put(groups / "memory.max", "9000")
    put(groups / "job/step/cpu.max", "250000 100000")
    put(groups / "job/cpu.max", "max 100000")
    assert cgroup.memory_limit(10_000) == 4_000
    assert cgroup.memory_limit(4_000) is None
    assert cgroup.quota_of_cores() == 2.5


def test_limits_of_version_1_are_read_where_the_container_sees_them(groups):
    put(groups / "groups", "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/")
    put(groups / "memory/memory.limit_in_bytes", "5000")
    put(groups / "cpu,cpuacct/cpu.cfs_quota_us", "30000")
    put(groups / "cpu,cpuacct/cpu.cfs_period_us", "20000")
    assert cgroup.memory_limit(None) == 5_000
    assert cgroup.quota_of_cores() == 1.5
    put(groups / "memory/memory.limit_in_bytes", str(2**63 - 4096))
    put(groups / "cpu,cpuacct/cpu.cfs_quota_us", "-1")
    assert cgroup.memory_limit(None) is None
    assert cgroup.quota_of_cores() is None


def test_without_groups_there_is_no_limit(groups):
    assert cgroup.memory_limit(10_000) is None
    assert cgroup.quota_of_cores() is None


METADATA = """Metadata-Version: 2.1
Name: {name}
Version: 9
Provides-Extra: {extra}
Requires-Dist: numpy>=1
Requires-Dist: {needs}; extra == "{extra}"
"""


def test_extras_are_those_of_the_metadata_with_what_they_bring_of_other_packages(
    tmp_path, monkeypatch
):
    for name, extra, needs in (
        ("zeroseg", "remote", "reader[net]>=1"),
        ("reader", "net", "not-there"),
    ):
        put(
            tmp_path / f"{name}-9.dist-info/METADATA",
            METADATA.format(name=name, extra=extra, needs=needs),
        )
    monkeypatch.syspath_prepend(tmp_path)
    assert [package.name for package in packages.required()] == ["numpy"]
    (extra,) = packages.extras()
    assert (extra.name, extra.gives) == ("remote", packages.PURPOSES["remote"])
    assert [package.name for package in extra.packages] == ["reader", "not-there"]
    assert extra.missing == ["not-there"]
    assert extra.remedy == "pip install 'zeroseg[remote]'"


def test_every_extra_has_a_purpose():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*project["optional-dependencies"]} <= {*packages.PURPOSES}
