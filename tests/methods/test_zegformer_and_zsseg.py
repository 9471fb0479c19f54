"""ZegFormer and zsseg as methods: trained, saved, loaded, scored and asked, and what they refuse."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from pipelines import evaluate, train
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import done
from tests.support.painted import painted_batch
from tests.support.training_runs import rows
from zeroseg import (
    CLIP,
    SGD,
    AdamW,
    CLIPConfig,
    DataConfig,
    InputError,
    ProtocolConfig,
    RunConfig,
    Watch,
    load,
)
from zeroseg.data.augmentation import Augmentation
from zeroseg.datasets.benchmarks import IGNORE, SCENES
from zeroseg.methods import saved
from zeroseg.methods.deeplab import DeepLab
from zeroseg.methods.prompt_learning import PromptLearning
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained
from zeroseg.methods.zegformer import ZegFormer
from zeroseg.methods.zsseg import ZSSeg
from zeroseg.models.backbone import Backbone
from zeroseg.models.deeplab import DeepLabConfig
from zeroseg.models.learnt_prompt import PromptConfig
from zeroseg.models.proposals import MaskProposalsConfig
from zeroseg.store.shard_cache import ShardCache

CLIP_OF_SCENES = CLIPConfig(architecture="zeroseg-scenes", weights="")
PROPOSALS = MaskProposalsConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group"),
    queries=4,
    width=32,
    layers=2,
    heads=2,
    feedforward=16,
    dropout=0.0,
    embed_dim=64,
)
SHARED = {
    "clip": CLIP_OF_SCENES,
    "labels": Supervision(split="scenes", augmentation=Augmentation(size=56)),
}
PROMPT = PromptConfig(length=4, width=64)
ZEGFORMER = ZegFormer(**SHARED, proposals=PROPOSALS)
ZSSEG = ZSSeg(**SHARED, proposals=PROPOSALS)
PROMPTS = PromptLearning(**SHARED, prompt=PROMPT)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    for split, images in (("train", 16), ("val", 4)):
        source = scenes.Scenes(split, images).source()
        build(source, str(folder / split), Limits(images_per_shard=8, workers=0))
    return folder


def config(data: Path, output: Path, method, **changes) -> RunConfig:
    return RunConfig(
        **{
            "method": method,
            "data": DataConfig(shards=f"{data}/train", batch_size=4, workers=0),
            "optimizer": AdamW(learning_rate=1e-3),
            "steps": 3,
            "log_every": 1,
            "trackers": (),
            "output": output,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def prompt(data, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("prompt") / "run"
    done(train.train, config(data, output, PROMPTS, optimizer=SGD(learning_rate=0.02)))
    return output


@pytest.fixture(scope="module", params=[ZegFormer, ZSSeg])
def run(request, data, tmp_path_factory) -> Path:
    """One process trains ZegFormer, two train zsseg, which takes a learnt prompt."""
    method = ZEGFORMER
    if request.param is ZSSeg:
        learnt = Trained(path=str(request.getfixturevalue("prompt")))
        method = dataclasses.replace(ZSSEG, prompt_from=learnt, prompt=PROMPT)
    output = tmp_path_factory.mktemp("run") / "run"
    watch = Watch(
        shards=f"{data}/val",
        benchmark="scenes",
        every=3,
        images=2,
        pictures=1,
        protocol=ProtocolConfig(name="seen-unseen"),
    )
    ranks = 2 if request.param is ZSSeg else 1
    done(train.train, config(data, output, method, watch=watch), ranks=ranks)
    return output


def test_every_readout_of_a_saved_model_is_scored(run, data):
    description, _ = saved.load(run)
    asked = evaluate.EvaluateConfig(
        model=str(run),
        benchmark="scenes",
        shards=f"{data}/val",
        protocol=ProtocolConfig(name="seen-unseen"),
        examples=0,
    )
    for readout in description.method.readouts:
        result = evaluate.run(dataclasses.replace(asked, readout=readout))
        assert result.scores.hiou is not None
    assert len(list((run / "results").glob("*.json"))) == len(description.method.readouts)
    assert "watch/seen_miou" in rows(run)[-1]
    with pytest.raises(InputError, match="softmax"):
        evaluate.run(dataclasses.replace(asked, protocol=ProtocolConfig(name="scenes")))
    with pytest.raises(InputError, match="readout 'patches'"):
        evaluate.run(dataclasses.replace(asked, readout="patches"))


def test_a_saved_model_answers_one_s_own_words(run):
    model = load(run)
    labels = model.segment(torch.rand(3, 60, 75), ["red ball", "pond|water", "silver spoon"])
    assert labels.shape == (60, 75)
    assert set(labels.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("run", [ZSSeg], indirect=True)
def test_a_learnt_prompt_is_a_part_of_the_saved_model(run, prompt):
    learnt = saved.load(prompt)[1].vectors
    away = prompt.rename(prompt.with_name("away"))
    try:
        description, model = saved.load(run)
    finally:
        away.rename(prompt)
    assert torch.equal(model.prompt.vectors, learnt)
    names, clip = ("red ball", "tent"), CLIP(CLIP_OF_SCENES)
    assert torch.equal(
        description.method.embed_regions(model, clip, names), model.prompt(clip, names)
    )
    templates = ZSSEG.embed_regions(model, clip, names)
    assert torch.equal(description.method.embed_queries(model, clip, names), templates)
    prompted = dataclasses.replace(description.method, prompted_queries=True)
    assert torch.equal(prompted.embed_queries(model, clip, names), model.prompt(clip, names))


def test_a_stage_starts_from_the_model_before_and_no_step_changes_no_answer(run, data, tmp_path):
    description, before = saved.load(run)
    method = dataclasses.replace(description.method, start=Trained(path=str(run)))
    done(train.train, config(data, tmp_path / "next", method, steps=0))
    after = saved.load(tmp_path / "next")[1]
    tensors = after.state_dict()
    assert all(torch.equal(value, tensors[name]) for name, value in before.state_dict().items())


def test_the_backbone_of_a_deeplab_is_a_start(tmp_path):
    backbone = dataclasses.replace(PROPOSALS.backbone, output_stride=16)
    before = DeepLab(labels=SHARED["labels"], network=DeepLabConfig(backbone=backbone))
    description = saved.ModelDescription(method=before, text=CLIP_OF_SCENES)
    tensors = before.model().state_dict()
    saved.save(tmp_path / "model", description, tensors)
    method = dataclasses.replace(ZEGFORMER, start=Trained(path=str(tmp_path)))
    model = method.model()
    untouched = {name: value.clone() for name, value in model.state_dict().items()}
    method.begin(model)
    for name, value in model.state_dict().items():
        expected = tensors if name.startswith("backbone.") else untouched
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("method", [ZEGFORMER, ZSSEG, PROMPTS], ids=lambda m: m.label)
def test_no_unseen_label_moves_a_gradient_and_no_unseen_name_is_embedded(method, monkeypatch):
    said = []
    encode = CLIP.encode_text

    def spy(self, texts):
        said.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(CLIP, "encode_text", spy)
    words = PROMPTS.labels.names
    torch.manual_seed(0)
    model = method.model()
    training = method.training(model, CPU, ShardCache())
    gradients = []
    for seed in (None, 1, 2):
        model.zero_grad()
        step = training.objective(model, painted_batch(training.transform, seed), 0)
        sum(step.losses.values()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0]
    for other in gradients[1:]:
        assert all(torch.equal(value, other[name]) for name, value in gradients[0].items())
    assert not any(unseen in text for text in said for unseen in SCENES.unseen)
    assert set(words).isdisjoint(SCENES.unseen)


def test_a_prompt_does_not_even_see_the_colours_of_unseen_pixels():
    model = PROMPTS.model()
    training = PROMPTS.training(model, CPU, ShardCache())
    batch = painted_batch(training.transform)
    hidden = (batch.labels == IGNORE)[:, None]
    noise = torch.randint(0, 256, batch.images.shape, dtype=torch.uint8)
    painted = dataclasses.replace(batch, images=torch.where(hidden, noise, batch.images))
    losses = [training.objective(model, of, 0).losses["prompt"] for of in (batch, painted)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("method", [ZEGFORMER, PROMPTS], ids=lambda m: m.label)
def test_a_batch_in_parts_trains_as_the_whole_does(method):
    torch.manual_seed(0)
    model = method.model()
    training = method.training(model, CPU, ShardCache())
    batch = painted_batch(training.transform, images=4)

    def total(of):
        return sum(training.objective(model, of, 0).losses.values())

    parts = torch.stack([total(part) for part in batch.split(2)]).mean()
    torch.testing.assert_close(parts, total(batch))


def test_a_prompt_learns(prompt):
    made = [row for row in rows(prompt) if "loss/prompt" in row]
    assert len(made) == 3
    assert all(0 <= row["prompt/right"] <= 1 for row in made)


def test_a_prompt_segments_nothing(prompt):
    with pytest.raises(InputError, match="prompt_from"):
        load(prompt).segment(torch.rand(3, 56, 56), ["red ball", "tent"])


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (
            dataclasses.replace(ZEGFORMER, proposals=dataclasses.replace(PROPOSALS, embed_dim=8)),
            "embed_dim to that",
        ),
        (dataclasses.replace(PROMPTS, prompt=PromptConfig(length=4, width=8)), "prompt.width"),
        (dataclasses.replace(PROMPTS, prompt=PromptConfig(length=30, width=64)), "context"),
        (dataclasses.replace(ZEGFORMER, start=Trained(path="nowhere")), "nowhere"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(method, says):
    with pytest.raises(InputError, match=says):
        method.training(method.model(), CPU, ShardCache())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"share": 1.5}, "share"),
        ({"gamma": -1.0}, "gamma"),
        ({"backbone_rate": 2.0}, "backbone_rate"),
        ({"query_templates": "none"}, "templates 'none'"),
    ],
)
def test_values_out_of_range_are_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        dataclasses.replace(ZEGFORMER, **wrong)


def test_a_model_of_another_method_is_no_start(run):
    other = (
        ZSSEG
        if "ZegFormer" in json.dumps(json.loads((run / "model/model.json").read_text()))
        else ZEGFORMER
    )
    method = dataclasses.replace(other, start=Trained(path=str(run)))
    with pytest.raises(InputError, match="this stage starts from"):
        method.training(method.model(), CPU, ShardCache())
