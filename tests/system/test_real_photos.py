import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torchmetrics.classification import MulticlassJaccardIndex

from configs import real_photos
from pipelines import cli
from zeroseg import CLIP, DataConfig, Protocol, evaluate
from zeroseg.data.batch import Batch
from zeroseg.data.crops import Crops
from zeroseg.data.stream import TrainingStream
from zeroseg.data.transforms import UnlabelledCrops
from zeroseg.datasets.benchmarks import COCO_THINGS, IGNORE
from zeroseg.evaluation.evaluate import label_maps
from zeroseg.evaluation.labelled import open_labelled_set
from zeroseg.evaluation.segmenters import clip_segmenter
from zeroseg.store.shard_cache import ShardCache

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/real_photos.py")

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def shards(real, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    few = folder / "photos"
    few.mkdir()
    for photo in sorted((real / "photos/imagenet").glob("*"))[::20]:
        shutil.copy(photo, few)
    cli.main(["shards", "build", "folder", str(few), str(folder / "train")])
    masks = [str(real / "coco_masks/images"), str(real / "coco_masks/masks")]
    cli.main(["shards", "build", "coco-masks", *masks, str(folder / "val")])
    return folder


def held_out_photos(shards: Path) -> Batch:
    """COCO photos that no training sees."""
    data = DataConfig(shards=f"{shards}/val", batch_size=8, workers=0)
    transform = UnlabelledCrops(size=224, view_size=224, crops=Crops())
    return next(iter(TrainingStream(data, transform, rank=0, world_size=1, seed=0)))


def test_at_its_start_the_student_reads_photos_as_the_teacher_does(shards):
    method = real_photos.config.method
    model = method.model().eval()
    method.start_trunk(model.trunk, real_photos.clip)
    pixels = held_out_photos(shards).pixels
    dense = CLIP(replace(real_photos.clip, precision="fp32")).dense(pixels, "maskclip")
    with torch.no_grad():
        patches = model.segment(pixels).patches
    assert patches is not None
    assert torch.allclose(F.normalize(patches, dim=-1), dense.flatten(2).mT, atol=1e-4)


def test_a_student_of_real_photos_nears_the_teacher_and_is_scored_on_real_masks(shards, tmp_path):
    run, embedded = tmp_path / "run", tmp_path / "embeddings"
    size = ["--workers", "0"]
    cli.main(["embed", CONFIG, "--shards", f"{shards}/train", "--output", str(embedded), *size])
    small = ["--steps", "20", "--schedule.warmup", "8", "--data.batch-size", "8"]
    small += ["--log-every", "5", "--method.trainable.rate", "0.02"]
    pattern = ["--data.shards", f"{shards}/train", "--output", str(run)]
    cli.main(["train", CONFIG, "--embeddings", str(embedded), *pattern, *small])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["loss/dense"] < rows[0]["loss/dense"]
    args = ["--shards", f"{shards}/val", "--readout", "patches", "--examples", "1"]
    protocol = ["--protocol.short-side", "224", "--protocol.window", "0"]
    cli.main(["evaluate", str(run), "--benchmark", "coco-things", *args, *protocol])
    (file,) = run.glob("results/coco-things-*-student-patches.json")
    result = json.loads(file.read_text())
    assert result["scores"]["images"] == 100
    assert not result["scores"]["skipped"]
    # The teacher has seen these classes, and the student starts as the teacher.
    assert result["scores"]["pixel_accuracy"] > 0.4


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
