"""Ways to embed the views of an image, each as a ratio to the naive loop, with its cosine to the exact.

    uv run python -m benchmarks.teacher --architecture ViT-B-16 --weights random        # speed
    uv run python -m benchmarks.teacher --photos FOLDER --config configs/real_photos.py # and cosines

The naive loop is the research step's: a float32 teacher that sees one view after the other. All ways take
turns in one process, round after round; what counts are the ratios of a round. Random weights are as fast
as others, but their cosines say nothing and are left out. `--device cuda` measures a GPU, with the share of
its own measured matrix rate.
"""

import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
import tyro
from open_clip.transformer import VisionTransformer
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from shards import scenes
from zeroseg.config import read_config
from zeroseg.data.embeddings import quantised
from zeroseg.data.images import centre_crop, decode_image
from zeroseg.data.views import ViewSet, cut_views, view_overlap
from zeroseg.errors import InputError
from zeroseg.methods.distillation import Distillation
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.training.flops import flop_counter
from zeroseg.training.meter import matrix_rate
from zeroseg.training.teacher import ViewEncoder

Way = Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which teacher, on what, how often."""

    architecture: str = "zeroseg-scenes"
    weights: str = ""
    """As of a teacher's config, or `random`."""
    config: str = ""
    """A training config whose teacher is taken instead."""
    photos: str = ""
    """A folder of pictures; none takes generated scenes."""
    grids: tuple[int, ...] = (1, 2, 3)
    images: int = 2
    """In a batch."""
    side: int = 224
    """Of the crop that views are cut from; the sharper ones are cut from twice that."""
    rounds: int = 3
    device: str = "cpu"
    compile: bool = True
    """Try torch.compile too; it takes minutes."""


def random_weights(architecture: str, folder: str) -> CLIPConfig:
    """A teacher without training, as a file that the usual loading reads."""
    torch.manual_seed(0)
    path = Path(folder, "random.safetensors")
    save_file(open_clip.create_model(architecture).state_dict(), path)
    return CLIPConfig(architecture=architecture, weights=str(path))


def photos(config: BenchmarkConfig, side: int) -> Tensor:
    """Centre crops in [0, 1]."""
    if config.photos:
        files = sorted(p for p in Path(config.photos).iterdir() if p.is_file())[: config.images]
        data = [file.read_bytes() for file in files]
    else:
        split = dataclasses.replace(scenes.VALIDATION, images=config.images)
        data = [s.image for i in range(config.images) for s in scenes.draw(split, i)]
    crops = torch.stack([centre_crop(decode_image(d), side) for d in data])
    return crops.to(config.device).float() / 255


class Ways:
    """The contestants, over one batch of images."""

    def __init__(self, config: BenchmarkConfig, teacher: CLIPConfig) -> None:
        self.config, self.views = config, ViewSet(grids=config.grids)
        self.images, self.sharp = photos(config, config.side), photos(config, 2 * config.side)
        self.plain = CLIP(dataclasses.replace(teacher, precision="fp32"), config.device)
        self.coarse = CLIP(dataclasses.replace(teacher, precision="bf16"), config.device)
        self.teacher = teacher

    def naive(self) -> Tensor:
        """One view after the other, all images of a batch at once."""
        views = cut_views(self.images, self.views, self.plain.image_size)
        return torch.stack([self.plain.encode_image(view) for view in views.unbind(1)], dim=1)

    def batched(self, clip: CLIP, chunk: int = 0, images: Tensor | None = None) -> Tensor:
        """Ours."""
        pixels = self.images if images is None else images
        return ViewEncoder(clip, self.views, chunk=chunk)(pixels)

    def unfused(self) -> Tensor:
        """Attention with its matrix written out."""
        with sdpa_kernel(SDPBackend.MATH):
            return self.batched(self.plain)

    def dense_pass(self) -> Tensor:
        """One pass at the teacher's own size; a view is the mean of the patches in its cell."""
        size = self.plain.image_size
        features = self.plain.dense(F.interpolate(self.images, (size, size), mode="bicubic"))
        rows, columns = features.shape[2:]
        overlap = view_overlap(self.views, (rows * 16, columns * 16), 16).to(features)
        pooled = torch.einsum("vp,bep->bve", overlap, features.flatten(2))
        return F.normalize(pooled, dim=-1)

    def smaller(self, sides: dict[int, CLIP]) -> Tensor:
        """Fewer pixels for the smaller cells; position embeddings resampled."""
        parts = [ViewEncoder(sides[g], ViewSet(grids=(g,)))(self.images) for g in self.views.grids]
        return torch.cat(parts, dim=1)

    def eight_bits(self) -> Tensor:
        """What int8 storage makes of the exact embeddings."""
        rows, scales = quantised(self.batched(self.plain))
        return F.normalize(rows * scales[..., None], dim=-1)

    def table(self) -> dict[str, Way]:
        """By name; the first is what the others are compared with."""
        ways: dict[str, Way] = {
            "fp32, one view after the other (naive)": self.naive,
            "fp32, batched (zeroseg, fp32)": lambda: self.batched(self.plain),
            "the same, 8 views a pass": lambda: self.batched(self.plain, 8),
            "the same, 64 views a pass": lambda: self.batched(self.plain, 64),
            "the same, attention written out": self.unfused,
            "bf16 weights, batched": lambda: self.batched(self.coarse),
            "views cut from twice the pixels": lambda: self.batched(self.plain, images=self.sharp),
        }
        with suppress(InputError):
            self.dense_pass()
            ways["one dense pass, pooled by cell"] = self.dense_pass
        sides = {g: self._sized(g) for g in self.views.grids}
        ways["160 px for 2x2, 112 px for finer cells"] = lambda: self.smaller(sides)
        if self.config.compile:
            compiled = CLIP(self.plain.config, self.config.device)
            compiled.model.visual = torch.compile(compiled.model.visual, dynamic=False)
            ways["torch.compile"] = lambda: self.batched(compiled)
        return ways

    def _sized(self, grid: int) -> CLIP:
        """The teacher for cells of one grid: 224, 160 or 112 pixels, in proportion for others."""
        clip = CLIP(self.plain.config, self.config.device)
        share, visual = {1: 1.0, 2: 160 / 224}.get(grid, 0.5), clip.model.visual
        if not isinstance(visual, VisionTransformer):
            clip.image_size = round(clip.image_size * share / 32) * 32
            return clip
        patch = clip.image_size // visual.grid_size[0]
        rows = round(visual.grid_size[0] * share)
        first, places = visual.positional_embedding[:1], visual.positional_embedding[1:]
        square = places.T.unflatten(1, visual.grid_size)[None]
        resampled = F.interpolate(square, (rows, rows), mode="bicubic", antialias=True)
        both = torch.cat([first, resampled[0].flatten(1).T])
        visual.positional_embedding = torch.nn.Parameter(both, requires_grad=False)
        clip.image_size = rows * patch
        return clip


