"""Whether a run's images were cleaned of a benchmark's: from the selection to the report's page."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.report.page import report
from pipelines.report.runs import results_of
from pipelines.report.table import table_of
from pipelines.run.decontamination import NAME, record, recorded
from pipelines.run.stages import moved
from shards.build import Limits, build
from shards.scenes import Scenes
from tests.support.scored_runs import content, without, write
from tests.support.training_runs import ROOT, arguments
from zeroseg.config import read_config, read_stages
from zeroseg.evaluation.results import read_result
from zeroseg.methods.saved import load
from zeroseg.store.decontamination import Decontamination
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

ON = ["--benchmark", "scenes", "--protocol.name", "scenes", "--examples", "0"]
VERDICTS = ("decontaminated", "not decontaminated", "not known")


def cleaned(**against: str) -> Decontamination:
    return Decontamination(against=against, against_cosine=0.93, same_picture=0.98)


@pytest.fixture(scope="module")
def runs(scenes, tmp_path_factory) -> Path:
    """`clean` was trained on a selection made against the test split, `plain` on everything; both are scored
    there, and `clean` on other images too, into `elsewhere`."""
    folder = tmp_path_factory.mktemp("runs")
    for split, images in (("test", 4), ("val", 2)):
        build(Scenes(split, images).source(), f"{folder}/{split}", Limits(workers=0))
    chosen = ["--against", f"{folder}/test", "--against-cosine", "1", "--workers", "0"]
    cli.main(["curate", f"{scenes}/train", *chosen, "--output", f"{folder}/chosen"])
    for name, more in (("clean", ["--data.selection", f"{folder}/chosen"]), ("plain", [])):
        cli.main(["train", *arguments(scenes, folder / name, 2, *more)])
        cli.main(["evaluate", f"{folder}/{name}", "--shards", f"{folder}/test", *ON])
    elsewhere = ["--shards", f"{folder}/val", *ON, "--output", f"{folder}/elsewhere"]
    cli.main(["evaluate", f"{folder}/clean", *elsewhere])
    return folder


def test_run_model_and_result_say_what_the_images_were_cleaned_of(runs):
    test = open_set(f"{runs}/test", ShardCache())
    told = Decontamination(
        against={f"{runs}/test": test.fingerprint}, against_cosine=1.0, same_picture=0.98
    )
    assert recorded(runs / "clean") == load(runs / "clean")[0].decontamination == told
    assert recorded(runs / "plain") == load(runs / "plain")[0].decontamination == Decontamination()
    verdicts = {
        name: read_result(str(*runs.glob(f"{name}/results/*.json"))).decontaminated
        for name in ("clean", "plain", "elsewhere")
    }
    assert verdicts == {"clean": True, "plain": False, "elsewhere": False}


def test_the_page_says_it_of_every_row_once_a_benchmark_and_columns_stay_one(runs, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(runs / "plain", old)
    (file,) = old.glob("results/*.json")
    fields = json.loads(file.read_text())
    file.write_text(json.dumps(without(without(fields, "decontamination"), "shards_fingerprint")))
    folders = [runs / "clean", runs / "plain", runs / "elsewhere", old]
    table = table_of([entry for folder in folders for entry in results_of(folder, folder.name)])
    said = {row.run: {cell.decontaminated for cell in row.cells if cell} for row in table.rows}
    yes, no, unknown = VERDICTS
    assert said == {"clean": {yes}, "plain": {no}, "elsewhere": {no}, "old": {unknown}}
    assert len(table.groups) == 2  # of the two sets of images
    page = report(folders, tmp_path / "report.html").read_text()
    firsts = [name == group.scores[0] for group, name in table.columns]
    cells = [
        cell.decontaminated
        for row in table.rows
        for cell, first in zip(row.cells, firsts, strict=True)
        if cell and first
    ]
    for verdict in VERDICTS:
        assert page.count(f'cleaned">{verdict}</span>') == cells.count(verdict)
    assert f"{VERDICTS[0]} (cleaned of {runs}/test: files, thumbnails from cosine 0.98)" in page


def test_a_result_without_training_or_of_an_earlier_version_is_not_known(tmp_path):
    fields = content("one", ("cat", "dog"), [[9, 1], [1, 9]])
    run = write(tmp_path, fields, without(fields, "decontamination"))
    assert [entry.result.decontaminated for entry in results_of(run, "run")] == [None, None]


def test_a_model_of_an_earlier_version_loads_and_is_not_known(runs, tmp_path):
    shutil.copytree(runs / "clean/model", tmp_path / "model")
    file = tmp_path / "model/model.json"
    file.write_text(json.dumps(without(json.loads(file.read_text()), "decontamination")))
    assert load(tmp_path)[0].decontamination is None


def test_a_run_that_goes_on_knows_no_more_than_it_began_with(runs, tmp_path):
    config = read_config(str(runs / "clean/config.json"))
    config = dataclasses.replace(config, output=tmp_path)
    record(config, begun=True)  # by a version before
    assert recorded(tmp_path) is None
    record(config, begun=False)
    first = (tmp_path / NAME).read_bytes()
    record(config, begun=True)
    assert (tmp_path / NAME).read_bytes() == first == (runs / "clean" / NAME).read_bytes()
    everything = dataclasses.replace(config, data=dataclasses.replace(config.data, selection=""))
    record(everything, begun=True)
    assert recorded(tmp_path).against == {}


@pytest.mark.parametrize(
    ("before", "known"), [(cleaned(test="a"), {}), (Decontamination(), {}), (None, None)]
)
def test_a_stage_knows_no_more_than_the_model_that_it_starts_from(tmp_path, before, known):
    stages = moved(read_stages(str(ROOT / "configs/scenes_zs3net.py")), tmp_path)
    folder = tmp_path / "seen/model"
    folder.mkdir(parents=True)
    told = None if before is None else dataclasses.asdict(before)
    (folder / "model.json").write_text(json.dumps({"decontamination": told}))
    record(stages["generator"], begun=False)
    found = recorded(Path(stages["generator"].output))
    assert (None if found is None else found.against) == known


def test_of_two_trainings_what_both_were_cleaned_of_holds_by_the_higher_cosines():
    one, two = cleaned(voc="a", ade="b"), Decontamination(against={"other": "b"}, same_picture=0.9)
    both = Decontamination(against={"ade": "b"}, against_cosine=1.0, same_picture=0.98)
    assert one.both(two) == both
    assert both.holds("b")
    assert not both.holds("a")
    assert one.both(one) == one


def test_the_fingerprint_is_of_the_content_wherever_it_is(runs, tmp_path):
    shutil.copytree(runs / "test", tmp_path / "elsewhere")
    test, val = (open_set(f"{runs}/{name}", ShardCache()) for name in ("test", "val"))
    assert open_set(f"{tmp_path}/elsewhere", ShardCache()).fingerprint == test.fingerprint
    assert val.fingerprint != test.fingerprint
