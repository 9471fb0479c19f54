import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import configs
from configs.scenes_scratch import method as METHOD
from pipelines import cli
from pipelines.train import read_command
from zeroseg.config import RunConfig, read_config, read_stages
from zeroseg.data.views import ViewSet, Windows
from zeroseg.errors import InputError
from zeroseg.methods import METHODS
from zeroseg.models.timm_trunk import TimmTrunk
from zeroseg.models.trunk_weights import TrunkWeights
from zeroseg.records import differences, from_json, to_json
from zeroseg.training.objectives import ZeroSegPaper
from zeroseg.training.optimization import SGD, AdamW, Polynomial
from zeroseg.training.teacher import CachedTeacher

FOLDER = Path(configs.__file__).parent
FILES = sorted(p for p in FOLDER.glob("*.py") if "\nconfig = " in p.read_text())
STAGED = sorted(p for p in FOLDER.glob("*.py") if "\nstages = " in p.read_text())
QUICKSTART = str(FOLDER / "scenes_scratch.py")


def stored(config: RunConfig) -> dict:
    return json.loads(json.dumps(to_json(config)))


def written(folder: Path, value: dict) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(value))
    return str(path)


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return read_config(QUICKSTART)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_config_survives_being_stored(path):
    config = read_config(path)
    assert isinstance(config, RunConfig)
    assert from_json(RunConfig, stored(config), "x", METHODS) == config


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_model_of_every_config_can_be_built_and_nothing_is_fetched_for_it(path, request):
    if path.stem == "real_photos":  # its teacher's architecture stands beside the photos
        request.getfixturevalue("real")
    with torch.device("meta"):
        model = read_config(path).method.model()
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("path", STAGED, ids=lambda p: p.stem)
def test_stages_of_every_config_survive_being_stored_and_their_models_can_be_built(path, request):
    if "ZEROSEG_REAL" in path.read_text():
        request.getfixturevalue("real")
    for name, stage in read_stages(path).items():
        assert (
            from_json(type(stage), json.loads(json.dumps(to_json(stage))), name, METHODS) == stage
        )
        if isinstance(stage, RunConfig):
            with torch.device("meta"):
                model = stage.method.model()
            assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"method": replace(METHOD, losses=ZeroSegPaper())},
        {"method": replace(METHOD, start=TrunkWeights(source="x.pt", allow_missing=("a", "b.*")))},
        {"method": replace(METHOD, teacher=CachedTeacher(path="x", views=ViewSet(grids=(1, 2))))},
        {"optimizer": SGD(learning_rate=0.1), "schedule": Polynomial(power=2.0)},
        {"optimizer": AdamW(learning_rate=1.0, betas=(0.5, 0.25)), "output": Path("/a b/c")},
    ],
)
def test_every_kind_of_field_survives_being_stored(config, changes, tmp_path):
    changed = replace(config, **changes)
    assert from_json(RunConfig, stored(changed), "x", METHODS) == changed
    found = read_config(written(tmp_path, stored(changed)))
    assert found == replace(changed, output=tmp_path)  # a run is where its config is


def test_options_on_the_command_line_override_the_file_and_nothing_else(config):
    read = read_command([QUICKSTART, "--steps", "7", "--data.batch-size", "3"])
    assert read.run == replace(config, steps=7, data=replace(config.data, batch_size=3))


def test_options_override_a_stored_config_too(config, tmp_path):
    path = written(tmp_path, stored(config))
    teacher = replace(METHOD.teacher, views=ViewSet(grids=(1, 2)))
    assert read_command([path, "--method.teacher.views.grids", "1", "2"]).run == replace(
        config, method=replace(METHOD, teacher=teacher), output=tmp_path
    )


def test_windows_are_chosen_on_the_command_line():
    words = ["--method.teacher.views.windows", "0.25:0.125", "0.5:0.3"]
    windows = (Windows(size=0.25, stride=0.125), Windows(size=0.5, stride=0.3))
    for path in (QUICKSTART, str(FOLDER / "real_photos.py")):
        read = read_command([path, *words]).run.method.teacher.views
        assert read == replace(read_config(path).method.teacher.views, windows=windows)


