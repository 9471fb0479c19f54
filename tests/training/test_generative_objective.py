"""What ZS3Net learns from: functions of (key, step), the same for a batch and for its parts."""

import pytest
import torch

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.models.backbone import Backbone
from zeroseg.models.deeplab import DeepLabConfig
from zeroseg.models.generator import GeneratorConfig, propagation
from zeroseg.models.zs3net import ZS3Network
from zeroseg.training.class_pixels import class_pixels
from zeroseg.training.generative_objective import Generation, GenerativeLearning
from zeroseg.training.pixel_losses import cell_labels
from zeroseg.training.randomness import generator_for

NETWORK = DeepLabConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group", output_stride=16),
    width=16,
    low_level_width=8,
    rates=(1,),
    dropout=(0.0, 0.0, 0.0),
)
GENERATOR = GeneratorConfig(embed_dim=4, noise_dim=3, hidden=8, dropout=0.0)
UNSEEN = (2, 5)


@pytest.fixture
def model() -> ZS3Network:
    torch.manual_seed(0)
    return ZS3Network(NETWORK, 6, GENERATOR, regions=True)


def objective(**changes) -> GenerativeLearning:
    few = {"pixels": 5, "slots": 3, "unseen_pixels": 4, "context_weight": 0.1}
    embeddings = torch.nn.functional.normalize(torch.arange(24.0).view(6, 4).sin(), dim=1)
    return GenerativeLearning(embeddings, UNSEEN, GENERATOR, Generation(**few | changes))


def batch() -> Batch:
    draws = torch.Generator().manual_seed(1)
    labels = torch.tensor([0, 1, 3, 4, IGNORE])[
        torch.randint(5, (4, 4, 4), generator=draws).repeat_interleave(8, 1).repeat_interleave(8, 2)
    ]
    labels[3] = IGNORE
    images = torch.randint(256, (4, 3, 32, 32), generator=draws).byte()
    return Batch(("a", "b", "c", "d"), images, labels)


def gradients(model, batches, step=0) -> dict[str, torch.Tensor]:
    model.zero_grad()
    for part in batches:
        said = objective()(model, part, step)
        (sum(said.losses.values()) / len(batches)).backward()
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def test_a_batch_in_parts_trains_as_the_whole(model):
    whole, parts = gradients(model, [batch()]), gradients(model, batch().split(2))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.allclose(parts[name], value, atol=1e-6), name


def test_only_generators_and_classifier_learn_and_noise_is_of_the_step(model):
    first, again, later = (gradients(model, [batch()], step) for step in (0, 0, 1))
    kinds = {name.partition(".")[0] for name in first}
    assert kinds == {"classifier", "generator", "graph_generator"}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["generator.out.weight"], later["generator.out.weight"])


def test_the_classifier_moves_no_generator(model):
    said = objective()(model, batch(), 0)
    said.losses["classifier"].backward()
    moved = {k.partition(".")[0] for k, p in model.named_parameters() if p.grad is not None}
    assert moved == {"classifier"}


def test_what_is_frozen_stays_in_eval_mode(model):
    model.train()
    assert model.generator.training
    assert not any(m.training for part in model.frozen for m in part.modules())


def test_an_unseen_feature_weighs_as_it_is_told(model):
    heavy, light = (
        objective(unseen_weight=weight, context_weight=0.0)(model, batch(), 0).losses["classifier"]
        for weight in (1e9, 1e-9)
    )
    said = model(batch().pixels, objective()._asked(*shown()))
    unseen = said.generated_logits[:, -8:]
    labels = torch.tensor([2] * 4 + [5] * 4).expand(4, -1)
    assert torch.allclose(heavy, torch.nn.functional.cross_entropy(unseen.mT, labels), atol=1e-3)
    assert light < 3


def shown():
    cells = cell_labels(batch().labels, (8, 8))
    draws = [generator_for(key, 0) for key in batch().keys]
    scores = torch.stack([torch.rand(64, generator=g) for g in draws])
    return class_pixels(cells, scores, classes=6, slots=3, pixels=5), None, draws


def test_pixels_are_of_the_most_frequent_classes():
    labels = torch.tensor([[[0, 0, 0], [3, 3, IGNORE], [1, IGNORE, IGNORE]]])
    draws = torch.tensor([[0.1, 0.9, 0.5, 0.2, 0.3, 1.0, 0.4, 1.0, 1.0]])
    found = class_pixels(labels, draws, classes=4, slots=2, pixels=2)
    assert found.classes.tolist() == [[0, 3]]
    assert found.places.tolist() == [[[1, 2], [4, 3]]]
    assert found.chosen.all()
    every = class_pixels(labels, draws, classes=4, slots=4, pixels=3)
    assert every.chosen.sum(dim=2).tolist() == [[3, 2, 1, 0]]
    features = torch.arange(18.0).view(1, 2, 3, 3)
    assert found.of(features)[0, 1].tolist() == [[4, 13], [3, 12]]


def test_what_passes_between_regions_by_hand():
    touching = torch.tensor([[False, True, False], [True, False, False], [False] * 3])
    assert torch.allclose(
        propagation(touching), torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    )
