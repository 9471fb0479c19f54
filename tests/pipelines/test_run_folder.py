"""A run's folder: where it goes on, and when it refuses to."""

import errno
import fcntl
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.run import folder as run_folder
from pipelines.run.folder import RunFolder, code
from tests.support.selections import leave_out
from tests.support.streams import write
from zeroseg import AdamW, InputError
from zeroseg.config import RunConfig, read_config
from zeroseg.data.plan import Position
from zeroseg.store.selection import read_selection
from zeroseg.training.checkpoints import Content, read

QUICKSTART = str(Path(__file__).parents[2] / "configs/scenes_scratch.py")


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return replace(read_config(QUICKSTART), output=tmp_path / "run")


def saved(config: RunConfig, step: int) -> RunFolder:
    folder = RunFolder.of(config)
    plain = {"step": step, "place": Position().state_dict()}
    content = Content({"student": {"a": torch.ones(2)}}, plain)
    folder.checkpoints.write(step, folder.signed(content))
    return folder


def steps(folder: RunFolder) -> list[int]:
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


def test_a_new_run_writes_its_config_and_starts_from_nothing(config):
    assert RunFolder.of(config).begin() is None
    assert read_config(config.output / "config.json") == config


def test_it_goes_on_from_the_newest_and_forgets_what_came_after(config):
    folder = saved(config, 4)
    folder.begin()
    for step in (3, 4, 5, 6):
        folder.add("metrics.jsonl", {"step": step, "loss": float("nan")})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')  # a kill in the middle of a line
    assert folder.begin() == config.output / "checkpoints/step-00000004"
    assert steps(folder) == [3, 4]
    assert '"loss": null' in (folder.path / "metrics.jsonl").read_text()


def test_two_runs_are_never_at_work_in_one_folder(config, monkeypatch, capsys):
    monkeypatch.setattr(run_folder, "PATIENCE", 0.1)
    first, second = RunFolder.of(config), RunFolder.of(config)
    first.begin()
    with pytest.raises(InputError, match="another run is at work"):
        second.begin()
    assert "waiting for the run" in capsys.readouterr().err
    first.lock.release()
    second.begin()
    second.lock.release()


def test_another_config_is_refused_by_its_fields_unless_they_are_allowed_by_name(config):
    saved(config, 4)
    other = replace(
        config, optimizer=AdamW(learning_rate=0.5), data=replace(config.data, workers=3)
    )
    changes = r"data.workers: 0 -> 3; optimizer.learning_rate: \S+ -> 0.5"
    with pytest.raises(InputError, match=changes):
        RunFolder.of(other).begin()
    with pytest.raises(InputError, match=r"differs in optimizer.learning_rate: \S+ -> 0.5:"):
        RunFolder.of(other).begin(["data"])
    assert read(RunFolder.of(other).begin(["data.workers", "optimizer"])).state["step"] == 4
    with pytest.raises(InputError, match="lerning_rate: no field"):
        RunFolder.of(other).begin(["lerning_rate"])


def test_a_place_in_the_order_of_a_version_before_is_refused_before_its_config(config):
    place = {"epoch": 1, "consumed": [[2, 8]], "left_out": 3}
    folder = RunFolder.of(config)
    content = Content({"student": {"a": torch.ones(2)}}, {"step": 4, "place": place})
    folder.checkpoints.write(4, folder.signed(content))
    other = replace(config, data=replace(config.data, shuffle=9))
    with pytest.raises(InputError, match=r"place in the data .* finish the run with the version"):
        RunFolder.of(other).begin()


def test_a_checkpoint_that_lacks_a_field_is_taken_to_have_its_default(config):
    saved(config, 4)
    folder = config.output / "checkpoints/step-00000004"
    content = read(folder)
    del content.state["config"]["project"], content.state["config"]["method"]["layer_decay"]
    RunFolder.of(config).checkpoints.write(4, content)
    assert RunFolder.of(config).begin() == folder
    with pytest.raises(InputError, match="project: zeroseg -> mine"):
        RunFolder.of(replace(config, project="mine")).begin()


def test_a_run_of_another_method_is_refused(config):
    saved(config, 4)
    content = read(config.output / "checkpoints/step-00000004")
    content.state["config"]["method"] = {"class": "Another", "width": 3}
    RunFolder.of(config).checkpoints.write(4, content)
    with pytest.raises(InputError, match=r"method\.class: Another -> Distillation"):
        RunFolder.of(config).begin()


def test_a_run_may_be_moved(config, tmp_path):
    saved(config, 4)
    moved = replace(config, output=tmp_path / "elsewhere")
    config.output.rename(moved.output)
    assert RunFolder.of(moved).begin() == moved.output / "checkpoints/step-00000004"


