"""Releases of more classes than a byte has, from their files to a result."""

import json

import pytest

from pipelines import cli
from tests.support.corpora import put
from tests.support.releases import (
    ADE_FULL_FILES,
    CONTEXT459_FILES,
    MAIN_FILES,
    STUFF_FILES,
)
from zeroseg.datasets.benchmarks import BENCHMARKS
from zeroseg.store.manifest import read_manifest

RELEASES = {
    "ade847": (ADE_FULL_FILES, ["ade20k-full"], [], {0: 1, 1: 1, 846: 43}),
    "pascal-context459": (
        MAIN_FILES | CONTEXT459_FILES,
        ["context"],
        ["--classes", "459"],
        {0: 1, 1: 1, 254: 1, 255: 1, 458: 43},
    ),
    "coco-stuff182": (
        STUFF_FILES,
        ["coco-stuff"],
        ["--ids", "182"],
        {0: 1, 89: 1, 11: 1, 91: 1, 181: 1},
    ),
}
"""Files, command line, and how many pixels each label has."""


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_built_checked_and_scored_with_all_its_classes(tmp_path, capsys, name):
    files, kind, options, pixels = RELEASES[name]
    put(str(tmp_path / "release"), files)
    shards = str(tmp_path / "shards")
    cli.main(
        ["shards", "build", *kind, str(tmp_path / "release"), shards, *options, "--workers", "0"]
    )
    cli.main(["shards", "check", shards])
    assert "nothing wrong" in capsys.readouterr().out
    manifest = read_manifest(shards)
    assert manifest is not None
    assert manifest.classes == BENCHMARKS[name].classes
    cli.main(
        ["evaluate", "clip:zeroseg-scenes::cells2", "--benchmark", name, "--shards", shards]
        + ["--protocol.name", "scenes", "--protocol.templates", "simple", "--examples", "0"]
        + ["--output", str(tmp_path / "run")]
    )
    (file,) = (tmp_path / "run/results").glob("*.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["classes"] == list(BENCHMARKS[name].classes)
    truth = {label: sum(row) for label, row in enumerate(result["confusion"]) if sum(row)}
    assert truth == pixels
    assert 0 <= result["scores"]["miou"] <= 1
