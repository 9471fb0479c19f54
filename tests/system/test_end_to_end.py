import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipelines import cli, quickstart
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import done, program
from zeroseg.methods.saved import load
from zeroseg.training.checkpoints import read

ROOT = Path(__file__).parents[2]
SMALL = [
    "--method.student.trunk.width",
    "32",
    "--method.student.trunk.depth",
    "1",
    "--method.student.trunk.num-heads",
    "2",
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for name, images, per_shard in (("train", 48, 12), ("val", 8, 4)):
        limits = Limits(images_per_shard=per_shard, workers=0)
        build(scenes.Scenes(name, images).source(), str(folder / name), limits)
    return folder


def arguments(shards: Path, output: Path, steps: int = 4, *more: str) -> list[str]:
    config = [str(ROOT / "configs/scenes_scratch.py"), "--data.shards", f"{shards}/train"]
    size = ["--data.batch-size", "4", "--steps", str(steps), "--log-every", "1", *SMALL]
    return [*config, *size, "--output", str(output), *more]


def losses(run: Path) -> list[dict]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timed = {"images_per_second", "images_per_second_per_device", "step_seconds"}
    timed |= {"data_wait", "mfu", "memory_gb"}
    return [{k: v for k, v in row.items() if k not in timed} for row in rows]


def test_quickstart_goes_from_nothing_to_a_report(tmp_path, capsys):
    config = quickstart.QuickstartConfig(
        output=tmp_path / "q", train_images=32, validation_images=4, test_images=4, steps=2
    )
    rows = quickstart.quickstart(config)
    assert {"student, segments", "student, patches", "one label for the whole image"} <= rows.keys()
    page = (tmp_path / "q/report.html").read_text()
    assert page.count("data:image/png;base64,") == 4 + 2  # examples; watched first and last
    watched = [row["step"] for row in losses(tmp_path / "q/student-0") if "watch/miou" in row]
    assert watched == [1, 2]
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "4x4 cells named by their views" in capsys.readouterr().out
    for part in ("model", "checkpoints"):  # as if it had been stopped before its first checkpoint
        shutil.rmtree(tmp_path / "q/student-0" / part)
    assert quickstart.quickstart(config) == rows


def test_train_evaluate_segment_and_report_from_the_command_line(shards, tmp_path):
    run = tmp_path / "run"
    cli.main(["train", *arguments(shards, run)])
    assert list(run.glob("**/events.out.tfevents*"))
    protocol = ["--protocol.short-side", "112", "--protocol.window", "0"]
    pattern = ["--shards", f"{shards}/val"]
    cli.main(
        ["evaluate", str(run), "--benchmark", "scenes", *pattern, *protocol, "--examples", "2"]
    )
    (file,) = run.glob("results/scenes-zeroseg-*-student-patches.json")
    result = json.loads(file.read_text())
    assert result["scores"]["images"] == 8
    assert result["protocol"]["short_side"] == 112
    photo = tmp_path / "photo.png"
    Image.new("RGB", (150, 90), "red").save(photo)
    words = ["--classes", "red ball, water|sea, grass", "--output", str(tmp_path / "out")]
    cli.main(["segment", str(run), str(photo), *words])
    with Image.open(tmp_path / "out/photo.labels.png") as labels:
        assert labels.size == (150, 90)
        assert labels.getextrema()[1] < 3
    cli.main(["report", str(run), "--output", str(tmp_path / "report.html")])
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_a_dry_run_says_what_to_expect_and_writes_nothing(shards, tmp_path, capsys):
    run = tmp_path / "run"
    cli.main(["train", *arguments(shards, run, 600, "--micro-batch", "2"), "--dry-run"])
    said = capsys.readouterr().out
    assert json.loads(said[: said.index("\n}") + 2])["steps"] == 600
    assert re.search(r"parameters +0\.\d+ M: trunk", said)
    assert "4 images = 1 processes x 2 images x 2 passes" in said
    assert "48 images, 50.0 epochs" in said
    for what in ("images/s", "MFU", "GB a process", "if it started now", "gradient_norm"):
        assert what in said
    assert not run.exists()


def test_a_profiled_run_that_recomputes_writes_its_trace_and_an_ordinary_model(shards, tmp_path):
    run = tmp_path / "run"
    more = ["--activation-checkpointing", "--ema-decay", "0.5", "--profile"]
    done(program, "pipelines.train", arguments(shards, run, 6, *more))
    trace = json.loads((run / "profile/trace-0.json").read_text())
    assert any("attention" in event.get("name", "") for event in trace["traceEvents"])
    words = ["--classes", "red ball, grass", "--output", str(tmp_path / "out")]
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 64), "red").save(photo)
    cli.main(["segment", str(run / "model-ema"), str(photo), *words])


