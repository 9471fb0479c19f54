"""`zeroseg export`: one file for all sizes and words, which answers as the model that it was made of."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

import zeroseg
from pipelines import cli
from pipelines.export import drawn
from tests.support.jobs import done, program
from tests.support.queries import queries
from tests.support.training_runs import arguments, trained
from zeroseg import CLIP, CLIPConfig, InputError
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.evaluation.closed_vocabulary import ClosedVocabulary
from zeroseg.evaluation.segmenters import METHODS, clip_segmenter
from zeroseg.export.agreement import Agreement
from zeroseg.export.description import KEY, LIMITS
from zeroseg.export.graph import image_graph
from zeroseg.export.session import text_file

STUFF = ["grass", "sky", "water", "sand"]
MANY = [*STUFF, "red circle|crimson disc", "blue square", "a lilac heart"]


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "x"
    trained(arguments(scenes, folder, 2))
    return folder


def commands(*every: list[str]) -> None:
    """What a process does: one export costs twice as much in a process of its own."""
    for words in every:
        program("pipelines.cli", ["export", *words])


@pytest.fixture(scope="module")
def exports(run):
    """A folder of the student in each precision, and of a CLIP as torch's program."""
    out = run.parent
    words = [
        ["onnx", str(run), f"{out}/{'student' if p == 'fp32' else p}.onnx", "--precision", p]
        for p in LIMITS
    ]
    words[0] += ["--licence", "CC0-1.0"]
    said = done(commands, *words, ["torch", "clip:zeroseg-scenes:naclip", f"{out}/naclip.pt2"])
    assert said.count("% of 59136 pixels unlike torch's") == len(LIMITS)
    return out


@pytest.fixture(scope="module")
def file(exports):
    return exports / "student.onnx"


@pytest.fixture
def copy(file, tmp_path):
    for each in (file, text_file(file)):
        shutil.copy(each, tmp_path)
    return tmp_path / file.name


@pytest.fixture(scope="module")
def clip():
    return CLIP(CLIPConfig(architecture="zeroseg-scenes", weights="", precision="fp32"))


def test_no_vocabulary_is_asked_for_without_an_image_tower(file):
    with pytest.raises(InputError, match="no image tower"):
        zeroseg.load(file).open_vocabulary(MANY)


@pytest.mark.parametrize("names", [STUFF, MANY], ids=len)
def test_one_file_answers_as_torch_does_for_any_size_and_any_words(run, file, names):
    torchs, files = zeroseg.load(run, device="cpu"), zeroseg.load(file)
    for picture in drawn()[:3]:
        found, wanted = files.scores(picture, names), torchs.scores(picture, names)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
        labels = files.segment(picture, names)
        assert labels.shape == picture.shape[1:]
        assert (labels != torchs.segment(picture, names)).float().mean() <= LIMITS["fp32"]


def test_windows_of_a_protocol_are_shared_code(run, file):
    protocol = zeroseg.ProtocolConfig(name="photo", short_side=112, window=64, stride=32)
    picture = drawn()[1]
    found = [
        zeroseg.load(m, device="cpu").segment(picture, STUFF, background=0.3, protocol=protocol)
        for m in (run, file)
    ]
    assert (found[0] != found[1]).float().mean() <= LIMITS["fp32"]


def test_a_file_says_what_it_is(file):
    model = onnx.load(file)
    about = json.loads({p.key: p.value for p in model.metadata_props}[KEY])
    assert (about["method"], about["readout"], about["multiple"]) == ("student", "patches", 8)
    assert about["licence"] == "CC0-1.0"
    assert about["differing"] <= LIMITS["fp32"]
    assert about["checked_pixels"] == 59136
    assert len(about["mean"]) == len(about["std"]) == 3
    assert {"commit", "zeroseg", "torch"} <= about["code"].keys()
    free = [[d.dim_param != "" for d in i.type.tensor_type.shape.dim] for i in model.graph.input]
    assert free == [[True, False, True, True], [True, False]]


