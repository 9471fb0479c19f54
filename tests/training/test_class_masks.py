"""Focal and dice losses of class masks, by hand; and what they never look at."""

import math

import pytest
import torch
from torch import nn

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError
from zeroseg.training.class_masks import (
    ClassMaskLoss,
    ClassMaskObjective,
    class_masks,
    dice_loss,
    focal_loss,
)

ROWS = torch.full((IGNORE + 1,), IGNORE)
ROWS[[2, 5, 7]] = torch.arange(3)
"""Three trained classes of a benchmark; all else is unseen or ignored."""


class Masks(nn.Module):
    """Two layers of masks from pixels, one a class."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(2, 3, 3))

    def forward(self, images, classes):
        return torch.einsum("lcd,bdhw->lbchw", self.weights, images)


def batch(labels=None, images=4) -> Batch:
    generator = torch.Generator().manual_seed(3)
    shown = torch.randint(256, (images, 3, 4, 4), dtype=torch.uint8, generator=generator)
    drawn = torch.tensor([2, 5, 7, 9, IGNORE])[
        torch.randint(5, (images, 8, 8), generator=generator)
    ]
    keys = tuple(str(i) for i in range(images))
    return Batch(keys, shown, drawn if labels is None else labels)


def objective(**changes) -> ClassMaskObjective:
    return ClassMaskObjective(torch.zeros(3, 1), ROWS, ClassMaskLoss(**changes))


def gradient(changes, part: Batch):
    torch.manual_seed(0)
    model = Masks()
    step = objective(**changes)(model, part, 0)
    loss = torch.stack(list(step.losses.values())).sum()
    loss.backward()
    return loss.detach(), model.weights.grad


def test_focal_loss_by_hand():
    logits = torch.tensor([[[0.0, 2.0, -1.0]]])
    truth = torch.tensor([[[1.0, 0.0, 1.0]]])
    counted = torch.tensor([[[True, True, False]]])
    wrong = 1 / (1 + math.exp(-2))
    expected = (0.25 * 0.5**2 * math.log(2) - 0.75 * wrong**2 * math.log(1 - wrong)) / 2
    assert focal_loss(logits, truth, counted, 0.25, 2.0).item() == pytest.approx(expected)


def test_dice_loss_by_hand():
    logits = torch.tensor([[[0.0, 2.0, 9.0]]])
    truth = torch.tensor([[[1.0, 0.0, 1.0]]])
    counted = torch.tensor([[[True, True, False]]])
    second = 1 / (1 + math.exp(-2))
    expected = 1 - (2 * 0.5 + 1) / (0.5 + second + 1 + 1)
    assert dice_loss(logits, truth, counted).item() == pytest.approx(expected)


def test_an_images_losses_are_shared_by_the_classes_that_it_has():
    labels = torch.full((1, 4, 4), 5)
    labels[0, 0] = 2
    part = batch(labels, images=1)
    model = Masks()
    step = objective(focal=3.0, dice=2.0)(model, part, 0)
    logits = model(part.pixels, None)[-1].flatten(2)
    truth, counted = class_masks(ROWS[labels].flatten(1), 3), torch.ones(1, 1, 16, dtype=torch.bool)
    focal = focal_loss(logits, truth, counted, 0.25, 2.0).sum() / 2
    dice = dice_loss(logits, truth, counted)[0, :2].mean()
    torch.testing.assert_close(step.losses["focal"], 3 * focal)
    torch.testing.assert_close(step.losses["dice"], 2 * dice)


def test_deep_supervision_adds_the_losses_of_all_layers():
    labels = batch()
    first, last = (objective() for _ in range(2))
    model = Masks()
    swapped = Masks()
    swapped.weights = nn.Parameter(model.weights.detach().flip(0))
    alone = [first(model, labels, 0).losses["focal"], last(swapped, labels, 0).losses["focal"]]
    both = objective(deep_supervision=True)(model, labels, 0).losses["focal"]
    torch.testing.assert_close(both, alone[0] + alone[1])


@pytest.mark.parametrize("changes", [{}, {"deep_supervision": True}, {"unlabelled": "negative"}])
def test_a_batch_in_parts_is_the_whole(changes):
    whole, parts = batch(), batch().split(2)
    loss, grad = gradient(changes, whole)
    made = [gradient(changes, part) for part in parts]
    torch.testing.assert_close((made[0][0] + made[1][0]) / 2, loss)
    torch.testing.assert_close((made[0][1] + made[1][1]) / 2, grad)


@pytest.mark.parametrize("unlabelled", ["ignored", "negative"])
def test_what_unseen_pixels_are_called_reaches_no_gradient(unlabelled):
    labels = batch().labels
    painted = labels.clone()
    hidden = ROWS[labels] == IGNORE
    painted[hidden] = torch.tensor([9, 11, 254])[torch.randint(3, (int(hidden.sum()),))]
    made = [gradient({"unlabelled": unlabelled}, batch(one)) for one in (labels, painted)]
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)


def test_an_ignored_pixel_says_nothing_and_a_negative_one_that_no_class_is_there():
    labels = torch.full((1, 4, 4), IGNORE)
    assert gradient({}, batch(labels, images=1))[1].abs().max() == 0
    assert gradient({"unlabelled": "negative"}, batch(labels, images=1))[1].abs().max() > 0


def test_a_stride_looks_at_every_so_many_th_pixel_alone():
    labels = batch().labels
    painted = torch.full_like(labels, 2)
    painted[:, 1::4, 1::4] = labels[:, 1::4, 1::4]
    made = [gradient({"stride": 4}, batch(one)) for one in (labels, painted)]
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)
    with pytest.raises(InputError, match=r"method\.loss\.stride is 0"):
        ClassMaskLoss(stride=0)
