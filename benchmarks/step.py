"""One training step: the research step, ours with the teacher online, ours with cached embeddings.

    uv run python -m benchmarks.step

ViT-B/16 teacher and student with random weights (speed does not depend on them), 224 pixels, 14 views. The
research step has a float32 teacher that sees one view after the other, and a float32 student that sees every
patch. Ours hides 60 % of the patches and takes the precision that `auto` takes on this machine. All have the
same fused optimizer and take turns in one process; what counts are the ratios of a round. A second table is of
the teacher alone, beside a frozen open_clip tower under autocast, which is what `mixed_precision="bf16"`
makes of it.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from benchmarks.teacher import random_weights, seconds
from zeroseg.data.batch import Batch
from zeroseg.data.views import ViewSet, cut_views
from zeroseg.models.clip import CLIP
from zeroseg.models.precision import has_fast_bfloat16
from zeroseg.models.zeroseg import ZeroSeg, ZeroSegConfig
from zeroseg.training.objectives import DistillationObjective, ViewComposition, ZeroSegPaper
from zeroseg.training.teacher import Teacher, ViewEncoder

Step = Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is trained, how often."""

    architecture: str = "ViT-B-16"
    grids: tuple[int, ...] = (1, 2, 3)
    images: int = 8
    """In a batch."""
    rounds: int = 3
    device: str = "cpu"


PAPER = ZeroSegConfig(embed_dim=512)
"""The paper's student, with its decoder of 8 layers."""
OURS = replace(
    PAPER, decoder_depth=0, assignment="soft", cosine_assignment=True, patch_embeddings=True
)


def step(
    student: ZeroSegConfig,
    losses: ZeroSegPaper | ViewComposition,
    embed: Callable[[Batch], Tensor],
    batch: Batch,
    config: BenchmarkConfig,
    *,
    bf16: bool,
) -> Step:
    """Forward, backward and an update."""
    torch.manual_seed(0)
    model = ZeroSeg(student).to(config.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    views = ViewSet(grids=config.grids)
    clip = Teacher(None, views, student.embed_dim, embed)  # type: ignore[arg-type]
    objective = DistillationObjective(clip, losses, model.trunk.patch_size)

    def run() -> Tensor:
        with torch.autocast(config.device, torch.bfloat16, enabled=bf16):
            loss = torch.stack(list(objective(model, batch, 0).losses.values())).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return run


def printed(title: str, rounds: list[dict[str, float]], images: int) -> None:
    """A table of ratios to the first."""
    first = next(iter(rounds[0]))
    print(f"| {title} | seconds an image | of the first | range |\n|---|---|---|---|")
    for name in rounds[0]:
        ratios = sorted(r[first] / r[name] for r in rounds)
        each = statistics.median(r[name] for r in rounds) / images
        print(
            f"| {name} | {each:.3g} | {statistics.median(ratios):.2f}x | "
            f"{ratios[0]:.2f} to {ratios[-1]:.2f} |"
        )
    print()


def main(config: BenchmarkConfig) -> None:
    """Print both tables."""
    device = torch.device(config.device)
    bf16 = has_fast_bfloat16(device)
    with tempfile.TemporaryDirectory() as scratch:
        teacher = random_weights(config.architecture, scratch)
        plain = CLIP(replace(teacher, precision="fp32"), device)
        auto = CLIP(teacher, device)
    encode = ViewEncoder(auto, ViewSet(grids=config.grids))
    images = torch.randint(0, 256, (config.images, 3, 224, 224), dtype=torch.uint8, device=device)
    batch = Batch(tuple(map(str, range(config.images))), images)
    kept = encode(batch.pixels)

    def naive(batch: Batch) -> Tensor:
        views = cut_views(batch.pixels, encode.views, plain.image_size)
        return torch.stack([plain.encode_image(view) for view in views.unbind(1)], dim=1)

    def online(batch: Batch) -> Tensor:
        return encode(batch.pixels)

    def cached(batch: Batch) -> Tensor:
        return kept

    whole = replace(PAPER, mask_ratio=0.0)
    steps = {
        "research step": step(whole, ZeroSegPaper(), naive, batch, config, bf16=False),
        "online, paper's objective": step(PAPER, ZeroSegPaper(), online, batch, config, bf16=bf16),
        "cached, paper's objective": step(PAPER, ZeroSegPaper(), cached, batch, config, bf16=bf16),
        "online, ViewComposition": step(OURS, ViewComposition(), online, batch, config, bf16=bf16),
        "cached, ViewComposition": step(OURS, ViewComposition(), cached, batch, config, bf16=bf16),
    }
    view = batch.pixels[:1]
    frozen = plain.model.visual.requires_grad_(False)

    def autocast() -> Tensor:
        with torch.no_grad(), torch.autocast(config.device, torch.bfloat16):
            return frozen(view)

    towers = {
        "frozen open_clip tower under bf16 autocast": autocast,
        "zeroseg's teacher": lambda: auto.encode_image(view),
    }
    for run in (*steps.values(), *towers.values()):
        run()
    every = tqdm(range(config.rounds), desc="rounds", unit="round")
    taken = [{n: seconds(s, config.device)[0] for n, s in (steps | towers).items()} for _ in every]
    printed("step", [{n: r[n] for n in steps} for r in taken], config.images)
    printed("one view", [{n: r[n] for n in towers} for r in taken], 1)
    print(f"precision: {'bf16' if bf16 else 'fp32'}; {kept.shape[1]} views an image")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
