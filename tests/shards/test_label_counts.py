"""`shards check --benchmark`: what a set has of each class, and which labels nobody knows."""

import json

import numpy as np
import pytest

from pipelines import cli
from shards.build import Limits, build
from shards.sample import Sample, Source
from tests.support.corpora import picture
from tests.support.damage import packed
from tests.support.damage import picture as other_picture
from zeroseg.data.label_files import encode_labels
from zeroseg.datasets.benchmarks import IGNORE

CLASSES = ("background", "cup", "fork", "plate")
MAPS = (
    [[0, 0, 1, 1, 1, IGNORE]] * 8,
    [[1, 1, 1, 1, 1, 2]] * 8,
    [[IGNORE] * 6] * 8,
)


def read(number: int) -> list[Sample]:
    return [Sample(f"k{number}", picture(number), encode_labels(np.array(MAPS[number])))]


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "set"
    source = Source(units=range(len(MAPS)), read=read, classes=CLASSES)
    build(source, str(folder), Limits(images_per_shard=2, workers=0))
    return folder


def check(capsys, spec, *more) -> tuple[int, list[str]]:
    capsys.readouterr()
    status = 0
    try:
        cli.main(["shards", "check", str(spec), "--workers", "0", *more])
    except SystemExit as stop:
        status = stop.code
    return status, capsys.readouterr().out.splitlines()


def row(lines, name) -> list[str]:
    (line,) = [line for line in lines if line.endswith(f"  {name}")]
    return line.removesuffix(name).split()


def test_each_class_has_its_pixels_their_share_and_its_images(shards, capsys):
    status, lines = check(capsys, shards, "--benchmark", "own")
    assert status == 0
    assert row(lines, "background") == ["16", "18.18", "1"]
    assert row(lines, "cup") == ["64", "72.73", "2"]
    assert row(lines, "fork") == ["8", "9.09", "1"]
    assert row(lines, "plate") == ["0", "0.00", "0"]
    assert row(lines, "(ignored)") == ["56", "2"]
    assert "1 of 4 classes never occur: plate" in lines
    assert check(capsys, shards)[1] == lines[:1]


def test_a_narrower_benchmark_counts_by_name_and_each_image_once(shards, tmp_path, capsys):
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"name": "b", "classes": ["background", "fork", "plate"]}))
    status, lines = check(capsys, shards, "--benchmark", str(file))
    assert (status, row(lines, "background")) == (0, ["80", "90.91", "2"])


def test_labels_that_are_unknown_are_told_and_end_with_1(tmp_path, capsys):
    labels = encode_labels(np.where(np.arange(24) < 3, 300, 1) * np.ones((16, 1), np.int64))
    members = [("a.jpg", other_picture(1)), ("a.png", labels)]
    packed(tmp_path / "set", members)
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"name": "b", "classes": ["cup", "fork"]}))
    status, lines = check(capsys, tmp_path / "set", "--benchmark", str(file))
    assert status == 1
    assert lines[0].endswith("nothing wrong")
    assert lines[-1] == "label 300 is unknown: 48 pixels in 1 images"
    assert row(lines, "fork") == ["336", "100.00", "1"]


def test_damaged_maps_are_what_the_check_says_and_count_nothing(tmp_path, capsys):
    members = [("a.jpg", other_picture(1)), ("a.png", b"torn"), ("b.jpg", other_picture(2))]
    packed(tmp_path / "set", members, classes=CLASSES)
    status, lines = check(capsys, tmp_path / "set", "--benchmark", "own")
    assert status == 1
    assert row(lines, "cup") == ["0", "0.00", "0"]


def test_a_benchmark_that_does_not_fit_is_refused_before_anything_is_read(shards, capsys):
    for name, said in (("voc21", "choose the benchmark"), ("voc22", "unknown")):
        with pytest.raises(SystemExit):
            cli.main(["shards", "check", str(shards), "--benchmark", name])
        assert said in capsys.readouterr().err
