"""docs/evaluation.md's example of one's own photos, run as it is written but for the CLIP, which is the embedded one."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from zeroseg.datasets.own_benchmarks import benchmark_named

PAGE = Path(__file__).parents[2] / "docs/evaluation.md"
SECTION = PAGE.read_text().split("### Your own photos and classes")[1].split("\n##")[0]
BLOCKS = re.findall(r"(?:^    .*\n)+", SECTION, re.M)
NAMES, COMMANDS, TABLE, FILE = BLOCKS


@pytest.fixture
def kitchen(tmp_path, monkeypatch) -> Path:
    """Ten photos of 64x48: a cup in each, in every other one a fork, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        labels = np.zeros((48, 64), np.uint8)
        labels[4:20, 4:28] = 1
        labels[24:48, 32:64] = 2 * (number % 2)
        pixels[labels == 1], pixels[labels == 2] = (210, 30, 30), (30, 30, 210)
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.jpg")
        Image.fromarray(labels).save(tmp_path / f"masks/{number}_mask.png")
    (tmp_path / "names.txt").write_text(re.sub("^    ", "", NAMES, flags=re.M))
    return tmp_path


def test_the_example_builds_checks_and_scores_ten_photos(kitchen, capsys):
    said = []
    for command in COMMANDS.splitlines():
        words = shlex.split(
            command.replace("clip:ViT-B-16:openai:sclip", "clip:zeroseg-scenes::cells2")
        )
        assert words[0] == "zeroseg"
        cli.main(words[1:])
        said.append(capsys.readouterr().out)
    assert said[0] == "data/kitchen: 10 images in 1 shards\n"
    lines = [line.split() for line in said[1].splitlines()]
    assert [line.split() for line in TABLE.splitlines()] == lines[1:]
    (result,) = (kitchen / "runs/kitchen/results").glob("own-*.json")
    content = json.loads(result.read_text())
    assert content["classes"] == ["background", "cup, mug", "fork", "plate"]
    assert content["words"]["queries"] == ["cup, mug", "fork", "plate"]
    assert content["scores"]["images"] == 10


def test_the_file_of_the_example_is_a_benchmark(tmp_path):
    (tmp_path / "kitchen.json").write_text(FILE)
    found = benchmark_named(str(tmp_path / "kitchen.json"))
    assert found.classes == ("background", "cup, mug", "fork", "plate")
    assert found.unseen == {"plate"}
    assert found.name in SECTION