def test_segment_takes_a_file(file, tmp_path):
    Image.fromarray(drawn()[0].permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    words = ["segment", str(file), str(tmp_path / "photo.png"), "--classes", ",".join(STUFF)]
    cli.main([*words, "--output", str(tmp_path)])
    labels = np.array(Image.open(tmp_path / "photo.labels.png"))
    assert np.array_equal(labels, zeroseg.load(file).segment(tmp_path / "photo.png", STUFF).numpy())


def test_a_picture_that_is_too_thin_for_a_file_is_named_and_stops_no_other(file, tmp_path):
    Image.new("RGB", (400, 1)).save(tmp_path / "thin.png")
    Image.new("RGB", (60, 50)).save(tmp_path / "wide.png")
    words = ["segment", str(file), str(tmp_path), "--classes", ",".join(STUFF)]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--output", str(tmp_path / "out")])
    assert stop.value.code == 1
    assert "takes sides from 16" in (tmp_path / "out/unreadable.txt").read_text()
    assert (tmp_path / "out/wide.labels.png").exists()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_weights_answer_within_their_limit(run, exports, file, precision):
    small = exports / f"{precision}.onnx"
    assert small.stat().st_size < 0.8 * file.stat().st_size
    about = json.loads({p.key: p.value for p in onnx.load(small).metadata_props}[KEY])
    assert about["precision"] == precision
    assert 0 < about["differing"] <= LIMITS[precision]
    torchs, files = zeroseg.load(run, device="cpu"), zeroseg.load(small)
    wanted, found = (model.segment(drawn()[0], list(SCENES.classes)) for model in (torchs, files))
    assert (found != wanted).float().mean() <= LIMITS[precision]


def test_a_share_of_other_labels_is_refused_with_its_number():
    Agreement(1000, 1).check("fp32")
    with pytest.raises(InputError, match=r"^0\.20 % of 1000 pixels .* fp32 is 0\.1 %"):
        Agreement(1000, 2).check("fp32")
    Agreement(1000, 10).check("fp16")
    with pytest.raises(InputError, match="choose a higher --precision"):
        Agreement(1000, 101).check("int8")


def test_broken_and_foreign_files_are_one_line(copy):
    copy.write_bytes(copy.read_bytes()[:5000])
    with pytest.raises(InputError, match="is no ONNX file that can be run"):
        zeroseg.load(copy)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [value], [other])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), copy)
    with pytest.raises(InputError, match="of another tool"):
        zeroseg.load(copy)
    with pytest.raises(InputError, match="does not exist"):
        zeroseg.load(copy.with_name("none.onnx"))


def test_another_text_tower_or_none_is_one_line(copy):
    text = text_file(copy)
    model = onnx.load(text)
    about = json.loads(model.metadata_props[0].value)
    helper.set_model_props(model, {KEY: json.dumps(about | {"clip": "of the same width"})})
    onnx.save(model, text)
    with pytest.raises(InputError, match=r"is not the text tower that .* was exported with"):
        zeroseg.load(copy)
    text.unlink()
    with pytest.raises(InputError, match=r"student\.text\.onnx does not exist"):
        zeroseg.load(copy)


def test_a_file_has_one_readout_and_no_teacher_and_its_own_width(file):
    model = zeroseg.load(file)
    with pytest.raises(InputError, match="this file is of patches"):
        model.segmenter("segments")
    with pytest.raises(InputError, match="no teacher"):
        model.segmenter(correction="mean")
    with pytest.raises(InputError, match="have 32 dimensions, the graph takes 64"):
        model.segmenter().predict(torch.rand(1, 3, 48, 48), queries(torch.eye(4, 32)))
    with pytest.raises(InputError, match="sides from 16"):
        model.segmenter().predict(torch.rand(1, 3, 8, 48), queries(torch.eye(4, 64)))


def test_models_that_are_no_graph_are_refused_with_the_reason(clip):
    goes = {"raw", "maskclip", "sclip", "naclip", "clearclip"}
    for method in METHODS:
        segmenter = clip_segmenter(clip, method)
        if method in goes:
            image_graph(segmenter)
        else:
            with pytest.raises(InputError, match="many views"):
                image_graph(segmenter)
    with pytest.raises(InputError, match="by name"):
        image_graph(ClosedVocabulary(lambda x: x, ("a",), frozenset({0}), 4))


def test_a_program_of_torch_answers_as_the_model(clip, exports):
    path = exports / "naclip.pt2"
    extra = {f"{KEY}.json": ""}
    graph = torch.export.load(path, extra_files=extra).module(check_guards=False)
    assert json.loads(extra[f"{KEY}.json"])["method"] == "clip"
    for shape in ((1, 3, 48, 48), (3, 3, 56, 80)):
        images, asked = torch.rand(*shape), queries(torch.eye(6, 64))
        wanted = clip_segmenter(clip, "naclip").predict(images, asked)
        torch.testing.assert_close(graph(images, asked.embeddings), wanted, atol=1e-5, rtol=1e-4)
    tokens = clip.tokenizer(["a red car"])
    graph = torch.export.load(text_file(path)).module(check_guards=False)
    torch.testing.assert_close(graph(tokens), clip.encode_text(["a red car"]), atol=1e-5, rtol=1e-4)


def test_words_that_are_no_classes_are_refused_before_the_model_is_opened(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["export", "onnx", "nowhere", str(tmp_path / "x.onnx"), "--classes", "cat"])
    assert "nowhere" not in capsys.readouterr().err


def test_a_name_of_another_kind_is_refused_before_anything(tmp_path):
    with pytest.raises(SystemExit):
        cli.main(["export", "onnx", "clip:zeroseg-scenes:maskclip", str(tmp_path / "x.pt2")])
    assert not any(tmp_path.iterdir())
