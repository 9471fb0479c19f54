"""How many pages of text, and how many photos, `zeroseg curate --junk` leaves out for their grey levels.

    uv run python -m benchmarks.text_pages --photos FOLDER...

Pages are drawn: words in lines, of a size, ground, ink and margin by `--seed`, stored as JPEG.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from pipelines.curation.facts import grey_levels
from pipelines.curation.levels import levels_of
from pipelines.curation.steps import Junk

WORDS = Path(__file__).read_text(encoding="utf-8").split()


@dataclass(frozen=True, kw_only=True)
class TextPagesConfig:
    """Which photos, and how many pages."""

    photos: tuple[Path, ...]
    """Folders; every file in them is a photo."""
    pages: int = 200
    seed: int = 1
    rules: Junk = field(default_factory=Junk)


def page(rng: np.random.Generator) -> bytes:
    """A page of text as a JPEG file."""
    width, height = (int(rng.integers(300, 900)) for _ in range(2))
    light, dark = int(rng.integers(200, 256)), int(rng.integers(0, 90))
    ground, ink = (light, dark) if rng.random() < 0.8 else (dark, light)
    picture = Image.new("RGB", (width, height), (ground,) * 3)
    draw = ImageDraw.Draw(picture)
    size, margin = int(rng.integers(10, 28)), int(rng.integers(10, 60))
    font, spacing = ImageFont.load_default(size), size * rng.uniform(1.15, 1.7)
    for y in np.arange(margin, height - margin - size, spacing):
        line = " ".join(rng.choice(WORDS, 60))
        fits = (width - 2 * margin) / draw.textlength(line, font=font)
        if rng.random() > 0.1:
            draw.text((margin, y), line[: int(fits * len(line))], fill=(ink,) * 3, font=font)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(rng.integers(60, 95)))
    return file.getvalue()


def pictures(config: TextPagesConfig) -> Iterator[tuple[str, bytes]]:
    """What each picture is, and its file."""
    rng = np.random.default_rng(config.seed)
    for _ in range(config.pages):
        yield "pages", page(rng)
    for folder in config.photos:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield str(folder), file.read_bytes()


def main(config: TextPagesConfig) -> None:
    """Print how many of each go, by either rule."""
    rules, counts = config.rules, {}
    for kind, file in tqdm(pictures(config), unit=" pictures"):
        found = levels_of(grey_levels(file))
        text = found.ground >= rules.text and found.strokes >= rules.strokes
        counts.setdefault(kind, []).append((text, found.ground >= (rules.uniform or 0.9)))
    print("| | pictures | text | uniform |\n|---|---|---|---|")
    for kind, gone in counts.items():
        text, uniform = np.sum(gone, axis=0)
        print(f"| {kind} | {len(gone)} | {text} | {uniform} |")


if __name__ == "__main__":
    main(tyro.cli(TextPagesConfig, description=__doc__))
