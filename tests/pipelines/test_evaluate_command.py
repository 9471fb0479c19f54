import dataclasses
import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file

from pipelines import cli
from pipelines.scoring.models import clip_name
from pipelines.scoring.parts import tally_by_parts
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import Job, done, program
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.evaluation.labelled import open_labelled_set
from zeroseg.evaluation.protocols import protocol_named
from zeroseg.evaluation.segmenters import clip_segmenter
from zeroseg.evaluation.tally import from_bytes
from zeroseg.methods.distillation import Distillation
from zeroseg.methods.saved import ModelDescription, save
from zeroseg.models.clip import CLIP, EMBEDDED, CLIPConfig
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.store import reader
from zeroseg.store.index_file import IndexFile
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.tar_index import index_path
from zeroseg.training.objectives import ZeroSegPaper
from zeroseg.training.teacher import OnlineTeacher

CELLS = "clip:zeroseg-scenes::cells2"
RESULT = "results/scenes-scenes-zeroseg-scenes-cells2.json"
IMAGES = 70
"""More than two parts."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for split, images in (("val", 12), ("test", IMAGES)):
        build(
            scenes.Scenes(split, images).source(), str(folder / split), Limits(images_per_shard=30)
        )
    return folder


def arguments(shards: Path, output: Path, *more: str, model: str = CELLS) -> list[str]:
    return [
        *(model, "--benchmark", "scenes", "--shards", f"{shards}/test"),
        *("--protocol.name", "scenes", "--output", str(output), "--examples", "0", *more),
    ]


def result(folder: Path, name: str = RESULT) -> dict:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory) -> dict:
    """What one process that nobody stops finds."""
    folder = tmp_path_factory.mktemp("whole")
    cli.main(["evaluate", *arguments(shards, folder)])
    return result(folder)


def test_a_result_holds_all_that_it_takes_to_read_it(whole, shards):
    assert whole["format"] == 1
    assert whole["scores"]["images"] == len(whole["images"]) == IMAGES
    assert whole["shards"] == f"{shards}/test"
    assert whole["protocol"]["name"] == "scenes"
    assert whole["protocol"]["changed"] == {}
    assert whole["model"]["method"] == "cells2"
    assert whole["curve"] is None
    low, high = whole["scores"]["miou_interval"]
    assert low < whole["scores"]["miou"] < high
    assert sum(map(sum, whole["confusion"])) == IMAGES * scenes.SIZE**2
    right = sum(row[i] for i, row in enumerate(whole["confusion"]))
    assert whole["scores"]["pixel_accuracy"] == right / (IMAGES * scenes.SIZE**2)


@pytest.mark.parametrize(("processes", "batch"), [(2, 16), (3, 5)])
def test_any_number_of_processes_and_any_batch_size_give_the_same_result(
    shards, whole, tmp_path, processes, batch
):
    args = arguments(shards, tmp_path, "--batch-size", str(batch))
    done(program, "pipelines.evaluate", args, ranks=processes)
    assert result(tmp_path) == whole
    assert not list(tmp_path.glob("results/.parts*"))


def test_an_evaluation_that_is_killed_goes_on_with_what_is_not_counted(shards, whole, tmp_path):
    job = Job(program, "pipelines.evaluate", arguments(shards, tmp_path))
    while not (parts := list(tmp_path.glob("results/.parts*/*/*.npz"))) and job.running:
        time.sleep(0.02)
    job.kill()
    assert parts, "it was over before it could be killed"
    assert not (tmp_path / RESULT).exists()
    first = sorted(tmp_path.glob("results/.parts*/*/*.npz"))[0]
    found = from_bytes(first.read_bytes())
    keys = ("counted before", *found.keys[1:])
    first.write_bytes(dataclasses.replace(found, keys=keys).to_bytes())
    cli.main(["evaluate", *arguments(shards, tmp_path)])
    again = result(tmp_path)
    assert again["images"][0]["key"] == "counted before"
    again["images"][0]["key"] = whole["images"][0]["key"]
    assert again.pop("truth") != whole["truth"]  # which goes by the keys, too
    assert again == {k: v for k, v in whole.items() if k != "truth"}


@pytest.fixture(scope="module")
def asked(shards) -> dict:
    """What `tally_by_parts` needs to know, but for an accelerator."""
    clip = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))
    protocol = protocol_named("scenes", SCENES)
    images = open_labelled_set(f"{shards}/test", SCENES, protocol, ShardCache())
    return {
        "segmenter": clip_segmenter(clip, "cells2"),
        "images": images,
        "task": images.task(clip),
        "batch_size": 16,
        "limit": 40,
    }


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn"])
def test_a_part_that_is_torn_is_counted_again(asked, tmp_path, damage):
    accelerator = Accelerator(cpu=True)
    tally = tally_by_parts(tmp_path, accelerator=accelerator, **asked)
    assert len(tally.keys) == 40
    parts = sorted(tmp_path.glob("*.npz"))
    assert [len(from_bytes(p.read_bytes()).keys) for p in parts] == [32, 8]
    whole = parts[1].read_bytes()
    parts[1].write_bytes(damage)
    again = tally_by_parts(tmp_path, accelerator=accelerator, **asked)
    assert again.to_bytes() == tally.to_bytes()
    assert parts[1].read_bytes() == whole


def test_a_sample_that_cannot_be_read_is_named_and_the_others_are_scored(shards, whole, tmp_path):
    for file in (shards / "test").iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "manifest.json").unlink()
    first = sorted(tmp_path.glob("*.tar"))[0]
    data = bytearray(first.read_bytes())
    place = data.index(b"\xff\xd8\xff")
    data[place : place + 3] = b"???"
    first.write_bytes(data)
    shards_of = ["--shards", str(tmp_path)]
    args = [*arguments(shards, tmp_path / "out"), *shards_of]
    cli.main(["evaluate", *args])
    damaged = result(tmp_path / "out")
    assert damaged["scores"]["images"] == IMAGES - 1
    (skipped,) = damaged["scores"]["skipped"]
    assert first.name in skipped
    assert whole["images"][0]["key"] in skipped
    assert damaged["images"] == whole["images"][1:]


def test_a_shards_index_is_read_once_for_all_parts(asked, shards, tmp_path, monkeypatch):
    opened = []

    def noted(path, blocks=None):
        opened.append(path)
        return IndexFile(path, blocks)

    monkeypatch.setattr(reader, "IndexFile", noted)
    images = open_labelled_set(
        f"{shards}/test", SCENES, protocol_named("scenes", SCENES), ShardCache()
    )
    options = asked | {"images": images, "batch_size": 2, "limit": None}
    tally_by_parts(tmp_path, accelerator=Accelerator(cpu=True), **options)
    assert len([*tmp_path.glob("*.npz")]) == 18
    assert opened == [index_path(Path(url)) for url in images.shards.urls]


def copied(shards: Path, folder: Path, name: str) -> str:
    """A CLIP like the embedded one, in a folder of its own, with other weights."""
    place = folder / name
    shutil.copytree(EMBEDDED["zeroseg-scenes"], place)
    file = place / "open_clip_model.safetensors"
    weights = load_file(file)
    first = next(name for name in weights if name.startswith("visual.") and weights[name].ndim > 1)
    save_file(weights | {first: 1.01 * weights[first]}, file)
    return f"clip:local-dir:{place}::cells2"


def test_two_clips_have_rows_and_files_of_their_own(shards, tmp_path):
    for model in (CELLS, copied(shards, tmp_path, "other")):
        cli.main(["evaluate", *arguments(shards, tmp_path, "--limit", "4", model=model)])
    found = [json.loads(file.read_text()) for file in tmp_path.glob("results/*.json")]
    assert (
        len({row["name"] for row in found}) == len({row["model"]["sha256"] for row in found}) == 2
    )


@pytest.mark.parametrize("weights", ["openai", "laion2b_s34b_b88k"])
def test_the_row_of_a_clip_names_its_weights(weights):
    config = CLIPConfig(architecture="ViT-B-16", weights=weights)
    assert clip_name(config, "sclip", "ab" * 32) == f"ViT-B-16 {weights} sclip"


def test_files_of_weights_of_one_name_have_rows_of_their_own(tmp_path):
    (tmp_path / "w.pt").touch()
    config = CLIPConfig(architecture="ViT-B-16", weights=str(tmp_path / "w.pt"))
    names = {clip_name(config, "sclip", digest * 32) for digest in ("ab", "cd")}
    assert names == {"ViT-B-16 w.pt ababab sclip", "ViT-B-16 w.pt cdcdcd sclip"}


def a_student(run: Path, seed: int) -> str:
    torch.manual_seed(seed)
    trunk = ViT(patch_size=8, width=8, depth=1, num_heads=2)
    config = ZeroSegConfig(image_size=16, trunk=trunk, embed_dim=64, decoder_depth=0)
    clip = CLIPConfig(architecture="zeroseg-scenes", weights="")
    method = Distillation(student=config, teacher=OnlineTeacher(clip=clip), losses=ZeroSegPaper())
    description = ModelDescription(method=method, text=clip)
    save(run / "model", description, ZeroSeg(config).state_dict())
    return str(run)


def test_two_students_may_share_an_output_and_none_replaces_another(shards, tmp_path, capsys):
    out = tmp_path / "out"

    def score(run: Path, seed: int) -> None:
        more = ("--limit", "4")
        cli.main(["evaluate", *arguments(shards, out, *more, model=a_student(run, seed))])

    score(tmp_path / "a", 1)
    score(tmp_path / "b", 2)
    names = {result(out, f"results/{f.name}")["name"] for f in out.glob("results/*.json")}
    assert names == {f"student segments of {run}, first 4" for run in "ab"}
    before = {f: f.read_bytes() for f in out.glob("results/*")}
    with pytest.raises(SystemExit):
        score(tmp_path / "elsewhere/a", 3)
    assert "is the result of another model" in capsys.readouterr().err
    assert {f: f.read_bytes() for f in out.glob("results/*")} == before
    score(tmp_path / "a", 4)  # trained on: the same model
    assert len(set(out.glob("results/*"))) == len(before)


def test_the_cache_of_remote_shards_is_the_users(shards, tmp_path):
    remote = (shards / "test").as_uri()
    args = arguments(shards, tmp_path / "out", "--limit", "2")
    cli.main(["evaluate", *args, "--shards", remote, "--cache.folder", str(tmp_path / "cache")])
    assert list((tmp_path / "cache").glob("*.tar"))


def test_a_threshold_is_chosen_on_held_out_data_and_the_curve_shows_it(shards, tmp_path):
    held_out = ["--held-out", f"{shards}/val", "--held-out-benchmark", "scenes-objects"]
    args = arguments(shards, tmp_path, *held_out, "--limit", "20", "--boundary")
    args[args.index("scenes")] = "scenes-objects"
    cli.main(["evaluate", *args])
    name = "results/scenes-objects-scenes-zeroseg-scenes-cells2--first-20.json"
    found = result(tmp_path, name)
    threshold = found["threshold"]["value"]
    assert 0 < threshold < 1
    assert found["threshold"]["chosen_on"] == f"scenes-objects: {shards}/val"
    curve = found["curve"]
    assert len(curve["thresholds"]) == len(curve["miou"]) == 104
    assert curve["miou"][curve["thresholds"].index(threshold)] == found["scores"]["miou"]
    assert curve["maximum"]["miou"] == max(curve["miou"]) >= found["scores"]["miou"]
    assert min(curve["miou"]) < curve["area"] < max(curve["miou"])
    assert 0 < found["scores"]["boundary_miou"] < found["scores"]["miou"]


def test_best_median_and_worst_images_are_shown(shards, tmp_path):
    args = arguments(shards, tmp_path, "--limit", "12")
    args[args.index("--examples") + 1] = "6"
    cli.main(["evaluate", *args])
    found = result(tmp_path, "results/scenes-scenes-zeroseg-scenes-cells2--first-12.json")
    scores = sorted((row["miou"] for row in found["images"]), reverse=True)
    names = sorted(p.stem for p in tmp_path.glob("examples/scenes/*.png"))
    assert [n.rpartition("-")[0].partition("-")[0] for n in names] == [
        *("best", "best", "median", "median", "worst", "worst")
    ]
    shown = [int(n.rpartition("-")[2]) for n in names]
    expected = [*scores[:2], *scores[5:7], *scores[::-1][:2]]
    assert shown == [round(100 * s) for s in expected]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"--benchmark": "voc"}, "benchmark 'voc' is unknown"),
        ({"--protocol.name": "fancy"}, "protocol 'fancy' is unknown"),
        ({"--benchmark": "scenes-objects"}, "give --held-out and --held-out-benchmark"),
        ({"--held-out": "x", "--held-out-benchmark": "voc21"}, "leave --held-out out"),
        (
            {
                "--benchmark": "scenes-objects",
                "--held-out": "SHARDS/test",
                "--held-out-benchmark": "scenes-objects",
            },
            "choose on other data",
        ),
        (
            {
                "--benchmark": "scenes-objects",
                "--held-out": "SHARDS/val",
                "--held-out-benchmark": "scenes",
            },
            "'scenes' has no background class",
        ),
        ({"--protocol.names": "sclip"}, "has no names 'sclip'"),
        ({"--protocol.templates": "fancy"}, "templates 'fancy' are unknown"),
        ({"--protocol.background-threshold": "0.5"}, "leave out the background threshold"),
        (
            {
                "model": "clip:zeroseg-scenes::maskclip",
                "--protocol.window": "60",
                "--protocol.stride": "30",
            },
            "takes multiples of 8",
        ),
        ({"--shards": "/nowhere"}, "/nowhere"),
        ({"model": "clip:zeroseg-scenes::fancy"}, "'fancy'"),
        ({"model": "clip:zeroseg-scenes"}, "clip:ARCH:WEIGHTS:METHOD"),
        ({"model": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_does_not_fit_is_an_error_before_anything_is_scored(
    shards, tmp_path, capsys, change, named
):
    model, *rest = arguments(shards, tmp_path / "out")
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    options |= {k: v.replace("SHARDS", str(shards)) for k, v in change.items() if k != "model"}
    args = [change.get("model", model), *(word for pair in options.items() for word in pair)]
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", *args])
    assert stop.value.code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
