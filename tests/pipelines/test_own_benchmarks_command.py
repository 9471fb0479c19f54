"""Benchmark files and `own` wherever a command or a config takes a benchmark's name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.report.comparisons import comparison_of
from pipelines.report.runs import results_of
from pipelines.report.table import settings_of
from pipelines.segment import words_of
from shards import scenes
from shards.build import Limits, build
from zeroseg.data.augmentation import Augmentation
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.errors import InputError
from zeroseg.evaluation.pseudo_labels import PseudoLabels
from zeroseg.evaluation.watching import Watch
from zeroseg.methods.supervision import Supervision
from zeroseg.records import from_json, to_json
from zeroseg.store.manifest import read_manifest

CELLS = "clip:zeroseg-scenes::cells2"
FILE = {"name": "mine", "classes": SCENES.classes, "unseen": sorted(SCENES.unseen)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    build(scenes.Scenes("val", 3).source(), str(folder), Limits(workers=0))
    return folder


def file(folder: Path, **changed) -> str:
    path = folder / "mine.json"
    path.write_text(json.dumps(FILE | changed))
    return str(path)


def evaluate(shards: Path, benchmark: str, output: Path, model: str = CELLS) -> None:
    args = ["evaluate", model, "--benchmark", benchmark, "--shards", str(shards)]
    cli.main([*args, "--protocol.name", "scenes", "--output", str(output), "--examples", "1"])


def test_own_and_a_file_of_the_same_classes_score_as_the_benchmark_under_other_names(
    shards, tmp_path
):
    for number, name in enumerate(("scenes", "own", file(tmp_path))):
        evaluate(shards, name, tmp_path / str(number))
    known, own, filed = (results_of(tmp_path / str(n), str(n))[0].result for n in range(3))
    assert own.scores.miou == known.scores.miou == filed.scores.miou
    assert (own.scores.hiou, filed.scores.hiou) == (None, known.scores.hiou)
    assert known.benchmark == "scenes"
    assert re.fullmatch("own-[0-9a-f]{6}", own.benchmark)
    assert re.fullmatch("mine-[0-9a-f]{6}", filed.benchmark)
    assert len(settings_of([known, own, filed])) == 3
    assert set(filed.unseen) == SCENES.unseen


def test_a_file_that_changed_gives_another_result_beside_the_first(shards, tmp_path):
    evaluate(shards, file(tmp_path), tmp_path)
    evaluate(shards, file(tmp_path, unseen=[]), tmp_path)
    found = [entry.result for entry in results_of(tmp_path, "x")]
    assert len({result.benchmark for result in found}) == len(found) == 2
    assert len(settings_of(found)) == 2
    assert len(list((tmp_path / "examples").iterdir())) == 2


def test_results_on_a_file_are_compared_by_what_it_says_is_unseen(shards, tmp_path):
    for model in (CELLS, "clip:zeroseg-scenes::whole"):
        evaluate(shards, file(tmp_path), tmp_path, model)
    first, second = results_of(tmp_path, "x")
    found = comparison_of(first, second, "hiou")
    assert found is not None
    expected = 100 * (first.result.scores.hiou - second.result.scores.hiou)
    assert found.difference == pytest.approx(expected)


def test_own_is_refused_where_shards_name_no_classes(shards, tmp_path, capsys):
    for path in shards.glob("*.tar"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SystemExit):
        evaluate(tmp_path, "own", tmp_path / "out")
    assert "is not labelled" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [Supervision, Watch, PseudoLabels])
def test_a_config_that_names_a_file_is_the_same_when_the_file_is_gone(tmp_path, kind):
    path = file(tmp_path)
    given = {
        Supervision: {"split": path, "augmentation": Augmentation(size=32)},
        Watch: {"benchmark": path, "shards": "x", "every": 1},
        PseudoLabels: {"benchmark": path, "shards": "x", "model": "y", "output": "z"},
    }[kind]
    config = kind(**given)
    Path(path).unlink()
    again = from_json(kind, json.loads(json.dumps(to_json(config))), "config.json")
    assert again == config
    assert replace(again) == config
    if kind is Supervision:
        assert again.benchmark.unseen == SCENES.unseen


def test_a_benchmark_that_training_cannot_take_is_refused(tmp_path):
    with pytest.raises(InputError, match="no unseen classes"):
        Supervision(split=file(tmp_path, unseen=[]), augmentation=Augmentation(size=32))
    with pytest.raises(InputError, match="manifest of labelled shards"):
        Supervision(split="own", augmentation=Augmentation(size=32))


def test_what_leaves_out_unseen_classes_takes_a_file(shards, tmp_path):
    args = ["shards", "build", "scenes", "labelled", str(tmp_path / "out"), "--workers", "0"]
    cli.main([*args, "--images", "8", "--without", file(tmp_path)])
    manifest = read_manifest(str(tmp_path / "out"))
    assert manifest is not None
    assert manifest.built_from["without"].startswith("mine-")
    assert manifest.left_out


def test_segment_takes_the_words_of_a_file(tmp_path):
    path = file(tmp_path, classes=["background", "cup|mug", "fork"], unseen=[])
    assert words_of(path) == ["cup, mug", "fork"]
    assert words_of("cup|mug, ,fork") == ["cup|mug", "fork"]
