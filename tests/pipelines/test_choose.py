"""What is chosen on validation data, and what is written."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from configs.scenes_scratch import method as SCRATCH
from pipelines import cli
from shards import scenes
from shards.build import Limits, build
from zeroseg import CLIPConfig, CLIPTower, InputError, TeacherTower, ViT, load
from zeroseg.methods.choice import Choice, interpolated
from zeroseg.methods.saved import ModelDescription, save
from zeroseg.methods.saved import load as load_model
from zeroseg.store.shard_cache import ShardCache

CLIP = CLIPConfig(architecture="zeroseg-scenes", weights="")
STUDENT = dataclasses.replace(
    SCRATCH.student,
    image_size=112,
    trunk=CLIPTower(clip=CLIP),
    head_width=16,
    head_heads=2,
    segment_tokens=(4, 2),
)
METHOD = dataclasses.replace(SCRATCH, student=STUDENT, start=TeacherTower())


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("scenes") / "val")
    build(scenes.Scenes("val", 6).source(), folder, Limits(workers=0))
    return folder


def spoilt(folder, method=METHOD):
    """A student whose trunk training has ruined; its weights, and those it began with."""
    torch.manual_seed(0)
    model = method.model()
    method.training(model, torch.device("cpu"), ShardCache())
    start = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.trunk.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    save(folder / "model", ModelDescription(method=method, text=CLIP), model.state_dict())
    return {k: v.clone() for k, v in model.state_dict().items()}, start


def choose(run, shards, *options):
    asked = ["--benchmark", "scenes", "--shards", shards, "--protocol.name", "scenes"]
    cli.main(["choose", str(run), *asked, *options])


def tried(run):
    return json.loads((run / "choice.json").read_text())


def test_the_share_with_the_highest_score_is_written(tmp_path, shards, capsys):
    trained, start = spoilt(tmp_path)
    options = ("--interpolations", "1", "0.5", "0", "--zooms", "1", "--contexts", "0", "0")
    choose(tmp_path, shards, *options)
    rows = tried(tmp_path)["tried"]
    best = max(rows, key=lambda row: row["score"])
    assert best["score"] > rows[0]["score"]
    description, _ = load_model(tmp_path)
    assert description.choice.interpolation == best["interpolation"]
    assert description.choice.chosen_on == f"scenes: {shards}"
    assert description.readout == description.choice.readout == best["readout"]
    expected = interpolated(
        trained, {k: v for k, v in start.items() if k.startswith("trunk.")}, best["interpolation"]
    )
    written = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in written.items())
    assert all(torch.equal(v, trained[k]) for k, v in written.items() if not k.startswith("trunk."))
    assert f"interpolation {best['interpolation']}" in capsys.readouterr().out


def test_another_call_begins_from_the_student_as_it_was_trained(tmp_path, shards):
    trained, _ = spoilt(tmp_path)
    one = ("--zooms", "1", "--contexts", "0", "0")
    choose(tmp_path, shards, "--interpolations", "0.5", *one)
    first = load_file(tmp_path / "model" / "model.safetensors")
    assert not torch.equal(first["trunk.visual.proj"], trained["trunk.visual.proj"])
    choose(tmp_path, shards, "--interpolations", "1", *one)
    again = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(value, trained[name]) for name, value in again.items())


def test_zoom_context_and_readout_are_written_and_are_the_default_answer(tmp_path, shards):
    spoilt(tmp_path)
    options = ("--interpolations", "0", "--zooms", "2", "--contexts", "0.5", "0.25")
    choose(tmp_path, shards, *options)
    description, model = load_model(tmp_path)
    assert (model.config.zoom, model.config.context) == (2.0, (0.5, 0.25))
    picture = torch.rand(3, 112, 112)
    predictor, names = load(tmp_path), ["red ball", "grass", "sky"]
    usual, named = (predictor.segment(picture, names, readout=r) for r in ("", description.readout))
    assert torch.equal(usual, named)


def test_a_student_from_scratch_has_nothing_to_interpolate_to(tmp_path, shards, capsys):
    shape = ViT(patch_size=8, width=16, depth=1, num_heads=2)
    scratch = dataclasses.replace(
        METHOD, student=dataclasses.replace(STUDENT, trunk=shape), start=None
    )
    spoilt(tmp_path, scratch)
    with pytest.raises(SystemExit):
        choose(tmp_path, shards)
    assert "started from scratch" in capsys.readouterr().err
    choose(tmp_path, shards, "--interpolations", "1", "--zooms", "1", "--contexts", "0", "0")
    assert load_model(tmp_path)[0].choice.readout in METHOD.readouts


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_beyond_the_two_is_refused(share):
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        Choice(interpolation=share)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_interpolation_is_a_line_between_the_two(share):
    start, trained = {"trunk.a": torch.randn(4)}, {"trunk.a": torch.randn(4), "b": torch.randn(2)}
    found = interpolated(trained, start, share)
    line = share * trained["trunk.a"] + (1 - share) * start["trunk.a"]
    torch.testing.assert_close(found["trunk.a"], line)
    assert torch.equal(found["b"], trained["b"])
