"""ZegCLIP as a method: trained, saved, loaded, scored and asked, and what it never sees."""

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
    CLIP,
    AdamW,
    CLIPConfig,
    DataConfig,
    InputError,
    ProtocolConfig,
    RunConfig,
    ZegCLIP,
    load,
)
from zeroseg.data.augmentation import Augmentation
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.methods import saved
from zeroseg.methods.supervision import Supervision
from zeroseg.models.prompts import BARE
from zeroseg.store.shard_cache import ShardCache
from zeroseg.training.flops import StepFlops

SCENES_CLIP = CLIPConfig(architecture="zeroseg-scenes", weights="")
METHOD = ZegCLIP(
    clip=SCENES_CLIP,
    labels=Supervision(split="scenes", augmentation=Augmentation(size=48)),
    prompts=2,
    heads=2,
    dropout=0.0,
    templates="bare",
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for split, images in (("labelled", 8), ("val", 4)):
        source = scenes.Scenes(split, images).source()
        build(source, str(folder / split), Limits(images_per_shard=8, workers=0))
    return folder


@pytest.fixture(scope="module")
def run(data) -> Path:
    config = RunConfig(
        method=METHOD,
        data=DataConfig(shards=f"{data}/labelled", batch_size=4, workers=0),
        optimizer=AdamW(learning_rate=1e-3),
        steps=3,
        log_every=1,
        trackers=(),
        output=data / "run",
    )
    done(train.train, config)
    return data / "run"


def test_it_is_trained_saved_whole_and_scored(run, data):
    _, model = saved.load(run)
    clip = CLIP(SCENES_CLIP)
    of_clip = clip.model.visual.state_dict()
    for name, value in model.tower.visual.state_dict().items():
        assert torch.equal(value, of_clip[name]), name
    assert model.tower.prompts.prompt_tokens.any()
    for readout in METHOD.readouts:
        asked = evaluate.EvaluateConfig(
            model=str(run),
            benchmark="scenes",
            shards=f"{data}/val",
            protocol=ProtocolConfig(name="seen-unseen"),
            readout=readout,
        )
        assert evaluate.run(asked).scores.hiou is not None


def test_it_segments_anybodys_words(run):
    labels = load(run).segment(torch.rand(3, 60, 96), ["grass", "a blue whale"])
    assert labels.shape == (60, 96)
    assert set(labels.unique().tolist()) <= {0, 1}


def test_what_unseen_pixels_are_called_reaches_no_gradient_and_no_unseen_name_is_embedded(
    monkeypatch,
):
    said = []
    encode = CLIP.encode_text
    monkeypatch.setattr(CLIP, "encode_text", lambda self, t: said.extend(t) or encode(self, t))
    torch.manual_seed(0)
    model = METHOD.model()
    training = METHOD.training(model, CPU, ShardCache())
    gradients = []
    for seed in (None, 1):
        model.zero_grad()
        step = training.objective(model, painted_batch(training.transform, seed), 0)
        sum(step.losses.values()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    for name, value in gradients[0].items():
        assert torch.equal(value, gradients[1][name]), name
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learning == set(gradients[0])
    assert all(n.startswith(("tower.prompts.", "decoder.")) for n in learning)
    assert said
    assert not any(unseen in text for text in said for unseen in SCENES.unseen)


def test_the_operations_of_a_step_are_counted():
    model = METHOD.model()
    training = METHOD.training(model, CPU, ShardCache())
    flops = StepFlops(model)(training.objective, painted_batch(training.transform, images=4))
    assert flops
    assert flops > 0


def test_seen_classes_are_held_back_and_the_words_are_the_methods_own():
    model, clip = METHOD.model().eval(), CLIP(SCENES_CLIP)
    names = ("red ball", "maroon star")
    asked = queries(torch.zeros(2, 64), names=names, unseen=[1])
    images = torch.rand(1, 3, 48, 48)
    scores = METHOD.segmenter(model, clip=clip).predict(images, asked)
    with torch.no_grad():
        masks = model(images, clip.class_embeddings(names, BARE))[-1].sigmoid()
    torch.testing.assert_close(scores, masks - torch.tensor([0.1, 0.0])[:, None, None])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompts": -1}, r"method\.prompts is -1"),
        ({"zoom": 0.0}, r"method\.zoom is 0"),
        ({"initial_std": -0.1}, r"method\.initial_std is -0\.1"),
        ({"dropout": 1.0}, r"method\.dropout is 1"),
        ({"templates": "none"}, "templates 'none' are unknown"),
    ],
)
def test_wrong_numbers_are_one_line(changes, says):
    with pytest.raises(InputError, match=says):
        dataclasses.replace(METHOD, **changes)


def test_heads_that_do_not_fit_and_unknown_readouts_are_one_line():
    with pytest.raises(InputError, match=r"method\.heads is 5"):
        dataclasses.replace(METHOD, heads=5).model()
    with pytest.raises(InputError, match="ZegCLIP has decoder, patches"):
        METHOD.segmenter(METHOD.model(), "query")