def seconds(way: Way, device: str) -> tuple[float, Tensor]:
    """How long one batch takes, and what comes of it."""
    begun = time.perf_counter()
    result = way().cpu()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begun, result


def main(config: BenchmarkConfig) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        teacher = CLIPConfig(architecture=config.architecture, weights=config.weights)
        if config.weights == "random":
            teacher = random_weights(config.architecture, scratch)
        if config.config:
            method = read_config(config.config).method
            assert isinstance(method, Distillation), f"{config.config} has no teacher"
            teacher = method.teacher.clip or teacher
        ways = Ways(config, teacher)
        table = ways.table()
        exact = ways.naive()
        results = {name: way().cpu() for name, way in table.items()}  # also warms up
        rounds = [
            {name: seconds(way, config.device)[0] for name, way in table.items()}
            for _ in tqdm(range(config.rounds), desc="rounds", unit="round")
        ]
        first = next(iter(table))
        dtype = torch.bfloat16 if config.device != "cpu" else torch.float32
        peak = matrix_rate(torch.device(config.device), dtype)
        size = ways.plain.image_size
        with flop_counter() as counter:
            ways.plain.encode_image(torch.zeros(1, 3, size, size, device=config.device))
        each = counter.get_total_flops()
        print("| way | images/s | of the naive loop | range | cosine, mean | worst | matrix rate |")
        print("|---|---|---|---|---|---|---|")
        for name in table:
            ratios = sorted(r[first] / r[name] for r in rounds)
            speed = config.images / statistics.median(r[name] for r in rounds)
            cosine = F.cosine_similarity(results[name], exact.cpu(), dim=-1)
            known = config.weights != "random"
            says = f"{cosine.mean():.5f} | {cosine.min():.5f}" if known else "- | -"
            share = speed * exact.shape[1] * each / peak
            rate = "-" if "dense" in name or "160" in name else f"{100 * share:.0f} %"
            print(
                f"| {name} | {speed:.3g} | {statistics.median(ratios):.2f}x | "
                f"{ratios[0]:.2f} to {ratios[-1]:.2f} | {says} | {rate} |"
            )
        if config.weights != "random":
            cosine = F.cosine_similarity(ways.eight_bits().cpu(), exact.cpu(), dim=-1)
            print(f"int8 storage: cosine {cosine.mean():.5f} mean, {cosine.min():.5f} worst")
            cosine = F.cosine_similarity(exact.half().float(), exact, dim=-1)
            print(f"float16 storage: 1 - cosine {1 - cosine.min():.1e} worst")
        print(f"matrix rate: {peak / 1e9:.0f} GFLOP/s ({dtype}); {exact.shape[1]} views an image")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, args=sys.argv[1:]))