def test_another_trunk_is_an_option():
    config = str(FOLDER / "dinov2_vits14.py")
    name = "vit_small_patch16_dinov3"
    read = read_command([config, "--method.student.trunk.name", name]).run
    assert read.method.student.trunk == TimmTrunk(name=name)
    with pytest.raises(InputError, match="timm has no model 'resnet5000'"):
        read_command([config, "--method.student.trunk.name", "resnet5000"])


def test_an_unknown_option_ends_the_program_with_status_2(capsys):
    with pytest.raises(SystemExit) as caught:
        read_command([QUICKSTART, "--stepz", "7"])
    assert caught.value.code == 2
    assert "--stepz" in capsys.readouterr().err


@pytest.mark.parametrize("place", [[], ["data"], ["method"], ["method", "student"], ["optimizer"]])
def test_an_unknown_field_of_a_stored_config_is_an_error_naming_it_and_its_place(
    config, tmp_path, place
):
    value = stored(config)
    inner = value
    for key in place:
        inner = inner[key]
    inner["colour"] = 1
    path = written(tmp_path, value)
    with pytest.raises(InputError, match=r"unknown fields \['colour'\]") as caught:
        read_config(path)
    assert str(caught.value).startswith(": ".join([path, *place]) + ": ")


@pytest.mark.parametrize(("place", "name"), [(None, "steps"), ("data", "shards")])
def test_a_missing_field_of_a_stored_config_is_an_error_naming_it_and_its_place(
    config, tmp_path, place, name
):
    value = stored(config)
    del (value[place] if place else value)[name]
    with pytest.raises(InputError, match=rf"lacks \['{name}'\]") as caught:
        read_config(written(tmp_path, value))
    assert f"config.json: {place + ': ' if place else ''}" in str(caught.value)


def test_a_value_in_place_of_fields_is_an_error_naming_its_place(config):
    with pytest.raises(InputError, match="x: data: expected the fields of DataConfig, found 3"):
        from_json(RunConfig, stored(config) | {"data": 3}, "x", METHODS)


@pytest.mark.parametrize("arguments", [[], ["--steps", "7"]])
def test_no_config_is_an_error(arguments):
    with pytest.raises(InputError, match="name the config first"):
        read_command(arguments)


@pytest.mark.parametrize("name", ["nowhere.py", "nowhere.json"])
def test_a_missing_config_is_an_error_naming_it(name):
    with pytest.raises(InputError, match=name):
        read_config(name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("from zeroseg import DataConfig\nDataConfig(shards='x', colour=1)", "colour"),
        ("from zeroseg import RunConfig\nconfig = RunConfig()", "missing"),
        ("config = 3", "defines no `config"),
        ("", "defines no `config"),
    ],
)
def test_a_wrong_config_file_is_an_error_naming_file_and_problem(tmp_path, text, problem):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_a_method_may_stand_in_the_file_of_its_config(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from zeroseg import *\n"
        "from configs.scenes_scratch import method\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(Distillation):\n"
        "    extra: int = 3\n\n\n"
        "config = RunConfig(\n"
        "    method=Mine(student=method.student, teacher=method.teacher, losses=method.losses),\n"
        "    data=DataConfig(shards='x'), optimizer=AdamW(learning_rate=1.0), steps=1\n)\n"
    )
    command = read_command([str(file), "--method.extra", "5", "--method.student.trunk.width", "32"])
    assert type(command.run.method).__name__ == "Mine"
    assert command.run.method.extra == 5
    assert command.run.method.student.trunk.width == 32


def test_differences_name_nested_fields_and_both_values(config):
    other = replace(config, steps=config.steps + 1, data=replace(config.data, batch_size=3))
    assert differences(stored(config), stored(config)) == []
    assert differences(stored(config), stored(other)) == [
        f"data.batch_size: {config.data.batch_size} -> 3",
        f"steps: {config.steps} -> {config.steps + 1}",
    ]


def test_differences_name_fields_that_only_one_side_has():
    assert differences({"a": {"b": 1}}, {"a": {"c": 2}}) == ["a.b: 1 -> None", "a.c: None -> 2"]


def test_an_unknown_command_prints_the_usage_and_ends_with_status_2(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["fly"])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert "knows no 'fly'" in printed
    assert "usage: zeroseg NAME" in printed
    assert all(name in printed for name in cli.COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_asking_for_help_is_no_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 0
    assert "error" not in capsys.readouterr().err


def test_what_a_user_can_mend_is_one_line_and_status_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["shards", "build", "folder", str(tmp_path), str(tmp_path / "out")])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