def test_help_names_the_options_and_a_config_its_fields(capsys):
    for config in ([], [str(ROOT / "configs/scenes_scratch.py")]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", *config, "--help"])
        said = capsys.readouterr().out
        assert not ended.value.code
        assert "--dry-run" in said
        assert "--allow-change" in said
        assert ("--data.batch-size" in said) == bool(config)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--trackers", "mlflow"], "uv run --with mlflow"),
        (["--trackers", "nonsense"], "nonsense"),
        (["--keep-last", "0"], "keep_last is 0"),
        (["--method.layer-decay", "1.5"], "layer_decay is 1.5"),
        (["--ema-decay", "1.0"], "ema_decay is 1.0"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error_before_training(
    shards, tmp_path, capsys, option, says
):
    with pytest.raises(SystemExit):
        cli.main(["train", *arguments(shards, tmp_path / "run", 2, *option)])
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_of_no_steps_writes_the_student_as_it_begins(shards, tmp_path):
    for name in ("first", "second"):
        cli.main(["train", *arguments(shards, tmp_path / name, 0)])
    first, second = (load(tmp_path / name)[1].state_dict() for name in ("first", "second"))
    assert all(torch.equal(first[k], v) for k, v in second.items())


def test_a_run_can_be_repeated_from_its_own_config(shards, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    cli.main(["train", *arguments(shards, first, 3)])
    cli.main(["train", str(first / "config.json"), "--output", str(second)])
    assert losses(first) == losses(second)


def test_two_processes_train_and_score_like_one(shards, tmp_path):
    run = tmp_path / "run"
    done(program, "pipelines.train", arguments(shards, run, 3), ranks=2)
    assert len(losses(run)) == 3
    assert read(run / "checkpoints/latest").state["processes"] == 2
    scored = []
    for ranks in (1, 2):
        args = [str(run), "--benchmark", "scenes", "--shards", f"{shards}/val"]
        args += ["--protocol.short-side", "112", "--protocol.window", "0", "--examples", "0"]
        done(program, "pipelines.evaluate", args, ranks=ranks)
        (file,) = run.glob("results/scenes-zeroseg-*-student-patches.json")
        scored.append(json.loads(file.read_text()))
    assert scored[0] == scored[1]


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["train", "configs/nothing.py"], "configs/nothing.py"),
        (["train", "configs/scenes_scratch.py", "--data.shards", "/nowhere/*.tar"], "/nowhere"),
        (
            ["train", "configs/scenes_scratch.py", "--data.shards", "/nowhere/a.tar"],
            "/nowhere/a.tar",
        ),
        (["evaluate", "/nowhere", "--benchmark", "voc", "--shards", "x"], "voc21"),
        (["segment", "/nowhere", "README.md", "--classes", "cat"], "at least two"),
        (["segment", "/nowhere", "README.md", "--classes", "cat, dog, cat"], "cat twice"),
        (["segment", "/nowhere", "nothing.jpg", "--classes", "cat, dog"], "nothing.jpg"),
        (["segment", "/nowhere", "README.md", "--classes", "cat, dog"], "/nowhere"),
    ],
)
def test_bad_input_is_one_line_that_names_it(args, names, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert names in message
    assert "\n" not in message
