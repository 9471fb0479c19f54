"""Near copies planted among real photos: what is found of each kind by cosine, and at which cosine to begin.

    ZEROSEG_REAL=... uv run python -m benchmarks.duplicates --output docs/benchmarks/duplicates.json

Some photos get a copy of each kind. The photos are cut in halves: the defaults of `zeroseg curate` are the
highest cosines at which, on the first half, `FOUND` of each kind of copies go that a step is for, and `PRECISION` of
the images that go are copies of the one that stays in their place; what they do is reported on the second.
Thumbnails are for copies of another size or file, embeddings for what is left, and what they make of one
kind depends on the teacher: here it is a small CLIP of real photos, no OpenAI CLIP.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from benchmarks.copies import CHANGES, copy
from pipelines.curation.facts import grey_levels, thumbnail
from zeroseg.data.images import centre_crop, decode_image
from zeroseg.data.near_pairs import near_groups
from zeroseg.models.clip import CLIP, CLIPConfig

FOUND, PRECISION = 0.99, 0.99
"""Aimed at on the first half."""
COSINES = tuple(round(0.8 + 0.01 * step, 2) for step in range(20))
SIDE = 224
MEANT = {
    "thumbnails": ("re-encoded", "half the size", "quarter of the size", "coloured"),
    "embeddings": ("re-encoded",),
}
"""Copies that a step has to find."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """Which photos, and by which teacher they are compared."""

    photos: Path = Path("../shared/real/photos/imagenet")
    """Folder of pictures, no two of one scene."""
    teacher: CLIPConfig = field(default_factory=CLIPConfig)
    images: int = 1000
    """Photos in all, half of them in each half."""
    planted: int = 300
    """Photos of which there are copies, half of them in each half."""
    device: str = "cpu"
    output: Path | None = None
    """JSON of the result."""


def embedded(clip: CLIP, files: Sequence[bytes], device: str) -> Float[ndarray, "image embed"]:
    """Embeddings of whole images, as `zeroseg embed --grids 1` stores them."""
    rows = []
    for first in tqdm(range(0, len(files), 32), "embedded", unit="batch"):
        images = [centre_crop(decode_image(data), SIDE) for data in files[first : first + 32]]
        pixels = torch.stack(images).to(device).float() / 255
        rows.append(clip.encode_views(pixels[:, None])[:, 0].cpu().half().numpy())
    return np.concatenate(rows)


def thumbnails(files: Sequence[bytes]) -> Float[ndarray, "image pixel"]:
    """As `zeroseg curate` compares them."""
    return np.stack([thumbnail(grey_levels(data)) for data in files]).astype(np.float16)


def found(
    photos: Float[ndarray, "photo embed"], copies: Float[ndarray, "copy embed"], cosine: float
) -> tuple[int, int, int]:
    """Copies that go for their own photo, images that go for what they are no copy of, copies in all.

    The first photos are those that the copies are of, in this order.
    """
    rows = np.concatenate([photos, copies])
    origin = np.concatenate([np.arange(len(photos)), np.arange(len(copies))])
    best = near_groups(rows, cosine, np.arange(len(rows)))
    gone = np.flatnonzero(best != np.arange(len(rows)))
    right = origin[gone] == origin[best[gone]]
    return int((right & (gone >= len(photos))).sum()), int((~right).sum()), len(copies)


def measured(
    photos: Float[ndarray, "photo embed"], copies: dict[str, Float[ndarray, "copy embed"]]
) -> dict[float, dict[str, float]]:
    """By cosine: precision over all kinds together, and the share found of each kind."""
    table = {}
    for cosine in COSINES:
        counts = {kind: found(photos, rows, cosine) for kind, rows in copies.items()}
        right, wrong = (sum(count[i] for count in counts.values()) for i in (0, 1))
        shares = {kind: round(count[0] / count[2], 3) for kind, count in counts.items()}
        table[cosine] = {"precision": round(right / max(1, right + wrong), 4)} | shares
    return table


def chosen(table: dict[float, dict[str, float]], kinds: Sequence[str]) -> float:
    """The highest cosine at which a half has what is aimed at; of none that has, the lowest of all."""
    good = [
        cosine
        for cosine, row in table.items()
        if row["precision"] >= PRECISION and min(row[kind] for kind in kinds) >= FOUND
    ]
    return max(good, default=COSINES[0])


def main(config: BenchmarkConfig) -> None:
    """Measure, print the tables, and say which cosines were chosen."""
    files = sorted(path for path in config.photos.iterdir() if path.is_file())[: config.images]
    data = [path.read_bytes() for path in files]
    clip, each = CLIP(config.teacher, config.device), config.planted // 2
    vectors = {
        "thumbnails": thumbnails,
        "embeddings": lambda files: embedded(clip, files, config.device),
    }
    result: dict[str, Any] = {
        "teacher": str(config.teacher),
        "photos": len(data),
        "planted": 2 * each,
    }
    for name, of in vectors.items():
        halves = []
        for photos in (data[::2], data[1::2]):
            copies = {
                k: of([copy(p, change) for p in photos[:each]]) for k, change in CHANGES.items()
            }
            halves.append(measured(of(photos), copies))
        cosine = chosen(halves[0], MEANT[name])
        print(f"{name}, {cosine} chosen on the first half", *halves[1][cosine], sep=" | ")
        for at, row in halves[1].items():
            print(at, *row.values(), sep=" | ")
        result[name] = {"chosen": cosine, "first_half": halves[0], "second_half": halves[1]}
    if config.output is not None:
        config.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(BenchmarkConfig, description=__doc__))
