"""A trained model on disk: whole or not there, rebuilt bit for bit, refused where it does not fit."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from configs.scenes_scratch import method as QUICKSTART
from zeroseg import CLIPConfig, InputError, ViT, ZeroSegConfig
from zeroseg.methods import saved as saving
from zeroseg.methods.saved import ModelDescription, load, save

TINY = ZeroSegConfig(
    image_size=32,
    trunk=ViT(patch_size=8, width=16, depth=1, num_heads=2),
    embed_dim=6,
    decoder_depth=1,
    decoder_width=16,
    decoder_heads=2,
    head_layers=(1, 1, 1),
    segment_tokens=(6, 4),
    patch_embeddings=True,
    cosine_assignment=True,
    patch_share=0.3,
)
DESCRIPTION = ModelDescription(
    method=dataclasses.replace(QUICKSTART, student=TINY),
    text=CLIPConfig(architecture="ViT-B-16", weights="openai", mean=(0.5, 0.5, 0.5)),
)


def student():
    return DESCRIPTION.method.model().eval()


@pytest.mark.parametrize("into", ["", "model"])
def test_a_saved_student_comes_back_bit_for_bit(tmp_path, into):
    model = student()
    save(tmp_path / into, DESCRIPTION, model.state_dict())
    description, again = load(tmp_path)
    assert description == DESCRIPTION
    assert not again.training
    states = model.state_dict(), again.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    images = torch.rand(2, 3, 32, 32)
    answers = [m.segment(images).segments for m in (model, again)]
    assert torch.equal(*answers)


def test_only_the_students_own_parts_are_saved(tmp_path):
    save(tmp_path, DESCRIPTION, student().state_dict())
    parts = {name.split(".")[0] for name in load_file(tmp_path / "model.safetensors")}
    embeddings = {"segment_embedding", "global_embedding", "patch_embedding"}
    assert parts == {"trunk", "head", "global_layer", "decoder"} | embeddings
    assert {file.name for file in tmp_path.iterdir()} == {"model.json", "model.safetensors"}


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_folder_without_a_whole_model_is_refused(tmp_path, name):
    save(tmp_path, DESCRIPTION, student().state_dict())
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=name):
        load(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("fault", ["missing", "number", "shape", "garbage"])
def test_weights_that_do_not_fit_are_refused(tmp_path, fault):
    save(tmp_path, DESCRIPTION, student().state_dict())
    weights, description = tmp_path / "model.safetensors", tmp_path / "model.json"
    state = load_file(weights)
    if fault == "missing":
        save_file({k: v for k, v in state.items() if k != "head.tokens_1"}, weights)
    elif fault == "number":
        save_file(state | {"head.grouping_1.scale": torch.tensor(10.0)}, weights)
    elif fault == "shape":
        parts = json.loads(description.read_text())
        parts["method"]["student"]["segment_tokens"] = [5, 4]
        description.write_text(json.dumps(parts))
    else:
        weights.write_bytes(b"this is no safetensors file")
    place = {
        "missing": "head.tokens_1",
        "number": "head.grouping_1.scale",
        "shape": "head.tokens_1",
    }
    with pytest.raises(InputError, match=f"do not fit .*{place.get(fault, '')}"):
        load(tmp_path)


class Killed(BaseException):
    """What a kill is to the code it hits."""


@pytest.mark.parametrize("before", [False, True])
def test_a_kill_while_saving_leaves_a_whole_model_or_none(tmp_path, monkeypatch, before):
    folder = tmp_path / "model"
    weights = student().state_dict()
    if before:
        save(folder, DESCRIPTION, weights)

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(saving, "write_atomically", killed)
        with pytest.raises(Killed):
            save(folder, DESCRIPTION, weights)
    assert folder.is_dir() == before
    if before:
        load(tmp_path)
    save(folder, DESCRIPTION, weights)
    assert load(tmp_path)[0] == DESCRIPTION
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_of_a_method_that_nobody_knows_is_refused_by_name(tmp_path):
    save(tmp_path, DESCRIPTION, student().state_dict())
    file = tmp_path / "model.json"
    file.write_text(file.read_text().replace('"Distillation"', '"Divination"'))
    with pytest.raises(InputError, match="class 'Divination' is none of Distillation"):
        load(tmp_path)


def test_a_model_that_an_older_version_saved_takes_the_defaults_of_fields_it_lacks(tmp_path):
    save(tmp_path, DESCRIPTION, student().state_dict())
    content = json.loads((tmp_path / "model.json").read_text())
    del content["method"]["layer_decay"], content["text"]["register"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert load(tmp_path)[0] == DESCRIPTION
