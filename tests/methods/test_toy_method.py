"""A method that the package has never heard of: one file, and all that any method gets.

The toy is a supervised segmenter of patches. What stands above `TOYS` is all of it.
"""

import json
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipelines import evaluate, train
from pipelines.report.page import report
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import Job, done
from tests.support.training_runs import rows, wait_for
from zeroseg import (
    CLIP,
    AdamW,
    CLIPConfig,
    DataConfig,
    InputError,
    MethodConfig,
    ProtocolConfig,
    RunConfig,
    Watch,
    load,
)
from zeroseg.data.augmentation import Augmentation
from zeroseg.data.transforms import LabelledCrops
from zeroseg.datasets.benchmarks import IGNORE, SCENES
from zeroseg.methods.method import Training
from zeroseg.models.prompts import BARE
from zeroseg.training.checkpoints import read
from zeroseg.training.objective import Step

SCENES_CLIP = CLIPConfig(architecture="zeroseg-scenes", weights="")


@dataclass(frozen=True, kw_only=True)
class Toy(MethodConfig):
    """Patches that learn the embeddings of their seen classes from label maps."""

    width: int = 16
    text: CLIPConfig = SCENES_CLIP

    def model(self):
        patches = nn.Conv2d(3, self.width, 8, stride=8)
        return nn.Sequential(patches, nn.GELU(), nn.Conv2d(self.width, 64, 1))

    def training(self, model, device, cache):
        seen = [name for name in SCENES.classes if name not in SCENES.unseen]
        embeddings = CLIP(self.text, device).class_embeddings(seen, BARE)
        row = {name: i for i, name in enumerate(seen)}
        rows = torch.full((IGNORE + 1,), IGNORE)
        rows[: len(SCENES.classes)] = torch.tensor([row.get(n, IGNORE) for n in SCENES.classes])
        transform = LabelledCrops(
            augmentation=Augmentation(size=112, scale=(1.0, 1.4), jitter=0.0), benchmark=SCENES
        )
        return Training(Supervised(embeddings, rows.to(device)), transform, self.text)

    def segmenter(self, model, readout="", clip=None):
        return Patches(model)


@dataclass(frozen=True)
class Supervised:
    """Cross entropy of every labelled patch, mean over patches, then over images."""

    classes: Tensor
    rows: Tensor

    def __call__(self, model, batch, step):
        cosines = torch.einsum(
            "behw,ce->bchw", F.normalize(model(batch.pixels), dim=1), self.classes
        )
        labels = self.rows[batch.labels][:, 4::8, 4::8]
        each = F.cross_entropy(20 * cosines, labels, ignore_index=IGNORE, reduction="none")
        known = (labels != IGNORE).flatten(1)
        loss = (each.flatten(1).sum(dim=1) / known.sum(dim=1).clamp(min=1)).mean()
        right = (cosines.argmax(dim=1) == labels).float().mean()
        return Step({"cross_entropy": loss}, {"patches/right": right.detach()})


@dataclass(frozen=True)
class Patches:
    """Cosines of patches with whatever is asked for."""

    network: nn.Module
    multiple: int = 8

    @torch.no_grad()
    def predict(self, images, queries):
        embeddings = F.normalize(self.network(images), dim=1)
        return torch.einsum("behw,qe->bqhw", embeddings, queries.embeddings)


TOYS = (Toy,)
STEPS = 240


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    for split, images in (("train", 48), ("val", 24)):
        build(
            scenes.Scenes(split, images).source(),
            str(folder / split),
            Limits(images_per_shard=12, workers=0),
        )
    return folder


def config(data: Path, output: Path, steps: int = STEPS, **changes) -> RunConfig:
    watch = Watch(
        shards=f"{data}/val",
        benchmark="scenes",
        every=steps or 1,
        images=8,
        protocol=ProtocolConfig(name="scenes"),
    )
    return RunConfig(
        method=Toy(),
        data=DataConfig(shards=f"{data}/train", batch_size=8, workers=0),
        optimizer=AdamW(learning_rate=3e-3),
        steps=steps,
        watch=watch,
        log_every=1,
        save_every=60,
        trackers=(),
        output=output,
        **changes,
    )


@pytest.fixture(scope="module")
def run(data) -> Path:
    done(train.train, config(data, data / "run"))
    return data / "run"


def scored(model: Path, data: Path) -> dict:
    return evaluate.run(
        evaluate.EvaluateConfig(
            model=str(model),
            benchmark="scenes",
            shards=f"{data}/val",
            protocol=ProtocolConfig(name="scenes"),
        ),
        methods=TOYS,
    ).scores


def test_it_learns_and_is_watched(run):
    first, last = rows(run)[0], rows(run)[-1]
    losses = [row["loss/cross_entropy"] for row in rows(run) if "loss/cross_entropy" in row]
    assert losses[-1] < 0.7 * losses[0]
    assert first["patches/right"] < 0.2
    assert last["watch/miou"] > 0
    assert [path.name for path in (run / "watch").iterdir()] == [f"step-{STEPS:08d}.png"]


def test_two_processes_train_it_together(run, data, tmp_path):
    done(train.train, config(data, tmp_path / "two", steps=60), ranks=2)
    two, one = ([row for row in rows(path) if "loss" in row] for path in (tmp_path / "two", run))
    assert read(tmp_path / "two/checkpoints/latest").state["processes"] == 2
    assert [row["step"] for row in two] == [row["step"] for row in one[:60]]
    assert two[-1]["loss"] < 0.9 * two[0]["loss"]


def test_stopped_and_started_again_it_goes_on_to_the_bit(run, data, tmp_path):
    job = Job(train.train, config(data, tmp_path / "run"))
    wait_for(job, tmp_path / "run", 5)
    job.send(signal.SIGTERM)
    job.ended()
    assert job.statuses == [75]
    assert len(rows(tmp_path / "run")) < STEPS
    done(train.train, config(data, tmp_path / "run"))
    assert rows(tmp_path / "run") == rows(run)


def test_it_is_loaded_and_asked_for_any_words(run, data):
    model = load(run, methods=TOYS)
    picture = torch.zeros(3, 112, 112)
    picture[1] = 1
    labels = model.segment(picture, ["grass", "sky|blue sky", "turquoise ball"])
    assert labels.shape == (112, 112)
    assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_a_method_without_a_correction_refuses_every_one(run):
    model = load(run, methods=TOYS)
    assert model.segmenter("", "none")
    with pytest.raises(InputError, match="Toy has no correction: leave it out"):
        model.segmenter("", "mean")


def test_without_its_class_the_model_is_refused_by_name(run):
    with pytest.raises(InputError, match="class 'Toy' is none of Distillation"):
        load(run)


def test_it_is_scored_on_seen_and_unseen_classes_and_named_in_a_report(run, data, tmp_path):
    done(train.train, config(data, tmp_path / "untrained", steps=0))
    trained, untrained = scored(run, data), scored(tmp_path / "untrained", data)
    assert trained.seen_miou > 2 * untrained.seen_miou
    assert trained.unseen_miou is not None
    assert trained.hiou is not None
    (file,) = (run / "results").glob("*.json")
    name = json.loads(file.read_text())["name"]
    page = report([run], tmp_path / "page.html").read_text()
    assert name in page
    assert "Toy" in page
