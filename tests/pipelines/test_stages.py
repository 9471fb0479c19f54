"""Stages in order, gone on with where they were stopped, and refused where they were changed."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.run.paths import repointed
from pipelines.run.stages import RECORD, is_done, moved, record, run_stages
from pipelines.stages import main, stages_of
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import Job, done, program
from tests.support.training_runs import rows, wait_for
from zeroseg.config import read_config, read_stages
from zeroseg.errors import InputError

CONFIG = """
import dataclasses
from pathlib import Path

from configs.scenes_scratch import config as SCRATCH
from zeroseg import TrunkWeights, ViT

small = dataclasses.replace(SCRATCH.method.student, trunk=ViT(width=32, depth=1, num_heads=2, patch_size=8))
small = dataclasses.replace(small, head_layers=(0, 0, 0))
method = dataclasses.replace(SCRATCH.method, student=small)
shards = {shards!r}
first = dataclasses.replace(
    SCRATCH,
    method=method,
    data=dataclasses.replace(SCRATCH.data, shards=shards, batch_size=4),
    steps=3,
    log_every=1,
    trackers=(),
    output=Path("runs/staged/first"),
)
weights = "runs/staged/first/model/trunk.safetensors"
second = dataclasses.replace(first, steps=2, seed=5, output=Path("runs/staged/second"))
stages = {{"first": first, "second": second}}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("staged")
    source = scenes.Scenes("train", 12).source()
    build(source, str(folder / "train"), Limits(images_per_shard=12, workers=0))
    (folder / "staged.py").write_text(CONFIG.format(shards=f"{folder}/train"))
    return str(folder / "staged.py")


def run(config: str, output: Path, *more: str, ranks: int = 1) -> str:
    return done(program, "pipelines.stages", [config, "--output", str(output), *more], ranks=ranks)


def run_refused(config: str, output: Path, *more: str) -> str:
    stages, options = stages_of([config, "--output", str(output), *more])
    with pytest.raises(InputError) as caught:
        run_stages(stages, options.only)
    return str(caught.value)


def recorded(stages: dict, name: str) -> dict:
    """The stages, of which one is said to be done."""
    Path(stages[name].output).mkdir(parents=True, exist_ok=True)
    record(stages, name)
    return stages


def refused(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        stages_of(arguments)
    return str(caught.value)


def test_stages_run_in_order_and_what_is_done_is_left_alone(config, tmp_path):
    said = run(config, tmp_path, "--only", "first")
    assert "stage 1 of 2, first: into" in said
    assert not (tmp_path / "second").exists()
    before = (tmp_path / "first/model/model.safetensors").stat().st_mtime_ns
    said = run(config, tmp_path)
    assert "first: done" in said
    assert "second: into" in said
    assert len(rows(tmp_path / "second")) == 2
    assert (tmp_path / "first/model/model.safetensors").stat().st_mtime_ns == before
    assert is_done(moved(read_stages(config), tmp_path), "second")


def test_stopped_in_a_stage_it_exits_with_75_and_goes_on_there(config, tmp_path):
    arguments = [config, "--output", str(tmp_path), "--second.steps", "2000"]
    job = Job(program, "pipelines.stages", arguments)
    wait_for(job, tmp_path / "second", 2)
    job.send(signal.SIGTERM)
    job.ended()
    assert job.statuses == [75]
    assert (tmp_path / "first" / RECORD).is_file()
    assert not (tmp_path / "second" / RECORD).exists()
    steps = ["--second.steps", str(rows(tmp_path / "second")[-1]["step"] + 1)]
    change = run_refused(config, tmp_path, *steps)
    assert "stage second: cannot go on" in change


def test_a_done_stage_that_changed_is_refused_by_its_fields(config, tmp_path):
    stages = recorded(moved(read_stages(config), tmp_path), "first")
    changed = stages | {"first": replace(stages["first"], steps=4)}
    with pytest.raises(InputError, match=r"done in .*first, but steps: 3 -> 4: remove that folder"):
        run_stages(changed)


def test_a_stage_made_from_another_model_is_refused(config, tmp_path):
    stages = moved(read_stages(config), tmp_path)
    weights = tmp_path / "first/model/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    # Any field that holds a path says what a stage is made from.
    stages["second"] = replace(stages["second"], project=str(weights.parent))
    recorded(stages, "second")
    assert "<first>/model" in (tmp_path / "second" / RECORD).read_text()
    assert is_done(stages, "second")
    weights.write_bytes(b"two")
    with pytest.raises(InputError, match="it was made from another first"):
        is_done(stages, "second")


def test_outputs_move_with_the_paths_that_point_among_them(config):
    stages = read_stages(config)
    both = replace(stages["second"].data, shards="runs/staged/first::data/x::runs/staged/firsts")
    stages["second"] = replace(stages["second"], data=both)
    found = moved(stages, Path("/elsewhere"))["second"]
    assert found.output == Path("/elsewhere/second")
    assert found.data.shards == "/elsewhere/first::data/x::runs/staged/firsts"
    assert repointed(stages, {}) == stages


def test_the_seed_is_of_every_training(config):
    stages, options = stages_of([config, "--seed", "7", "--only", "second"])
    assert [stage.seed for stage in stages.values()] == [7, 7]
    assert options.only == ("second",)


def test_a_dry_run_is_of_one_training_and_writes_nothing(config, tmp_path, capsys):
    with pytest.raises(InputError, match="name one training"):
        main([config, "--dry-run"])
    main([config, "--output", str(tmp_path / "x"), "--only", "first", "--dry-run"])
    assert "images/s" in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


def test_two_processes_run_all_stages(config, tmp_path):
    said = run(config, tmp_path, ranks=2)
    assert said.count("second: into") == 1
    assert (tmp_path / "second" / RECORD).is_file()


def test_what_is_no_list_of_stages_is_an_error_that_says_so(tmp_path, config):
    file = tmp_path / "mine.py"
    file.write_text("stages = {'a': 3}")
    assert "defines no `stages" in refused(str(file))
    file.write_text(Path(config).read_text(encoding="utf-8") + "\nstages['second'] = first\n")
    assert "two stages have the output runs/staged/first" in refused(str(file))
    file.write_text(
        Path(config).read_text(encoding="utf-8") + "\nstages['only'] = stages.pop('first')\n"
    )
    assert "cannot be called 'only'" in refused(str(file))
    assert "name the config first" in refused()
    assert "does not exist" in refused("nowhere.py")
    with pytest.raises(InputError, match="zeroseg stages"):
        read_config(config)
