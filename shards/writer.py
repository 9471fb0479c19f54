"""Writing shards: whole files or none."""

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from tqdm import tqdm
from webdataset.writer import TarWriter

from zeroseg.data.shards import IMAGE_MEMBER, LABEL_MEMBER
from zeroseg.errors import InputError


@dataclass(frozen=True)
class Sample:
    """One image, as its file's bytes, with its label map where there is one."""

    key: str
    image: bytes
    labels: bytes | None = None

    def members(self) -> dict[str, str | bytes]:
        """What goes into the tar."""
        labelled = {} if self.labels is None else {LABEL_MEMBER: self.labels}
        return {"__key__": self.key, IMAGE_MEMBER: self.image} | labelled


def encoded(pixels: UInt8[ndarray, "height width *channels"], kind: str, **options: int) -> bytes:
    """Encode pixels as PNG or JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def write_shards(
    samples: Iterable[Sample],
    destination: Path,
    name: str,
    *,
    per_shard: int,
    total: int | None = None,
) -> list[Path]:
    """Write `destination/name-000000.tar` and so on; each appears only when it is complete.

    Raises InputError when there is no sample, two samples share a key, or there are such shards
    already: a rewritten set must not mix with an older one.
    """
    destination.mkdir(parents=True, exist_ok=True)
    if older := sorted(destination.glob(f"{name}-*.tar")):
        raise InputError(f"{older[0]} exists already: remove the old set or choose another folder")
    keys: set[str] = set()
    shards: list[Path] = []
    group: list[Sample] = []
    for sample in tqdm(samples, desc=f"shards {name}", total=total, unit="image"):
        if sample.key in keys:
            raise InputError(f"two samples are called {sample.key!r}: rename one of the files")
        keys.add(sample.key)
        group.append(sample)
        if len(group) == per_shard:
            shards.append(_write(group, destination / f"{name}-{len(shards):06d}.tar"))
            group = []
    if group:
        shards.append(_write(group, destination / f"{name}-{len(shards):06d}.tar"))
    if not shards:
        raise InputError(f"no image to write to {destination}: check the source")
    return shards


def _write(group: list[Sample], path: Path) -> Path:
    fresh = path.with_suffix(".tar.new")
    with fresh.open("wb") as file:
        with TarWriter(file, mtime=0) as tar:
            for sample in group:
                tar.write(sample.members())
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    return path
