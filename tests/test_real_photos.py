import json
import shutil
from pathlib import Path

import pytest
import torch

from pipelines import cli
from zeroseg import BENCHMARKS, Protocol, ZeroSeg, evaluate, load
from zeroseg.data.shards import evaluation_batches
from zeroseg.evaluation.segmenters import Student
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import SIMPLE

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shards(real, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    few = folder / "photos"
    few.mkdir()
    for photo in sorted((real / "photos/imagenet").glob("*"))[::8]:
        shutil.copy(photo, few)
    cli.main(["shards", "folder", str(few), str(folder)])
    masks = [str(real / "coco_masks/images"), str(real / "coco_masks/masks")]
    cli.main(["shards", "coco", *masks, str(folder)])
    return folder


def test_training_on_real_photos_beats_the_untrained_student(real, shards, tmp_path, monkeypatch):
    from accelerate import Accelerator

    monkeypatch.setenv("ZEROSEG_REAL", str(real))
    run = tmp_path / "run"
    small = ["--steps", "30", "--warmup", "3", "--data.batch-size", "8", "--log-every", "5"]
    pattern = ["--data.shards", f"{shards}/train-*.tar", "--output", str(run)]
    cli.main(["train", str(ROOT / "configs/real_photos.py"), *pattern, *small])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["patches"] < rows[0]["patches"]
    trained, teacher = load(run)
    torch.manual_seed(0)
    untrained = ZeroSeg(trained.config).eval()
    benchmark = BENCHMARKS["coco-object"]
    embeddings = CLIP(teacher).class_embeddings(benchmark.names, SIMPLE)
    # Without a background threshold to choose, only what is under the masks of objects counts.
    protocol = Protocol(short_side=160, window=0, background_threshold=0.0)
    batches = list(
        evaluation_batches(f"{shards}/val-*.tar", short_side=160, multiple=16, batch_size=8)
    )
    accuracy = {}
    for name, model in (("trained", trained), ("untrained", untrained)):
        segmenter = Student(model, "patches")
        scores = evaluate(
            segmenter, batches, benchmark, embeddings, protocol, Accelerator(cpu=True)
        )
        accuracy[name] = scores.miou
        assert scores.images == 100
        assert not scores.skipped
    print(accuracy)
    assert accuracy["trained"] > 1.5 * accuracy["untrained"]