@pytest.mark.parametrize("how", ["moved", "copied", "linked"])
def test_a_run_is_where_its_config_is_read(config, tmp_path, how, capsys, monkeypatch):
    saved(config, 4).begin()
    there = tmp_path / "there"
    if how == "moved":
        config.output.rename(there)
    elif how == "copied":
        shutil.copytree(config.output, there, symlinks=True)
    else:
        there.symlink_to(config.output)
    capsys.readouterr()
    found = read_config(there / "config.json")
    assert found == replace(config, output=there)
    assert RunFolder.of(found).begin() == there / "checkpoints/step-00000004"
    assert (f"began in {config.output}: it goes on in {there}" in capsys.readouterr().err) == (
        how != "linked"
    )
    monkeypatch.chdir(there)
    assert read_config("config.json").output == there.resolve()


def test_a_link_to_a_config_is_its_run_and_another_json_what_it_says(config, tmp_path):
    saved(config, 4).begin()
    (tmp_path / "mine.json").symlink_to(config.output / "config.json")
    assert read_config(tmp_path / "mine.json").output == config.output.resolve()
    shutil.copy(config.output / "config.json", tmp_path / "other.json")
    assert read_config(tmp_path / "other.json").output == config.output
    shutil.copytree(config.output, tmp_path / "copy")
    shutil.copy(config.output / "config.json", tmp_path / "copy/older.json")
    assert read_config(tmp_path / "copy/older.json").output == tmp_path / "copy"


def test_a_copy_is_a_run_of_its_own_to_trackers(config, tmp_path):
    saved(config, 4).begin()
    (config.output / "trackers.json").write_text('{"wandb": {"id": "1"}}')
    for there, kept in (("copy", False), ("moved", True)):
        if kept:
            config.output.rename(tmp_path / there)
        else:
            shutil.copytree(config.output, tmp_path / there)
        RunFolder.of(read_config(tmp_path / there / "config.json")).begin()
        assert (tmp_path / there / "trackers.json").is_file() == kept


def test_what_moved_along_with_a_run_is_no_other_config(config, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    data = replace(config.data, shards=f"{old}/shards::/far")
    run = replace(config, data=data, output=old / "run")
    saved(run, 4)
    old.rename(new)
    moved = replace(run, output=new / "run")
    assert RunFolder.of(moved).begin() is not None
    for shards, fits in ((f"{new}/shards::/far", True), (f"{new}/other::/far", False)):
        other = replace(moved, data=replace(data, shards=shards))
        if fits:
            assert RunFolder.of(other).begin() is not None
        else:
            with pytest.raises(InputError, match=r"data\.shards: .* -> "):
                RunFolder.of(other).begin()


def test_where_there_is_no_flock_a_file_stands_for_the_lock(config, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(run_folder, "PATIENCE", 0.1)
    first, second = RunFolder.of(config), RunFolder.of(config)
    first.begin()
    with pytest.raises(InputError, match="another run is at work"):
        second.begin()
    assert "on a file system without locks" in capsys.readouterr().err
    first.lock.release()
    second.begin()
    second.lock.release()


def test_a_trained_model_without_checkpoints_is_not_written_over(config):
    (config.output / "model").mkdir(parents=True)
    with pytest.raises(InputError, match="holds a trained model"):
        RunFolder.of(config).begin()


def test_other_code_is_said_not_refused(config, capsys):
    folder = saved(config, 4)
    assert folder.begin() is not None
    assert "was written by" not in capsys.readouterr().err
    older = Content({"student": {}}, {"step": 5, "place": Position().state_dict()})
    signed = folder.signed(older)
    state = {**signed.state, "code": code() | {"zeroseg": "0.0.1"}}
    folder.checkpoints.write(5, Content({"student": {"a": torch.ones(1)}}, state))
    assert folder.begin() is not None
    assert "was written by {'zeroseg': '0.0.1'" in capsys.readouterr().err


def test_another_selection_in_the_same_folder_is_refused_unless_it_is_allowed(config, tmp_path):
    shards = write(tmp_path / "set", 12)
    first = leave_out(shards, tmp_path / "s", [1])
    chosen = replace(config, data=replace(config.data, selection=first))
    folder = RunFolder.of(chosen)
    place = Position().state_dict() | {"selection": read_selection(first).digest}
    content = Content({"student": {"a": torch.ones(2)}}, {"step": 4, "place": place})
    folder.checkpoints.write(4, folder.signed(content))
    assert folder.begin() is not None
    folder.lock.release()
    with pytest.raises(InputError, match=r"data.selection: .*s -> : name in --allow-change"):
        (other := RunFolder.of(config)).begin()
    other.lock.release()
    leave_out(shards, tmp_path / "s", [2])
    with pytest.raises(InputError, match="s is not the selection that it was made with"):
        folder.begin()
    assert folder.begin(["data.selection"]) is not None
    assert folder.begin(["data"]) is not None
