"""The student's step beside GroupViT's and a plain ViT's of the same size.

    uv run --group bench python -m benchmarks.students

ViT-S/16 at 224 pixels, random weights, the same images, the same fused AdamW, the mean square of each
output as a loss: forward, backward and update. All take turns in one process; what counts are the ratios
of a round. `one shape` is our code in GroupViT's own shape (6, 3 and 3 layers, 64 and 8 segments); `paper`
is ZeroSeg's (12 layers and a head of 2, 2 and 1, 32 and 8 segments), which computes more.

Operations are of `zeroseg.models.flops`; GroupViT's are torch's count, whose attention is written out and
hides nothing from it. `a step's operation` is time for each operation, as a ratio to the plain ViT's: what
grouping costs beyond its arithmetic.
"""

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import timm
import torch
import tyro
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm
from transformers import GroupViTVisionConfig, GroupViTVisionModel

from benchmarks.teacher import seconds
from zeroseg.models.flops import student_flops
from zeroseg.models.precision import has_fast_bfloat16
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig

Outputs = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How much, how often."""

    images: int = 8
    """In a batch."""
    rounds: int = 7
    precision: str = "auto"
    """fp32, bf16, or what zeroseg takes on this device."""
    device: str = "cpu"


PAPER = ZeroSegConfig(width=384, num_heads=6, embed_dim=512, decoder_depth=0, mask_ratio=0.0)
SHAPE = replace(PAPER, depth=0, head_layers=(6, 3, 3), segment_tokens=(64, 8))
"""GroupViT's: no layer of the trunk is without segment tokens."""


@dataclass(frozen=True)
class Contestant:
    """A model, what of its output is trained, and an image's operations forward."""

    model: nn.Module
    outputs: Outputs
    flops: float


def ours(config: ZeroSegConfig) -> Contestant:
    """The student, of which every output enters the loss."""
    model = ZeroSeg(config)

    def outputs(images: Tensor) -> list[Tensor]:
        output = model(images)
        return [output.segments, output.whole, output.assignment]

    return Contestant(model, outputs, student_flops(config))


def groupvit() -> Contestant:
    """Hugging Face's, with the configuration that it has by default."""
    model = GroupViTVisionModel(GroupViTVisionConfig())
    with FlopCounterMode(display=False) as counter:
        model.train()(torch.zeros(1, 3, 224, 224))

    def outputs(images: Tensor) -> list[Tensor]:
        output = model(images)
        return [output.last_hidden_state, output.pooler_output]

    return Contestant(model, outputs, counter.get_total_flops())


def plain_vit() -> Contestant:
    """timm's, its patches averaged; our trunk's blocks and nothing else."""
    model = timm.create_model(
        "vit_small_patch16_224", num_classes=0, class_token=False, global_pool="avg"
    )
    with FlopCounterMode(display=False) as counter:
        model.train()(torch.zeros(1, 3, 224, 224))
    return Contestant(model, lambda images: [model(images)], counter.get_total_flops())


def step(contestant: Contestant, images: Tensor, bf16: bool) -> Callable[[], Tensor]:
    """Forward, backward and an update."""
    model = contestant.model.to(images.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

    def run() -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            outputs = contestant.outputs(images)
        loss = torch.stack([output.float().square().mean() for output in outputs]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return run
