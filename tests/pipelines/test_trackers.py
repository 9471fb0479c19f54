"""Trackers: a run that is stopped and goes on is one run in them, with its name and config."""

import json
import signal

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.training_runs import arguments, rows, started, trained, wait_for
from zeroseg.training.preemption import STOPPED


def test_a_run_that_goes_on_is_one_run_in_its_trackers(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "photos"
    more = ["--trackers", "tensorboard", "wandb", "--project", "birds"]
    command = arguments(scenes, run, 60, *more)
    job = started(command)
    wait_for(job, run, 5)
    job.send(signal.SIGTERM)
    job.ended()
    assert job.statuses == [STOPPED]
    trained(command)

    name = json.loads((run / "trackers.json").read_text())["wandb"]["id"]
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    assert [file.stem for file in files] == [f"run-{name}"] * 2
    for file in files:
        said = file.read_bytes()
        assert all(word in said for word in (b"birds", b"photos", b"data.batch_size", b"epoch"))
    events = EventAccumulator(str(run / "tensorboard/birds"), {"scalars": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 61))
    assert len(rows(run)) == 60
