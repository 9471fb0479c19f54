"""Train the small CLIP that teaches the embedded default.

    python -m pipelines.train_teacher --output runs/teacher

It sees the generator's images and crops of them, with captions of what is visible. Label maps only
serve to write those captions: no mask enters the loss. Everything is drawn from fixed seeds.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
import tyro
from jaxtyping import Float
from open_clip import CLIP
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms.v2.functional import InterpolationMode, resized_crop
from tqdm import tqdm

from shards import scenes
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.training.optimization import Cosine

FOLDER = Path(__file__).parents[1] / "zeroseg/models/scenes_teacher"


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """How the small teacher is trained; all numbers are ours."""

    output: Path = Path("runs/teacher")
    images: int = 12_000
    steps: int = 1_000
    batch_size: int = 128
    learning_rate: float = 1.5e-3
    warmup: int = 150
    weight_decay: float = 0.05
    whole_share: float = 0.1
    """Share of samples that show the whole image instead of a crop."""
    crop_side: tuple[float, float] = (0.2, 0.5)
    """Range of a crop's side, as a share of the image's."""
    seed: int = 4_000


def crops_and_captions(
    images: np.ndarray,
    labels: np.ndarray,
    config: TeacherConfig,
    rng: np.random.Generator,
    size: int,
) -> tuple[Float[Tensor, "batch 3 size size"], list[str]]:
    """Cut one random square from each image and say what is visible in it."""
    pixels, captions = [], []
    for image, label in zip(images, labels, strict=True):
        full = label.shape[0]
        side = (
            full
            if rng.random() < config.whole_share
            else int(full * rng.uniform(*config.crop_side))
        )
        top, left = rng.integers(full - side + 1, size=2).tolist()
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        crop = resized_crop(
            tensor, top, left, side, side, [size, size], InterpolationMode.BICUBIC, antialias=True
        )
        pixels.append(crop.flip(-1) if rng.random() < 0.5 else crop)
        captions.append(scenes.caption(label[top : top + side, left : left + side], rng))
    return torch.stack(pixels).float() / 255, captions


def contrastive_loss(
    images: Float[Tensor, "batch embed"],
    texts: Float[Tensor, "batch embed"],
    scale: Tensor,
    captions: list[str],
) -> Float[Tensor, ""]:
    """CLIP's symmetric loss; samples whose captions name the same things are positives of each other."""
    named = [frozenset(c for c in SCENES.classes if c in caption) for caption in captions]
    first = {names: i for i, names in enumerate(named)}
    which = torch.tensor([first[names] for names in named])
    target = (which[:, None] == which[None]).float()
    target /= target.sum(1, keepdim=True)
    logits = scale.exp().clamp(max=100) * F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def retrieval_accuracy(
    model: CLIP, tokenizer, config: TeacherConfig, size: int
) -> dict[str, float]:
    """Share of 256 held-out images (or crops) whose own caption is the nearest of the 256."""
    rng = np.random.default_rng(config.seed + 1)
    images, labels = zip(*(scenes.scene(rng) for _ in range(256)), strict=True)
    mean, std = _statistics(model)
    scores = {}
    for name, whole in (("whole", 1.0), ("crop", 0.0)):
        cut = TeacherConfig(whole_share=whole)
        pixels, captions = crops_and_captions(np.stack(images), np.stack(labels), cut, rng, size)
        image = F.normalize(model.encode_image((pixels - mean) / std), dim=-1)
        text = F.normalize(model.encode_text(tokenizer(captions)), dim=-1)
        nearest = (image @ text.T).argmax(1).tolist()
        found = [captions[j] == captions[i] for i, j in enumerate(nearest)]
        scores[f"retrieval_at_1_of_256_{name}"] = float(np.mean(found))
    return scores


def _statistics(model: CLIP) -> tuple[Tensor, Tensor]:
    config = open_clip.get_model_preprocess_cfg(model)
    mean, std = (torch.tensor(config[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return mean, std


def _parameter_groups(model: CLIP, decay: float) -> list[dict]:
    split = {True: [], False: []}
    for name, parameter in model.named_parameters():
        split[parameter.ndim > 1 and "embedding" not in name].append(parameter)
    return [
        {"params": split[True], "weight_decay": decay},
        {"params": split[False], "weight_decay": 0.0},
    ]


def _save(model: CLIP, used_tokens: set[int], folder: Path) -> None:
    """Write half-precision weights; embeddings of words no caption held are zero."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.detach().half().contiguous()
        for k, v in model.state_dict().items()
        if v.is_floating_point()
    }
    table = state["token_embedding.weight"]
    unused = torch.ones(len(table), dtype=torch.bool)
    unused[list(used_tokens)] = False
    table[unused] = 0
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(
        (FOLDER / "open_clip_config.json").read_text(encoding="utf-8"), encoding="utf-8"
    )


def _commit() -> str:
    """Which code this is; empty where git does not say."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def train_teacher(config: TeacherConfig) -> None:
    """Train, then write weights and card to `config.output`."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    name = f"local-dir:{FOLDER}"
    model = open_clip.create_model(name, load_weights=False)
    assert isinstance(model, CLIP)
    tokenizer = open_clip.get_tokenizer(name)
    size = open_clip.get_model_preprocess_cfg(model)["size"][0]
    mean, std = _statistics(model)
    drawn = [scenes.scene(rng) for _ in tqdm(range(config.images), desc="scenes")]
    images, labels = (np.stack(part) for part in zip(*drawn, strict=True))
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, config.weight_decay), betas=(0.9, 0.98), fused=True
    )
    used_tokens: set[int] = set()
    schedule = Cosine(warmup=config.warmup)
    bar = tqdm(range(config.steps), desc="teacher")
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = schedule(step, peak=config.learning_rate, total=config.steps)
        chosen = rng.integers(config.images, size=config.batch_size)
        pixels, captions = crops_and_captions(images[chosen], labels[chosen], config, rng, size)
        tokens = tokenizer(captions)
        used_tokens.update(tokens.unique().tolist())
        loss = contrastive_loss(
            model.encode_image((pixels - mean) / std),
            model.encode_text(tokens),
            model.logit_scale,
            captions,
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    model.eval()
    _save(model, used_tokens, config.output)
    # What is shipped is what is measured: half-precision weights, unused words at zero.
    model = open_clip.create_model(f"local-dir:{config.output}").eval()
    assert isinstance(model, CLIP)
    card = retrieval_accuracy(model, tokenizer, config, size) | {
        "final_loss": loss.item(),
        "steps": config.steps,
        "images": config.images,
        "commit": _commit(),
    }
    (config.output / "card.json").write_text(json.dumps(card, indent=2), encoding="utf-8")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    train_teacher(tyro.cli(TeacherConfig))
