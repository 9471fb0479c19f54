"""Training survives: real processes killed, stopped, starved and lied to, and the run is the same."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file
from torch import equal

from tests.support.training_runs import (
    IMAGES,
    arguments,
    ended,
    launched,
    rows,
    started,
    trained,
    wait_for,
    workers_of,
)
from zeroseg.training.checkpoints import read
from zeroseg.training.preemption import STOPPED

STEPS = 40
SAVING = ("--save-every", "3", "--keep-last", "3", "--ema-decay", "0.9")


@pytest.fixture(scope="module")
def undisturbed(scenes, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    trained(arguments(scenes, output, STEPS, *SAVING))
    return output


@pytest.fixture(scope="module")
def undisturbed_two(scenes, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "two"
    trained(arguments(scenes, output, STEPS, *SAVING), 2)
    return output


def same_run(one: Path, other: Path) -> None:
    assert rows(one) == rows(other)
    assert [row["step"] for row in rows(one)] == list(range(1, STEPS + 1))
    for name in ("model", "model-ema"):
        a, b = (load_file(run / name / "model.safetensors") for run in (one, other))
        assert a.keys() == b.keys()
        assert all(equal(a[k], b[k]) for k in a), name


@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_at_any_step_a_run_goes_on_to_the_same_weights(scenes, tmp_path, request, ranks):
    whole = request.getfixturevalue("undisturbed" if ranks == 1 else "undisturbed_two")
    args, rng = arguments(scenes, tmp_path / "run", STEPS, *SAVING), random.Random(ranks)
    for step in (rng.randrange(1, 6), rng.randrange(12, 24)):
        job = started(args, ranks)
        wait_for(job, tmp_path / "run", step)
        job.kill()
        assert -signal.SIGKILL in job.statuses
    said = trained(args, ranks)
    assert "going on from" in said
    same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_asked_to_stop_it_finishes_the_step_saves_and_says_how_to_go_on(
    scenes, tmp_path, undisturbed, name
):
    output = tmp_path / "run"
    args = arguments(scenes, output, STEPS, "--save-every", "1000", *SAVING[2:])
    job = started(args)
    wait_for(job, output, 4)
    job.send(signal.Signals[name])
    said = job.ended()
    assert job.statuses == [STOPPED] == [75], said
    assert f"{name}: finishing this step" in said
    assert "Traceback" not in said
    made = rows(output)[-1]["step"]
    assert f"stopped after step {made}, saved" in said
    assert read(output / "checkpoints/latest").state["step"] == made < STEPS
    trained([*args, "--allow-change", "save_every", "--save-every", "3"])
    same_run(output, undisturbed)


def test_two_processes_stop_after_the_same_step_though_only_one_is_told(
    scenes, tmp_path, undisturbed_two
):
    output = tmp_path / "run"
    args = arguments(scenes, output, STEPS, *SAVING)
    process = launched(args, 2)
    wait_for(process, output, 1)
    worker = workers_of(process)[1]
    wait_for(process, output, 4)
    os.kill(worker, signal.SIGUSR1)
    said = ended(process)
    assert process.returncode != 0
    assert f"exitcode  : {STOPPED}" in said
    assert read(output / "checkpoints/latest").state["step"] == rows(output)[-1]["step"] < STEPS
    trained(args, 2)
    same_run(output, undisturbed_two)


def test_a_second_signal_ends_it_at_once_but_not_an_echo_of_the_first(scenes, tmp_path):
    output = tmp_path / "run"
    large = [
        "--data.batch-size",
        "48",
        "--method.student.trunk.width",
        "256",
        "--method.student.trunk.depth",
        "12",
    ]
    job = started(arguments(scenes, output, 10_000, *large))
    while "0/10000" not in job.said() and job.running:
        time.sleep(0.02)  # until a step of many seconds has begun
    for pause in (0.0, 0.2, 2.5):
        time.sleep(pause)
        assert job.running
        job.send(signal.SIGTERM)
    said = job.ended()
    assert job.statuses == [128 + signal.SIGTERM]
    assert said.count("finishing this step") == 1
    assert "SIGTERM again: exiting at once" in said
    assert not list(output.glob("checkpoints/step-*"))


def test_workers_of_a_launcher_that_is_killed_save_and_end_before_the_next_run_begins(
    scenes, tmp_path, undisturbed_two
):
    output = tmp_path / "run"
    args = arguments(scenes, output, STEPS, "--save-every", "1000", *SAVING[2:])
    process = launched(args, 2)
    wait_for(process, output, 1)
    orphans = [psutil.Process(pid) for pid in workers_of(process)]
    process.kill()
    psutil.wait_procs(orphans, timeout=60)
    assert not any(orphan.is_running() for orphan in orphans)
    process.communicate()
    step = read(output / "checkpoints/latest").state["step"]
    assert step < STEPS
    said = trained([*args, "--allow-change", "save_every", "--save-every", "3"], 2)
    assert f"going on from {output}/checkpoints/step-{step:08d}" in said
    same_run(output, undisturbed_two)


def test_one_of_three_that_dies_takes_the_job_down_and_is_named(scenes, tmp_path):
    output = tmp_path / "run"
    args = arguments(scenes, output, 10_000, "--data.batch-size", "3")
    process = launched(args, 3)
    wait_for(process, output, 2)
    victim = workers_of(process)[1]
    os.kill(victim, signal.SIGKILL)
    said = ended(process, seconds=90)
    assert process.returncode != 0
    assert f"Signal 9 (SIGKILL) received by PID {victim}" in said


def test_the_traceback_of_a_process_that_fails_is_named(scenes, tmp_path):
    output = tmp_path / "run"
    broken = tmp_path / "scenes"
    shutil.copytree(scenes, broken)
    args = arguments(broken, output, 10_000)
    process = launched(args, 2)
    wait_for(process, output, 2)
    # A folder in its place cannot be appended to: an error that no check before training can see.
    (output / "metrics.jsonl").rename(output / "moved.jsonl")
    (output / "metrics.jsonl").mkdir()
    said = ended(process, seconds=90)
    assert process.returncode != 0
    assert "IsADirectoryError" in said
    assert "rank      : 0" in said


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_it_goes_on_with_another_number_of_processes_and_loses_no_sample(
    scenes, tmp_path, before, after
):
    output = tmp_path / "run"
    trained(arguments(scenes, output, 5, *SAVING), before)
    more = arguments(scenes, output, 11, *SAVING, "--allow-change", "steps")
    said = trained(more, after)
    assert "going on from" in said
    assert [row["step"] for row in rows(output)] == list(range(1, 12))
    place = read(output / "checkpoints/latest").state["place"]
    # Of 12 steps of an epoch of 48 images, 5 were taken by so many ranks and 6 by others.
    assert place["epoch"] == 0
    assert place["left_out"] == 0
    assert place["consumed"] == [[before, 5 * 4 // before], [after, 6 * 4 // after]]
    assert sum(ranks * taken for ranks, taken in place["consumed"]) == 44 < IMAGES


def test_an_average_that_begins_later_begins_at_the_weights(scenes, tmp_path):
    args = arguments(scenes, tmp_path, 2)
    said = trained(args)
    assert "segments=" in said
    assert "skipped=" not in said
    trained([*args, "--ema-decay", "0.9", "--allow-change", "ema_decay"])
    model, average = (
        load_file(tmp_path / f"{n}/model.safetensors") for n in ("model", "model-ema")
    )
    assert all(equal(average[name], value) for name, value in model.items())


def test_a_damaged_checkpoint_is_named_and_the_one_before_leads_to_the_same_weights(
    scenes, tmp_path, undisturbed
):
    output = tmp_path / "run"
    shutil.copytree(undisturbed, output)
    for made in ("model", "model-ema"):
        shutil.rmtree(output / made)
    file = output / f"checkpoints/step-{STEPS:08d}/optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    said = trained(arguments(scenes, output, STEPS, *SAVING))
    assert f"step-{STEPS:08d} is damaged (optimizer.safetensors differs" in said
    assert "going on from" in said
    same_run(output, undisturbed)


def test_a_step_that_is_not_finite_is_skipped_and_too_many_stop_the_run(scenes, tmp_path):
    output = tmp_path / "run"
    args = arguments(
        scenes, output, 30, "--optimizer.learning-rate", "1e30", "--schedule.warmup", "0"
    )
    job = started([*args, "--most-skipped", "3"])
    said = job.ended()
    assert job.statuses == [2]
    assert "4 steps had a loss or gradient that is not finite" in said
    named = [json.loads(line) for line in (output / "non_finite.jsonl").read_text().splitlines()]
    assert [row["step"] for row in named][:3] == [row["step"] for row in rows(output)][-3:]
    assert all(len(row["keys"]) == 4 for row in named)
    assert rows(output)[-1]["loss"] is None
    assert rows(output)[-1]["skipped_steps"] == 3
    assert "skipped=3" in said


def test_a_full_disk_ends_the_run_and_the_checkpoint_before_is_whole(scenes, tmp_path, small_disk):
    output = small_disk / "run"
    args = arguments(scenes, output, 10_000, "--save-every", "2", "--keep-last", "1")
    job = started(args)
    while not list(output.glob("checkpoints/step-*")) and job.running:
        time.sleep(0.01)
    free = os.statvfs(small_disk)
    with (small_disk / "filler").open("wb") as filler:
        filler.write(bytes(max(0, free.f_bavail * free.f_bsize - 300_000)))
    said = job.ended()
    assert job.statuses == [2]
    assert "cannot be written (No space left on device)" in said
    (small_disk / "filler").unlink()
    step = read(output / "checkpoints/latest").state["step"]
    said = trained([*arguments(scenes, output, step + 2, *args[-4:]), "--allow-change", "steps"])
    assert f"going on from {output}/checkpoints/step-{step:08d}" in said
