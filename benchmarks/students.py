"""The student's step beside GroupViT's and a plain ViT's of the same width.

    OMP_NUM_THREADS=1 uv run --group bench python -m benchmarks.students

ViT-S/16 at 224 pixels, random weights, the same images, the same fused AdamW, the mean square of each
output as a loss: forward, backward and update. All take turns in one process; what counts are the ratios
of a round. On a CPU processor seconds are counted, which other programs disturb less than wall time.

"GroupViT's layers": 6, 3 and 3 layers, all of them beside segment tokens, as in GroupViT; with its 64 and 8
segments, which is the same network, or with ZeroSeg's 32 and 8. "ZeroSeg's layers": a trunk of 12 and a
head of 2, 2 and 1, which computes more. Operations are torch's count (`zeroseg.training.flops`). The last
column is time for each operation as a ratio to the plain ViT's: what grouping costs beyond its arithmetic.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import timm
import torch
import tyro
from torch import Tensor, nn
from tqdm import tqdm
from transformers import GroupViTVisionConfig, GroupViTVisionModel

from zeroseg.models.precision import has_fast_bfloat16
from zeroseg.models.vit import ViT
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.flops import flop_counter

Outputs = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How much, how often."""

    images: int = 8
    """In a batch."""
    rounds: int = 7
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is what zeroseg takes on this device."""
    device: str = "cpu"


PAPER = ZeroSegConfig(
    trunk=ViT(width=384, num_heads=6), embed_dim=512, decoder_depth=0, mask_ratio=0.0
)
SHAPED = replace(
    PAPER, trunk=ViT(width=384, depth=0, num_heads=6), head_layers=(6, 3, 3), segment_tokens=(64, 8)
)
STUDENTS = {
    "GroupViT's layers and segments": SHAPED,
    "GroupViT's layers, 32 and 8 segments": replace(SHAPED, segment_tokens=(32, 8)),
    "ZeroSeg's layers": PAPER,
}


@dataclass(frozen=True)
class Contestant:
    """A model, and what of its output is trained."""

    model: nn.Module
    outputs: Outputs

    @property
    def flops(self) -> int:
        """An image's operations forward."""
        device = next(self.model.parameters()).device
        with flop_counter() as counter:
            self.model.train()(torch.zeros(1, 3, 224, 224, device=device))
        return counter.get_total_flops()


def ours(config: ZeroSegConfig) -> Contestant:
    """The student, of which every output enters the loss."""
    model = ZeroSeg(config)

    def outputs(images: Tensor) -> list[Tensor]:
        output = model(images)
        return [output.segments, output.global_feature, output.assignment]

    return Contestant(model, outputs)


def groupvit() -> Contestant:
    """Hugging Face's, with the configuration that it has by default."""
    model = GroupViTVisionModel(GroupViTVisionConfig())

    def outputs(images: Tensor) -> list[Tensor]:
        output = model(images)
        return [output.last_hidden_state, output.pooler_output]

    return Contestant(model, outputs)


def plain_vit() -> Contestant:
    """timm's, its patches averaged; our trunk's blocks and nothing else."""
    model = timm.create_model(
        "vit_small_patch16_224", num_classes=0, class_token=False, global_pool="avg"
    )
    return Contestant(model, lambda images: [model(images)])


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


def seconds(run: Callable[[], Tensor], device: str) -> float:
    """How long one step takes; of a CPU, what it worked."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    begun = clock()
    run().item()
    return clock() - begun


def spread(ratios: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f}"


def main(config: BenchmarkConfig) -> None:
    """Print the table."""
    torch.manual_seed(0)
    auto = has_fast_bfloat16(torch.device(config.device))
    bf16 = auto if config.precision == "auto" else config.precision == "bf16"
    images = torch.rand(config.images, 3, 224, 224, device=config.device)
    contestants = {"GroupViT (transformers)": groupvit(), "plain ViT-S/16 (timm)": plain_vit()}
    for name, student in STUDENTS.items():
        contestants[f"zeroseg, {name}"] = ours(student)
        contestants[f"zeroseg, {name}, 60 % hidden"] = ours(replace(student, mask_ratio=0.6))
    steps = {name: step(c, images, bf16) for name, c in contestants.items()}
    for run in steps.values():
        run()
    every = tqdm(range(config.rounds), desc="rounds", unit="round")
    rounds = [{n: seconds(s, config.device) for n, s in steps.items()} for _ in every]
    first, plain = list(steps)[:2]
    print("| model | GFLOP forward | seconds an image | GroupViT takes | range | ", end="")
    print("time for each operation | range |\n|---|---|---|---|---|---|---|")
    for name, contestant in contestants.items():
        flops = contestant.flops / contestants[plain].flops
        each = statistics.median(r[name] for r in rounds) / config.images
        faster = spread([r[first] / r[name] for r in rounds])
        overhead = spread([r[name] / r[plain] / flops for r in rounds])
        print(f"| {name} | {contestant.flops / 1e9:.2f} | {each:.3g} | {faster} | {overhead} |")
    print(f"\nprecision: {'bf16' if bf16 else 'fp32'}; {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
