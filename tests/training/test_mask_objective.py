import pytest
import torch
import torch.nn.functional as F

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.models.backbone import Backbone
from zeroseg.models.proposals import MaskProposals, MaskProposalsConfig, Proposals
from zeroseg.training.mask_losses import dice_loss, focal_loss
from zeroseg.training.mask_objective import MaskLosses, MaskObjective

CONFIG = MaskProposalsConfig(
    backbone=Backbone(name="test_resnet", weights="", norm="group"),
    queries=5,
    width=32,
    layers=2,
    heads=4,
    feedforward=32,
    dropout=0.0,
    embed_dim=8,
)
SEEN = 3
"""Labels 0 to 2; 3 is an unseen class."""


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MaskProposals(CONFIG).train()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, SEEN, (4, 4, 4), generator=generator)
    labels[2], labels[3, :2] = 1, IGNORE
    labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)
    images = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    return Batch(tuple("abcd"), images, labels)


def objective(**losses) -> MaskObjective:
    generator = torch.Generator().manual_seed(2)
    classes = F.normalize(torch.randn(SEEN, 8, generator=generator), dim=1)
    rows = torch.full((IGNORE + 1,), IGNORE)
    rows[:SEEN] = torch.arange(SEEN)
    return MaskObjective(classes, rows, MaskLosses(**losses))


def gradients(model, objective, batches) -> dict[str, torch.Tensor]:
    model.zero_grad()
    images = sum(len(batch.keys) for batch in batches)
    for batch in batches:
        loss = sum(objective(model, batch, 0).losses.values())
        (loss * len(batch.keys) / images).backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def assert_equal(found, expected):
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        scale = gradient.abs().max().clamp(min=1e-3 * largest)
        torch.testing.assert_close(found[name] / scale, gradient / scale, atol=2e-4, rtol=0)


@pytest.mark.parametrize("losses", [{}, {"void": "ignored", "full_size": False}])
def test_a_batch_in_parts_trains_as_the_whole_does(model, batch, losses):
    asked = objective(**losses)
    whole = gradients(model, asked, [batch])
    assert_equal(gradients(model, asked, batch.split(2)), whole)
    assert_equal(gradients(model, asked, batch.split(4)), whole)
    assert whole["backbone.model.conv1.0.weight"].abs().max() > 0


@pytest.mark.parametrize("void", ["outside", "ignored"])
def test_labels_that_are_not_known_teach_alike_whatever_they_are(model, batch, void):
    painted = batch.labels.clone()
    hidden = torch.rand(batch.labels.shape, generator=torch.Generator().manual_seed(3)) < 0.3
    painted[hidden] = 3
    ignored = painted.masked_fill(hidden, IGNORE)
    first, second = (
        gradients(model, objective(void=void), [Batch(batch.keys, batch.images, labels)])
        for labels in (painted, ignored)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


class Fixed(torch.nn.Module):
    """Proposals as they are given."""

    def __init__(self, *layers: Proposals) -> None:
        super().__init__()
        self.layers = list(layers)

    def forward(self, images, classes):
        return self.layers


def test_losses_by_hand():
    """Two queries; the class 1 covers the upper half. The second query is nearer to it."""
    masks = torch.tensor([[[[-2.0, -2.0], [2.0, 2.0]], [[1.0, 1.0], [-1.0, 0.0]]]])
    logits = torch.tensor([[[0.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, 0.0]]])
    layer = Proposals(masks, torch.zeros(1, 2, 8), logits)
    labels = torch.tensor([[[1, 1], [IGNORE, IGNORE]]])
    batch = Batch(("a",), torch.zeros(1, 3, 2, 2, dtype=torch.uint8), labels)
    step = objective()(Fixed(layer, layer), batch, 0)
    chance = logits[0].log_softmax(dim=1)
    entropy = -(chance[1, 1] + 0.1 * chance[0, 3]) / 1.1
    predicted, target = masks[0, 1].flatten()[None], torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    every = torch.ones(1, 4)
    torch.testing.assert_close(step.losses["class"], 2 * entropy)
    torch.testing.assert_close(step.losses["focal"], 40 * focal_loss(predicted, target, every)[0])
    torch.testing.assert_close(step.losses["dice"], 2 * dice_loss(predicted, target, every)[0])
    assert {name: float(value) for name, value in step.figures.items()} == {
        "masks/iou": 1.0,
        "masks/right_class": 1.0,
        "masks/no_object": 0.5,
    }
    ignoring = objective(void="ignored")(Fixed(layer), batch, 0)
    upper = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(
        ignoring.losses["focal"], 20 * focal_loss(predicted, target, upper)[0]
    )


def test_masks_or_labels_are_brought_to_one_size():
    masks = torch.tensor([[[[1.0, -1.0], [0.5, -2.0]]]])
    layer = Proposals(masks, torch.zeros(1, 1, 8), torch.zeros(1, 1, 4))
    labels = torch.tensor([[[0, IGNORE, IGNORE, IGNORE]] * 4])
    batch = Batch(("a",), torch.zeros(1, 3, 4, 4, dtype=torch.uint8), labels)
    truth = (labels == 0).float()
    large = F.interpolate(masks, (4, 4), mode="bilinear").flatten(2)[0]
    step = objective()(Fixed(layer), batch, 0)
    torch.testing.assert_close(
        step.losses["dice"], dice_loss(large, truth.flatten(1), torch.ones(1, 16))[0]
    )
    step = objective(full_size=False)(Fixed(layer), batch, 0)
    half = torch.tensor([[0.5, 0.0, 0.5, 0.0]])
    torch.testing.assert_close(
        step.losses["dice"], dice_loss(masks.flatten(1), half, torch.ones(1, 4))[0]
    )


def test_images_without_a_target_are_welcome_alone_and_with_others(model, batch):
    hidden = Batch(batch.keys, batch.images, torch.full_like(batch.labels, IGNORE))
    step = objective()(model, hidden, 0)
    assert step.losses["focal"] == step.losses["dice"] == step.figures["masks/iou"] == 0
    sum(step.losses.values()).backward()
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert [n for n in trained if model.get_parameter(n).grad is None] == []
    mixed = Batch(batch.keys, batch.images, batch.labels.clone())
    mixed.labels[1] = IGNORE
    assert all(loss.isfinite() for loss in objective()(model, mixed, 0).losses.values())


def test_more_classes_than_queries_are_matched_as_far_as_they_go():
    masks = torch.randn(1, 1, 4, 4)
    layer = Proposals(masks, torch.zeros(1, 1, 8), torch.zeros(1, 1, 4))
    labels = torch.arange(16).view(1, 4, 4) % SEEN
    batch = Batch(("a",), torch.zeros(1, 3, 4, 4, dtype=torch.uint8), labels)
    step = objective()(Fixed(layer), batch, 0)
    assert all(loss.isfinite() for loss in step.losses.values())
