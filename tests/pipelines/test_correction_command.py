"""`--correction`: stated or chosen on held-out data, named in the result, and its cost told."""

import json
from pathlib import Path

import pytest
import torch

import zeroseg
from pipelines import cli
from shards import scenes
from shards.build import Limits, build
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.results import read_result
from zeroseg.methods.distillation import Distillation
from zeroseg.methods.saved import ModelDescription, save
from zeroseg.models.clip import CLIPConfig
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSegConfig
from zeroseg.training.objectives import ViewComposition
from zeroseg.training.teacher import OnlineTeacher

TEACHER = CLIPConfig(architecture="zeroseg-scenes", weights="")
TRUNK = ViT(patch_size=8, width=8, depth=1, num_heads=2)
SMALL = ZeroSegConfig(
    image_size=16, trunk=TRUNK, embed_dim=64, decoder_depth=0, patch_embeddings=True
)
FEW_VIEWS = ["--correction.views.grids", "1", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Labelled scenes, and a student that has learnt nothing."""
    folder = tmp_path_factory.mktemp("scenes")
    for split in ("val", "test"):
        build(scenes.Scenes(split, 6).source(), str(folder / split), Limits(images_per_shard=6))
    method = Distillation(
        student=SMALL, teacher=OnlineTeacher(clip=TEACHER), losses=ViewComposition()
    )
    torch.manual_seed(0)
    description = ModelDescription(method=method, text=TEACHER)
    save(folder / "run/model", description, method.model().state_dict())
    return folder


def scored(folder: Path, output: Path, *more: str, model: str = "") -> list:
    """Evaluate, and read every result of the folder."""
    args = [model or str(folder / "run"), "--benchmark", "scenes", "--shards", f"{folder}/test"]
    args += ["--protocol.name", "scenes", "--output", str(output), "--examples", "0", *more]
    cli.main(["evaluate", *args])
    return [read_result(str(file)) for file in sorted(output.glob("results/*.json"))]


def test_a_result_says_that_the_teacher_was_there_and_what_it_was_shown(folder, tmp_path, capsys):
    asked = ["--readout", "combined", "--correction", "solve", "--correction.noise", "0.25"]
    (found,) = scored(folder, tmp_path, *asked, *FEW_VIEWS)
    says = "student combined of run, solve, noise 0.25, views 1x1, 2x2, teacher at test"
    assert found.name == says
    correction = found.model.correction
    assert (found.model.readout, correction.kind, correction.noise) == ("combined", "solve", 0.25)
    assert correction.views.grids == (1, 2)
    assert found.correction_chosen_on is None
    printed = " ".join(capsys.readouterr().out.split())
    assert "an image took: student" in printed
    assert "ms, teacher's views" in printed


def test_with_and_without_a_teacher_are_results_of_their_own(folder, tmp_path):
    scored(folder, tmp_path, "--correction", "none")
    both = scored(folder, tmp_path, "--correction", "mean", *FEW_VIEWS)
    alone, corrected = sorted(both, key=lambda result: len(result.name))
    assert (alone.name, alone.model.correction) == ("student patches of run", None)
    assert corrected.scores.miou > alone.scores.miou  # a student that knows nothing has to gain


def test_held_out_data_chooses_the_kind_and_is_named(folder, tmp_path, capsys):
    held_out = ["--held-out", f"{folder}/val", "--held-out-benchmark", "scenes"]
    (found,) = scored(folder, tmp_path, "--correction", "held-out", *held_out, *FEW_VIEWS)
    assert found.correction_chosen_on == f"scenes: {folder}/val"
    assert not list(tmp_path.glob("results/.parts*"))
    kind = found.model.correction.kind
    assert f"correction {kind} (scenes: {folder}/val)" in " ".join(capsys.readouterr().out.split())
    stated = {}
    for each in ("none", "mean", "solve", "fused"):
        output = tmp_path / each
        more = ["--shards", f"{folder}/val", "--correction", each, *FEW_VIEWS]
        (result,) = scored(folder, output, *more)
        stated[each] = result.scores.miou
    assert stated[kind] == max(stated.values())


def test_threshold_and_correction_are_chosen_together(folder, tmp_path):
    held_out = ["--held-out", f"{folder}/val", "--held-out-benchmark", "scenes-objects"]
    objects = ["--benchmark", "scenes-objects", "--correction", "held-out", *held_out, *FEW_VIEWS]
    (found,) = scored(folder, tmp_path, *objects)
    assert (
        found.threshold.chosen_on == found.correction_chosen_on == f"scenes-objects: {folder}/val"
    )


@pytest.mark.parametrize(
    ("model", "more", "named"),
    [
        ("", ["--correction", "held-out"], "--correction is held-out: give --held-out"),
        ("clip:zeroseg-scenes::maskclip", ["--correction", "solve"], "only a student is corrected"),
        ("", ["--correction", "mean", "--correction.share", "-1"], "correction.share is -1.0"),
    ],
)
def test_what_cannot_be_corrected_is_an_error_before_anything_is_scored(
    folder, tmp_path, capsys, model, more, named
):
    with pytest.raises(SystemExit):
        scored(folder, tmp_path / "out", *more, model=model)
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_picture_is_segmented_with_the_teacher_at_test(folder, tmp_path):
    picture = next(iter(scenes.draw(scenes.SPLITS["test"], 0))).image
    (tmp_path / "photo.jpg").write_bytes(picture)
    words = SCENES.classes[:4]
    args = [str(folder / "run"), str(tmp_path / "photo.jpg"), "--classes", ",".join(words)]
    cli.main(["segment", *args, "--output", str(tmp_path), "--correction", "solve"])
    shares = json.loads((tmp_path / "photo.json").read_text())["share_of_pixels"]
    model = zeroseg.load(folder / "run")
    labels = model.segment(tmp_path / "photo.jpg", words, correction="solve")
    assert shares == {w: round(float((labels == i).float().mean()), 4) for i, w in enumerate(words)}
    stated = model.segment(tmp_path / "photo.jpg", words, correction=Correction(kind="solve"))
    assert torch.equal(stated, labels)
    with pytest.raises(zeroseg.InputError, match="is held-out: choose"):
        model.segment(tmp_path / "photo.jpg", words, correction="held-out")
    with pytest.raises(zeroseg.InputError, match="only a student is corrected"):
        zeroseg.load("clip:zeroseg-scenes::raw").segmenter("", "mean")
