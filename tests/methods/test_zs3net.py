"""DeepLab, ZS3Net on top of it, and what both answer; all of it trained for a few steps."""

import dataclasses
from pathlib import Path

import pytest
import torch

from pipelines import evaluate, train
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import done
from tests.support.painted import painted_batch
from tests.support.queries import queries
from zeroseg import (
    AdamW,
    CLIPConfig,
    DataConfig,
    DeepLab,
    DeepLabConfig,
    Generation,
    GeneratorConfig,
    InputError,
    ProtocolConfig,
    RunConfig,
    WordVectors,
    ZS3Net,
    load,
)
from zeroseg.data.augmentation import Augmentation
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.evaluation.closed_vocabulary import ClosedVocabulary
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained
from zeroseg.models.backbone import Backbone
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.checkpoints import read
from zeroseg.training.pixel_losses import pixel_cross_entropy

CPU = torch.device("cpu")
CLIP = CLIPConfig(architecture="zeroseg-scenes", weights="")
LABELS = Supervision(
    split="scenes", augmentation=Augmentation(size=48, scale=(0.5, 1.0), jitter=0.0)
)
NETWORK = DeepLabConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group", output_stride=16),
    width=16,
    low_level_width=8,
    rates=(1, 2),
    dropout=(0.0, 0.0, 0.0),
)
DEEPLAB = DeepLab(labels=LABELS, network=NETWORK, clip=CLIP)


def zs3net(start: Path, **changes) -> ZS3Net:
    few = Generation(pixels=4, slots=4, unseen_pixels=4, context_weight=0.1)
    generator = GeneratorConfig(embed_dim=64, noise_dim=8, hidden=16, dropout=0.0)
    method = ZS3Net(
        labels=LABELS,
        network=NETWORK,
        start=Trained(path=str(start)),
        generator=generator,
        generation=few,
        clip=CLIP,
    )
    return dataclasses.replace(method, **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zs3net")
    for split, images in (("train", 16), ("val", 4)):
        build(
            scenes.Scenes(split, images).source(),
            str(folder / split),
            Limits(images_per_shard=8, workers=0),
        )
    return folder


def config(method, data: Path, output: Path, steps: int = 3) -> RunConfig:
    return RunConfig(
        method=method,
        data=DataConfig(shards=f"{data}/train", batch_size=4, workers=0),
        optimizer=AdamW(learning_rate=1e-3),
        steps=steps,
        log_every=1,
        trackers=(),
        output=output,
    )


@pytest.fixture(scope="module")
def seen(data) -> Path:
    done(train.train, config(DEEPLAB, data, data / "seen"))
    return data / "seen"


@pytest.fixture(scope="module")
def generated(data, seen) -> Path:
    done(train.train, config(zs3net(seen), data, data / "generated"))
    return data / "generated"


def test_stages_begin_at_what_the_last_one_learnt(data, seen, generated, tmp_path):
    first, second = Trained(path=str(seen)).tensors(), Trained(path=str(generated)).tensors()
    frozen = {name for name in first if not name.startswith("classifier.")}
    assert all(torch.equal(first[name], second[name]) for name in frozen)
    assert not torch.equal(first["classifier.weight"], second["classifier.weight"])
    onwards = dataclasses.replace(DEEPLAB, start=Trained(path=str(generated)))
    done(train.train, config(onwards, data, tmp_path / "again", steps=0))
    third = Trained(path=str(tmp_path / "again")).tensors()
    assert all(torch.equal(third[name], second[name]) for name in third)


def test_it_is_scored_and_a_model_of_seen_classes_finds_no_unseen_one(data, seen, generated):
    scores = [
        evaluate.run(
            evaluate.EvaluateConfig(
                model=str(run),
                benchmark="scenes",
                shards=f"{data}/val",
                protocol=ProtocolConfig(name="seen-unseen"),
            )
        ).scores
        for run in (seen, generated)
    ]
    assert scores[0].unseen_miou == 0
    assert all(score.seen_miou is not None for score in scores)


def test_two_processes_train_it_together(data, seen, tmp_path):
    done(train.train, config(zs3net(seen), data, tmp_path / "two"), ranks=2)
    assert read(tmp_path / "two/checkpoints/latest").state["processes"] == 2


def test_it_answers_by_name_alone(generated):
    model = load(generated)
    picture = torch.zeros(3, 48, 48)
    assert model.segment(picture, ["Grass", "orb|turquoise ball"]).shape == (48, 48)
    with pytest.raises(InputError, match="does not know 'cat': it knows grass, water"):
        model.segment(picture, ["grass", "cat"])


def test_probabilities_are_of_learnt_classes_that_are_asked_for():
    names, learnt = ("a", "b", "c", "d"), frozenset({0, 1, 3})
    logits = torch.tensor([1.0, 2.0, 9.0, 3.0]).view(1, 4, 1, 1)
    segmenter = ClosedVocabulary(lambda images: logits, names, learnt, 4)
    asked = queries(torch.eye(3), names=["d", "c", "x, b"])
    found = segmenter.predict(torch.zeros(1, 3, 4, 4), asked)[0, :, 0, 0]
    wanted = torch.tensor([3.0, 2.0]).softmax(dim=0)
    assert torch.allclose(found, torch.tensor([wanted[0], 0, wanted[1]]))
    with pytest.raises(InputError, match="learnt none of c: it has learnt a, b, d"):
        segmenter.predict(torch.zeros(1, 3, 4, 4), queries(torch.eye(1), names=["c"]))


@pytest.mark.parametrize("kind", ["deeplab", "zs3net"])
def test_no_unseen_pixel_reaches_a_gradient(kind, seen):
    method = DEEPLAB if kind == "deeplab" else zs3net(seen)
    torch.manual_seed(0)
    model = method.model()
    training = method.training(model, CPU, ShardCache())
    gradients = []
    for seed in (None, 1):
        model.zero_grad()
        step = training.objective(model, painted_batch(training.transform, seed), 0)
        sum(step.losses.values()).backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_cross_entropy_is_a_mean_over_labelled_pixels_and_then_over_images():
    logits = torch.randn(2, 3, 4, 4)
    targets = torch.randint(3, (2, 4, 4))
    targets[1, 1:] = IGNORE
    loss = torch.nn.functional.cross_entropy
    wanted = [
        loss(x[None], y[None], ignore_index=IGNORE) for x, y in zip(logits, targets, strict=True)
    ]
    assert torch.allclose(pixel_cross_entropy(logits, targets), sum(wanted) / 2)
    assert pixel_cross_entropy(logits[:1], torch.full((1, 4, 4), IGNORE)) == 0


def test_what_does_not_fit_is_one_line(seen, generated, tmp_path):
    def refused(method, says):
        with pytest.raises(InputError, match=says):
            method.training(method.model(), CPU, ShardCache())

    refused(zs3net(generated), "is of ZS3Net: this stage starts from DeepLab")
    wide = GeneratorConfig(embed_dim=300)
    refused(zs3net(seen, generator=wide), "64 dimensions: set method.generator.embed_dim")
    words = tmp_path / "words.txt"
    words.write_text("grass 1 2\nwater 3 4\n")
    vectors = WordVectors(path=str(words))
    refused(zs3net(seen, vectors=vectors), r"words\.txt has no vector for 'sand' of class 'sand'")
    pseudo = dataclasses.replace(LABELS, unseen_labels="pseudo")
    with pytest.raises(InputError, match="train DeepLab on pseudo labels"):
        zs3net(seen, labels=pseudo)
