import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipelines import cli
from zeroseg import CLIP, DataConfig, ViewComposition, ZeroSeg, load
from zeroseg.data.stream import TrainingStream
from zeroseg.training.distillation import Distillation
from zeroseg.training.teacher import Teacher, ViewEncoder

ROOT = Path(__file__).parents[1]
CONFIG = str(ROOT / "configs/real_photos.py")

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shards(real, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    few = folder / "photos"
    few.mkdir()
    for photo in sorted((real / "photos/imagenet").glob("*"))[::16]:
        shutil.copy(photo, few)
    size = ["--images-per-shard", "16"]
    cli.main(["shards", "build", "folder", str(few), str(folder / "train"), *size])
    masks = [str(real / "coco_masks/images"), str(real / "coco_masks/masks")]
    cli.main(["shards", "build", "coco-masks", *masks, str(folder / "val")])
    return folder


def embedding(real: Path, shards: Path, output: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipelines.embed", CONFIG, *more, "--workers", "1"]
    command += ["--shards", f"{shards}/train", "--output", str(output)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ZEROSEG_REAL": str(real)}
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )


def ended(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]


def test_embedding_real_photos_survives_a_kill_byte_for_byte(real, shards, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    ended(embedding(real, shards, whole, "--grids", "1"))
    process = embedding(real, shards, parts, "--grids", "1")
    while not list(parts.glob("*.tar")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (parts / "manifest.json").exists()
    ended(embedding(real, shards, parts, "--grids", "1"))
    names = sorted(p.name for p in whole.iterdir())
    assert sum(name.endswith(".tar") for name in names) == 4
    assert sorted(p.name for p in parts.iterdir()) == names
    assert all((parts / n).read_bytes() == (whole / n).read_bytes() for n in names)


def test_a_student_of_real_photos_agrees_with_the_teacher_on_photos_it_never_saw(
    real, shards, tmp_path, monkeypatch
):
    monkeypatch.setenv("ZEROSEG_REAL", str(real))
    run, embedded = tmp_path / "run", tmp_path / "embeddings"
    ended(embedding(real, shards, embedded))
    small = ["--steps", "20", "--warmup", "3", "--data.batch-size", "8", "--log-every", "5"]
    pattern = ["--data.shards", f"{shards}/train", "--output", str(run)]
    cli.main(["train", CONFIG, "--embeddings", str(embedded), *pattern, *small])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["patches"] < rows[0]["patches"]
    trained, teacher = load(run)
    torch.manual_seed(0)
    untrained = ZeroSeg(trained.config).eval()
    clip = CLIP(teacher)
    data = DataConfig(shards=f"{shards}/val", image_size=160, batch_size=8, workers=0)
    held_out = next(iter(TrainingStream(data, rank=0, world_size=1, seed=0)))
    encode = ViewEncoder(clip, (1, 2))

    def embed(batch):
        return encode(batch.pixels)

    distance = {}
    for name, model in (("trained", trained), ("untrained", untrained)):
        objective = Distillation(Teacher(teacher, (1, 2), 512, embed), ViewComposition(), 16)
        torch.manual_seed(0)
        with torch.no_grad():
            losses = objective(model, held_out, 0)
        distance[name] = {k: losses[k].item() for k in ("composition", "patches", "multi_scale")}
    assert all(distance["trained"][k] < 0.9 * v for k, v in distance["untrained"].items())
    # A student this small and short names next to nothing in COCO's masks; that the score of every
    # real mask can be had is what is checked here.
    args = ["--shards", f"{shards}/val", "--readout", "patches", "--examples", "1"]
    protocol = ["--protocol.short-side", "160", "--protocol.window", "0"]
    threshold = ["--protocol.background-threshold", "0.5"]
    cli.main(["evaluate", str(run), "--benchmark", "coco-object", *args, *protocol, *threshold])
    result = json.loads((run / "results/coco-object-student-patches.json").read_text())
    assert result["scores"]["images"] == 100
    assert not result["scores"]["skipped"]
