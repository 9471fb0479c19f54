import json
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torchmetrics.classification import MulticlassJaccardIndex

from configs import real_photos
from pipelines import cli
from zeroseg import (
    CLIP,
    DataConfig,
    Protocol,
    ViewComposition,
    evaluate,
)
from zeroseg.data.crops import Crops
from zeroseg.data.stream import TrainingStream
from zeroseg.data.transforms import UnlabelledCrops
from zeroseg.data.views import ViewSet
from zeroseg.datasets.benchmarks import COCO_THINGS, IGNORE
from zeroseg.evaluation.evaluate import label_maps
from zeroseg.evaluation.labelled import open_labelled_set
from zeroseg.evaluation.segmenters import clip_segmenter
from zeroseg.methods.saved import load
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.objectives import DistillationObjective
from zeroseg.training.teacher import Teacher, ViewEncoder

ROOT = Path(__file__).parents[2]
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


def test_a_student_of_real_photos_agrees_with_the_teacher_on_photos_it_never_saw(shards, tmp_path):
    run, embedded = tmp_path / "run", tmp_path / "embeddings"
    cli.main(["embed", CONFIG, "--shards", f"{shards}/train", "--output", str(embedded)])
    small = [
        "--steps",
        "20",
        "--schedule.warmup",
        "3",
        "--data.batch-size",
        "8",
        "--log-every",
        "5",
    ]
    pattern = ["--data.shards", f"{shards}/train", "--output", str(run)]
    cli.main(["train", CONFIG, "--embeddings", str(embedded), *pattern, *small])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss/patches"] < rows[0]["loss/patches"]
    description, trained = load(run)
    teacher = description.text
    torch.manual_seed(0)
    untrained = description.method.model().eval()
    clip = CLIP(teacher)
    data = DataConfig(shards=f"{shards}/val", batch_size=8, workers=0)
    transform = UnlabelledCrops(size=160, view_size=160, crops=Crops())
    held_out = next(iter(TrainingStream(data, transform, rank=0, world_size=1, seed=0)))
    encode = ViewEncoder(clip, ViewSet(grids=(1, 2)))

    def embed(batch):
        return encode(batch.pixels)

    distance = {}
    for name, model in (("trained", trained), ("untrained", untrained)):
        objective = DistillationObjective(
            Teacher(teacher, ViewSet(grids=(1, 2)), 512, embed), ViewComposition(), 16
        )
        torch.manual_seed(0)
        with torch.no_grad():
            losses = objective(model, held_out, 0).losses
        distance[name] = {k: losses[k].item() for k in ("composition", "patches", "multi_scale")}
    assert all(distance["trained"][k] < 0.9 * v for k, v in distance["untrained"].items())
    # A student this small and short names next to nothing in COCO's masks; that the score of every
    # real mask can be had is what is checked here.
    args = ["--shards", f"{shards}/val", "--readout", "patches", "--examples", "1"]
    protocol = ["--protocol.short-side", "160", "--protocol.window", "0"]
    threshold = ["--protocol.background-threshold", "0.5"]
    cli.main(["evaluate", str(run), "--benchmark", "coco-object", *args, *protocol, *threshold])
    (file,) = run.glob("results/coco-object-zeroseg-*-student-patches.json")
    result = json.loads(file.read_text())
    assert result["scores"]["images"] == 100
    assert not result["scores"]["skipped"]


def test_scores_on_real_masks_are_those_of_an_independent_computation(shards):
    """One label for the whole photo, against torchmetrics on the same label maps."""
    torch.manual_seed(0)
    clip = CLIP(real_photos.config.method.teacher.clip)
    protocol = Protocol(short_side=160, window=0, templates="bare")
    images = open_labelled_set(f"{shards}/val", COCO_THINGS, protocol, ShardCache())
    benchmark, task = images.benchmark, images.task(clip)
    batches = list(images.batches(1, batch_size=16))
    segmenter = clip_segmenter(clip, "whole")
    scores = evaluate(segmenter, batches, task, Accelerator(cpu=True))
    independent = MulticlassJaccardIndex(80, average="none", ignore_index=IGNORE)
    for batch in batches:
        labels = benchmark.mapped(batch.labels, batch.keys)
        independent.update(label_maps(segmenter, batch.pixels, task, labels.shape[1:]), labels)
    ours = torch.tensor(list(scores.per_class.values()))
    assert torch.allclose(ours.nan_to_num(0).float(), independent.compute(), atol=1e-6)
    # The teacher has seen these classes; what it says of the whole photo is mostly right.
    assert scores.pixel_accuracy > 0.5
