"""Small sets of shards, ways to damage them, and what a check tells of them."""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from shards.build import Limits, build
from shards.check import check
from shards.contents import contents
from shards.sample import Sample, Source, encoded
from shards.verify_sample import Cause
from zeroseg.store.manifest import Manifest, ShardRecord, manifest_text
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.tar_index import read_index, scan

CLASSES = ("sky", "cat", "dog")
SAMPLES = 7
IMPATIENT = partial(ShardCache, pause=0.01)
"""A cache that hardly waits before it tries again."""


def picture(seed: int, size: tuple[int, int] = (16, 24), kind: str = "jpeg") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return encoded(pixels, kind)


def label_map(seed: int, size: tuple[int, int] = (16, 24), most: int = 2) -> bytes:
    values = np.random.default_rng(seed).integers(0, most + 1, size, np.uint8)
    values[0, 0], values[-1, -1] = most, 255
    return encoded(values, "png")


JPEG, LABEL_MAP = picture(100), label_map(100)


def labelled(number: int) -> list[Sample]:
    return [Sample(f"deep/k{number}", picture(number), label_map(number), f"photo {number}")]


def undamaged(folder: Path) -> Path:
    source = Source(units=range(SAMPLES), read=labelled, classes=CLASSES)
    build(source, str(folder), Limits(images_per_shard=3, workers=0))
    return folder


def tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def packed(
    folder: Path, *shards: Sequence[tuple[str, bytes]], classes: tuple[str, ...] = ()
) -> Path:
    """A set whose shards hold just these members, with a manifest that is right about them."""
    folder.mkdir(parents=True)
    records = []
    for number, members in enumerate(shards):
        path, data = folder / f"shard-{number:06d}.tar", tar(members)
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        with path.open("rb") as file:
            samples = len(contents(file).samples)
        records.append(ShardRecord(name=path.name, samples=samples, bytes=len(data), sha256=digest))
    manifest = Manifest(shards=tuple(records), classes=classes)
    (folder / "manifest.json").write_text(manifest_text(manifest))
    return folder


def shard(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:06d}.tar"


def put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def span(folder: Path, number: int, key: str, extension: str) -> tuple[int, int]:
    index = read_index(shard(folder, number))
    return index.members[index.keys.index(key)][extension]


class Run:
    """What a check told."""

    def __init__(self, capsys, spec: object, **options) -> None:
        capsys.readouterr()
        self.status = 0
        try:
            check(str(spec), **{"workers": 0} | options)
        except SystemExit as stop:
            self.status = stop.code
        self.text = capsys.readouterr().out
        self.told: dict[str, list[str]] = {}
        cause = ""
        for line in self.text.splitlines():
            if heading := re.fullmatch(r" {0,7}\d+  (\w.*)", line):
                cause = heading[1]
                self.told[cause] = []
            elif line.startswith(" " * 10):
                self.told[cause].append(line.strip())

    def tells(self, cause: Cause, shard: object, key: str = "") -> bool:
        name = f"{shard} {key}: " if key else f"{shard}: "
        return self.status == 1 and any(t.startswith(name) for t in self.told.get(cause, []))


def stored(folder: Path) -> dict[str, dict[str, bytes]]:
    """Members by key, of a whole set."""
    found = {}
    for path in sorted(folder.glob("*.tar")):
        index, data = scan(path), path.read_bytes()
        for key, members in zip(index.keys, index.members, strict=True):
            found[key] = {e: data[s.offset : s.offset + s.size] for e, s in members.items()}
    return found


def left_out(folder: Path) -> list[str]:
    path = folder / "left-out.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["left_out"] for line in lines]


def facts(image: bytes, **changed) -> bytes:
    with Image.open(io.BytesIO(image)) as opened:
        width, height = opened.size
    digest = hashlib.sha256(image).hexdigest()
    known = {"width": width, "height": height, "source": "", "sha256": digest}
    return json.dumps(known | changed).encode()


def wound(folder: Path) -> None:
    """Damage every shard in another way: k1, k5 and k6 are lost."""
    first, second, third = (shard(folder, n) for n in range(3))
    put(first, span(folder, 0, "deep/k1", "jpg")[0], b"torn")
    second.write_bytes(second.read_bytes()[: span(folder, 1, "deep/k5", "jpg")[0]])
    put(third, span(folder, 2, "deep/k6", "png")[0] + 45, b"torn")
