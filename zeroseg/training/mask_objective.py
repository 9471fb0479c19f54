"""Objective of mask proposals: each true mask is matched to a query, in every decoder layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from zeroseg.data.batch import Batch
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.models.proposals import Proposals
from zeroseg.training.mask_losses import dice_loss, focal_loss, mask_iou
from zeroseg.training.matching import Costs, Pairs, Targets, assign, pair_costs, targets_of
from zeroseg.training.objective import Figures, Step


@dataclass(frozen=True, kw_only=True)
class MaskLosses:
    """MaskFormer's losses, by default with the weights of ZegFormer and zsseg."""

    class_weight: float = 1.0
    focal_weight: float = 20.0
    dice_weight: float = 1.0
    no_object_weight: float = 0.1
    """Of queries without a target in the cross entropy."""
    costs: Costs = field(default_factory=Costs)
    void: Literal["outside", "ignored"] = "outside"
    """What pixels without a label are to masks: outside of each, as in the papers, or (ours) nothing
    that a loss or a cost counts."""
    full_size: bool = True
    """Whether predicted masks are brought to the size of the label map, as in MaskFormer; else (ours,
    faster) label maps are to that of the masks, where a target is the share of each cell."""


class Matched(NamedTuple):
    """Masks of a layer's pairs, flat, beside their targets."""

    logits: Float[Tensor, "mask pixel"]
    targets: Float[Tensor, "mask pixel"]
    counted: Float[Tensor, "mask pixel"]
    shares: Float[Tensor, " mask"]
    """Of each mask in the mean over an image's masks, then over images; they sum to the share of images
    that have a target."""


@dataclass(frozen=True)
class MaskObjective:
    """Cross entropy of classes and "no object", focal and dice losses of matched masks.

    The losses of the layers are summed. Each is a mean over an image's queries or masks, then over
    images (ours: DETR divides by the masks of the batch), so that parts of a batch train as the whole
    does. An image without a target teaches its queries that there is none.
    """

    classes: Float[Tensor, "class embed"]
    """Unit embeddings of the classes that training may know."""
    rows: Int[Tensor, " label"]
    """Of each label its class's row in `classes`, or IGNORE."""
    losses: MaskLosses = field(default_factory=MaskLosses)

    def __call__(self, model: nn.Module, batch: Batch, step: int) -> Step:
        """Losses `class`, `focal` and `dice`; of the last layer the IoU of matched masks, 0 for an image
        without a target, the share of pairs whose class is right, and of queries that say "no object"."""
        assert batch.labels is not None
        rows = self.rows[batch.labels]
        counted = (
            (rows != IGNORE).float()
            if self.losses.void == "ignored"
            else torch.ones_like(rows).float()
        )
        layers: list[Proposals] = model(batch.pixels, self.classes)
        targets = [targets_of(image) for image in rows]
        pairs = self._pairs(layers, targets, counted)
        truth = [
            self._truth(layer, found, targets) for layer, found in zip(layers, pairs, strict=True)
        ]
        matched = [
            gather(layer, found, targets, counted, self.losses.full_size)
            for layer, found in zip(layers, pairs, strict=True)
        ]
        losses = {
            "class": self.losses.class_weight * self._class_loss(layers, truth),
            "focal": self.losses.focal_weight * sum_of(focal_loss, matched),
            "dice": self.losses.dice_weight * sum_of(dice_loss, matched),
        }
        return Step(losses, figures(layers[-1], truth[-1], matched[-1]))

    @torch.no_grad()
    def _pairs(
        self,
        layers: Sequence[Proposals],
        targets: Sequence[Targets],
        counted: Float[Tensor, "batch height width"],
    ) -> list[list[Pairs]]:
        """Of every layer and image."""
        costs = [
            pair_costs(masks.float(), logits.float(), target, pixels, self.losses.costs)
            for layer in layers
            for masks, logits, target, pixels in zip(
                layer.masks, classified(layer), targets, counted, strict=True
            )
        ]
        found, images = assign(costs), len(targets)
        return [found[i : i + images] for i in range(0, len(found), images)]

    def _truth(
        self, layer: Proposals, pairs: Sequence[Pairs], targets: Sequence[Targets]
    ) -> Int[Tensor, "batch query"]:
        """Class row of every query; the last row and one is "no object"."""
        truth = torch.full(layer.masks.shape[:2], len(self.classes), device=layer.masks.device)
        for image, (pair, target) in enumerate(zip(pairs, targets, strict=True)):
            truth[image, pair.queries] = target.classes[pair.targets]
        return truth

    def _class_loss(
        self, layers: Sequence[Proposals], truth: Sequence[Int[Tensor, "batch query"]]
    ) -> Float[Tensor, ""]:
        """Weighted mean over queries, mean over images, sum over layers."""
        weights = torch.ones(len(self.classes) + 1, device=self.classes.device)
        weights[-1] = self.losses.no_object_weight
        total = self.classes.new_zeros(())
        for layer, target in zip(layers, truth, strict=True):
            logits = classified(layer).float().transpose(1, 2)
            each = F.cross_entropy(logits, target, weights, reduction="none").sum(dim=1)
            total = total + (each / weights[target].sum(dim=1)).mean()
        return total


def classified(layer: Proposals) -> Float[Tensor, "batch proposal class_and_none"]:
    """Logits of proposals that were asked for classes."""
    assert layer.logits is not None
    return layer.logits


def gather(
    layer: Proposals,
    pairs: Sequence[Pairs],
    targets: Sequence[Targets],
    counted: Float[Tensor, "batch height width"],
    full_size: bool,
) -> Matched:
    """Masks of matched queries and their targets at one size, see `MaskLosses.full_size`."""
    device, sizes = layer.masks.device, [len(pair.queries) for pair in pairs]
    images = torch.arange(len(pairs), device=device).repeat_interleave(
        torch.tensor(sizes, device=device)
    )
    masks = layer.masks[images, torch.cat([pair.queries for pair in pairs])].float()
    truth = torch.cat([t.masks[p.targets] for t, p in zip(targets, pairs, strict=True)])
    pixels = counted[images]
    if full_size:
        masks = F.interpolate(masks[:, None], truth.shape[1:], mode="bilinear", align_corners=False)
    else:
        truth, pixels = (
            F.interpolate(maps[:, None], masks.shape[1:], mode="area") for maps in (truth, pixels)
        )
    shares = [1 / (size * len(pairs)) for size in sizes for _ in range(size)]
    return Matched(
        masks.flatten(1), truth.flatten(1), pixels.flatten(1), torch.tensor(shares, device=device)
    )


def sum_of(
    loss: Callable[..., Float[Tensor, " mask"]], matched: Sequence[Matched]
) -> Float[Tensor, ""]:
    """The loss of every layer, mean over an image's masks and over images, summed."""
    parts = [loss(m.logits, m.targets, m.counted) @ m.shares for m in matched]
    return torch.stack(parts).sum()


@torch.no_grad()
def figures(layer: Proposals, truth: Int[Tensor, "batch query"], matched: Matched) -> Figures:
    """What is watched of a layer."""
    logits = classified(layer)
    none, found = logits.shape[2] - 1, logits.argmax(dim=2)
    is_pair = truth < none
    right = ((found == truth) & is_pair).sum(dim=1) / is_pair.sum(dim=1).clamp(min=1)
    return {
        "masks/iou": mask_iou(matched.logits, matched.targets, matched.counted) @ matched.shares,
        "masks/right_class": right.mean(),
        "masks/no_object": (found == none).float().mean(),
    }
