"""Trunks of several families beside timm's own models.

    OMP_NUM_THREADS=1 uv run --group bench python -m benchmarks.trunks

Forward and backward at 224 pixels, random weights, the same images, the mean square of the tokens as a
loss: our trunk, and `forward_features` of timm's model as `timm.create_model` gives it. Both take turns in
one process, in an order that changes from round to round; what counts is the ratio of a round. On a CPU
processor seconds are counted. Models that can mask run a third time with 60 % of the patches hidden.
Operations are torch's count (`zeroseg.training.flops`).
"""

import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
import tyro
from torch import Tensor, nn
from tqdm import tqdm

from zeroseg.models.timm_trunk import TimmTrunk
from zeroseg.models.trunk import Trunk
from zeroseg.models.vit import ViT, random_patches
from zeroseg.training.flops import flop_counter

SIZE = 224
HIDDEN = 0.6


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """How much, how often."""

    names: tuple[str, ...] = (
        "deit_small_distilled_patch16_224",
        "vit_small_patch14_reg4_dinov2",
        "vit_small_patch16_dinov3",
        "vit_base_patch32_clip_224",
        "vit_base_patch32_siglip_256",
        "eva02_tiny_patch14_224",
        "resnet50",
        "convnext_tiny",
        "swin_tiny_patch4_window7_224",
    )
    """Of timm; beside them runs our own ViT-S/16."""
    images: int = 8
    """In a batch."""
    rounds: int = 7
    device: str = "cpu"


def contestants(name: str) -> tuple[Trunk, nn.Module]:
    """Our trunk, and timm's model of the same layers."""
    options: dict[str, Any] = {"img_size": SIZE} if name.startswith(("vit", "eva")) else {}
    if name:
        return TimmTrunk(name=name).build(SIZE), timm.create_model(name, num_classes=0, **options)
    plain = timm.create_model("vit_small_patch16_224", class_token=False, global_pool="")
    return ViT(width=384, num_heads=6).build(SIZE), plain


def ways(name: str, images: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Tokens by our trunk, by timm, and by our trunk of visible patches alone."""
    trunk, model = (module.to(images.device).train() for module in contestants(name))
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.eval()  # as ours are
    runs = {"ours": lambda: trunk(images).tokens, "timm": lambda: model.forward_features(images)}
    if trunk.can_mask:
        patches = (SIZE // trunk.patch_size) ** 2
        visible = random_patches(len(images), patches, HIDDEN, images.device)
        runs["hidden"] = lambda: trunk(images, visible).tokens
    return runs


def seconds(tokens: Callable[[], Tensor], device: str) -> float:
    """How long a forward and a backward pass take; of a CPU, what it worked."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    begun = clock()
    loss = tokens().square().mean()
    loss.backward()
    loss.item()
    return clock() - begun


def operations(tokens: Callable[[], Tensor], images: Tensor) -> float:
    """Billions of an image forward."""
    with flop_counter() as counter:
        tokens()
    return counter.get_total_flops() / len(images) / 1e9


def spread(ratios: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f}"


def row(name: str, config: BenchmarkConfig) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    images = torch.rand(config.images, 3, SIZE, SIZE, device=config.device)
    runs = ways(name, images)
    rounds: list[dict[str, float]] = []
    for _ in range(config.rounds + 1):
        order = random.sample(list(runs), len(runs))
        rounds.append({way: seconds(runs[way], config.device) for way in order})
    rounds = rounds[1:]  # the first warms up
    flops = {way: operations(run, images) for way, run in runs.items()}
    each = statistics.median(r["ours"] for r in rounds) / config.images
    hidden = "- | - | -"
    if "hidden" in runs:
        share = spread([r["hidden"] / r["ours"] for r in rounds])
        hidden = f"{flops['hidden'] / flops['ours']:.2f} | {share}"
    ratio = spread([r["ours"] / r["timm"] for r in rounds])
    return (
        f"| {name or 'our ViT-S/16'} | {flops['ours']:.2f} | {flops['timm']:.2f} | {each:.3g} "
        f"| {ratio} | {hidden} |"
    )


def main(config: BenchmarkConfig) -> None:
    """Print the table."""
    print("| trunk | GFLOP forward | timm's | seconds an image | ours / timm | range | ", end="")
    print("operations, 60 % hidden / all | time | range |\n|---|---|---|---|---|---|---|---|---|")
    rows = [row(name, config) for name in tqdm(("", *config.names), desc="trunks", unit="trunk")]
    print("\n".join(rows))
    print(f"\n{torch.get_num_threads()} threads, {config.images} images a batch")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
