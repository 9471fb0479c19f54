"""`zeroseg segment --vocabulary`: pictures named from names that nobody chose for them."""

import json

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from shards.scenes import scene
from tests.support.training_runs import arguments, trained
from zeroseg.data.label_files import label_ids
from zeroseg.datasets.benchmarks import SCENES

CLIP = "clip:zeroseg-scenes:maskclip"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(scene(np.random.default_rng(4))[0]).save(path)
    return path


@pytest.fixture(scope="module")
def student(scenes, tmp_path_factory):
    """A run that has only begun to learn."""
    run = tmp_path_factory.mktemp("run") / "run"
    trained(arguments(scenes, run, 2))
    return run


def segmented(model, photo, output, *more: str) -> tuple[dict, np.ndarray]:
    """What is told of a picture, and its label map."""
    cli.main(["segment", str(model), str(photo), "--output", str(output), *more])
    told = json.loads((output / "photo.json").read_text(encoding="utf-8"))
    return told, label_ids((output / "photo.labels.png").read_bytes())


def checked(told: dict, labels: np.ndarray) -> None:
    """The segments of a picture agree with its label map and with themselves."""
    assert [one["label"] for one in told["segments"]] == np.unique(labels).tolist()
    for one in told["segments"]:
        assert one["share_of_pixels"] == pytest.approx((labels == one["label"]).mean(), abs=1e-4)
        assert one["name"] in one["class"].split(", ")
        scores = [one["score"], *(other["score"] for other in one["alternatives"])]
        assert scores == sorted(scores, reverse=True)
        assert len({one["name"], *(o["name"] for o in one["alternatives"])}) == len(scores)


def test_a_clip_finds_the_names_of_a_scene_among_many(photo, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(SCENES.names), encoding="utf-8")
    lists = ["--vocabulary", "context59", "voc20", str(names), "--shortlist", "24"]
    told, labels = segmented(CLIP, photo, tmp_path / "out", *lists, "--confidence")
    checked(told, labels)
    largest = max(told["segments"], key=lambda one: one["share_of_pixels"])
    assert largest["name"] in SCENES.names
    again, _ = segmented(CLIP, photo, tmp_path / "again", *lists, "--batch-size", "1")
    assert again["segments"] == told["segments"]


def test_a_clip_asked_about_every_name_says_what_it_says_of_classes(photo, tmp_path):
    plain = ["--protocol.softmax", "none"]
    _, classes = segmented(CLIP, photo, tmp_path / "a", "--classes", "scenes", *plain)
    asked = ["--vocabulary", "scenes", "--same-cosine", "1", "--shortlist", "99"]
    _, labels = segmented(CLIP, photo, tmp_path / "b", *asked, *plain)
    assert np.array_equal(labels, classes)


def test_a_student_names_its_segments(student, photo, tmp_path):
    more = ["--vocabulary", "scenes", "--same-cosine", "1", "--export", "coco"]
    told, labels = segmented(student, photo, tmp_path / "out", *more)
    checked(told, labels)
    exported = json.loads((tmp_path / "out/exports/coco.json").read_text(encoding="utf-8"))
    assert len(exported["annotations"]) == len(told["segments"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "--classes or --vocabulary: neither is there"),
        ("--vocabulary voc20 --classes cat,dog", "--classes or --vocabulary: both are there"),
        ("--vocabulary ade8470", "--vocabulary ade8470 cannot be read as text"),
        ("--vocabulary {}/empty.txt", "empty.txt has no name: write one in each line"),
        ("--vocabulary voc20 --background sky", "--background is of --classes"),
        ("--vocabulary voc20 --shortlist 0", "--shortlist is 0: at least 1"),
        ("--vocabulary voc20 --same-cosine 0", "--same-cosine is 0.0: it is above 0"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_refused_in_a_line(options, says, photo, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(SystemExit):
        segmented(CLIP, photo, tmp_path / "out", *options.format(tmp_path).split())
    said = capsys.readouterr().err.strip()
    assert says in said
    assert "\n" not in said
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_words_is_refused(photo, tmp_path, capsys):
    segmented(CLIP, photo, tmp_path / "out", "--classes", "grass, sky", "--no-overlays")
    with pytest.raises(SystemExit):
        segmented(CLIP, photo, tmp_path / "out", "--vocabulary", "scenes")
    assert "other settings (words, classes, shortlist, same_cosine)" in capsys.readouterr().err
