"""How a process learns its place, whoever launched it."""

import os

import pytest
from accelerate import PartialState

from tests.support.jobs import Job
from zeroseg import InputError
from zeroseg.training.processes import adopt_slurm, make_accelerator, processes_on_a_machine

SLURM = {"SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "4", "SLURM_LOCALID": "1"}
MEETING = {"MASTER_ADDR": "node1", "MASTER_PORT": "20001"}
NAMES = {*SLURM, *MEETING, "RANK", "WORLD_SIZE", "LOCAL_RANK"}


def adopted(monkeypatch, environment: dict[str, str]) -> dict[str, str]:
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    adopt_slurm()
    return {k: os.environ[k] for k in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if k in os.environ}


def test_a_task_of_srun_is_a_process_of_torch(monkeypatch):
    found = adopted(monkeypatch, SLURM | MEETING)
    assert found == {"RANK": "4", "WORLD_SIZE": "6", "LOCAL_RANK": "1"}


def test_a_launcher_inside_a_task_is_believed_and_so_is_a_single_task(monkeypatch):
    assert adopted(monkeypatch, SLURM | {"RANK": "0"}) == {"RANK": "0"}
    assert adopted(monkeypatch, {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == {}
    assert adopted(monkeypatch, {"SLURM_NTASKS": "6", "SLURM_PROCID": "0"}) == {}


def test_tasks_that_cannot_meet_are_an_error(monkeypatch):
    with pytest.raises(InputError, match="srun started 6 tasks, which need MASTER_ADDR"):
        adopted(monkeypatch, SLURM)


def joined_as_one_of_two() -> None:
    PartialState()  # a process group of another size already stands
    os.environ["WORLD_SIZE"] = "2"
    make_accelerator()


@pytest.mark.parametrize(
    ("join", "environment", "says"),
    [
        (
            make_accelerator,
            {"ACCELERATE_USE_FSDP": "true"},
            "FSDP was asked for and needs several GPUs",
        ),
        (joined_as_one_of_two, {}, "2 processes were launched but this one sees 1"),
    ],
)
def test_a_job_that_is_not_what_was_launched_is_an_error(monkeypatch, join, environment, says):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    job = Job(join)
    assert f"InputError: {says}" in job.ended()
    assert job.statuses == [1]


def two_on_this_machine() -> None:
    print(f"{processes_on_a_machine(make_accelerator('no'))} here")


def test_processes_know_how_many_share_their_machine():
    assert processes_on_a_machine(make_accelerator("no")) == 1
    job = Job(two_on_this_machine, ranks=2)
    assert job.ended().count("2 here") == 2


def test_a_process_may_train_in_one_precision_and_score_in_another():
    assert make_accelerator("bf16").mixed_precision == "bf16"
    assert make_accelerator("no").mixed_precision == "no"
