"""One shard, byte by byte: what is wrong with the file and with each of its samples."""

import hashlib
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from shards.contents import Contents, StoredSample, contents, open_shard, size_of
from shards.parallel import count_image
from shards.verify_sample import Cause, SampleError, verify_sample
from zeroseg.data.samples import LABELS
from zeroseg.errors import InputError
from zeroseg.store.manifest import ShardRecord
from zeroseg.store.tar_index import image_extension, index_path, parse_index


class Finding(NamedTuple):
    """One thing that is wrong."""

    cause: Cause
    shard: str
    detail: str
    key: str = ""
    """Empty where it is the shard."""
    number: int | None = None
    """The sample's place among those found in the shard; None where it was not found."""

    def __str__(self) -> str:
        name = f"{self.shard} {self.key}".rstrip()
        text = " ".join(f"{name}: {self.detail}".split())
        return text.encode(errors="backslashreplace").decode()  # keys may be no UTF-8


class NamedShard(NamedTuple):
    """A shard of a set, and what the manifest beside it says."""

    url: str
    record: ShardRecord | None
    classes: tuple[str, ...]


class ShardReport(NamedTuple):
    """What verifying one shard found."""

    url: str
    findings: list[Finding]
    key_hashes: Int64[ndarray, " sample"]
    bytes: int
    passed_over: Mapping[str, int] = {}
    """Members that are of no sample, counted by what they are."""


def verify_shard(shard: NamedShard) -> ShardReport:
    """Read every byte of a shard and decode every sample; whatever is wrong is in the report."""
    try:
        with open_shard(shard.url) as file:
            found = contents(file)
            findings = [*_of_shard(shard, file, found), *_of_samples(shard, file, found)]
            # Processes forked from one share the seed of `hash`.
            hashes = np.fromiter((hash(s.key) for s in found.samples), np.int64)
            return ShardReport(shard.url, findings, hashes, size_of(file), found.passed_over)
    except OSError as error:
        finding = Finding(Cause.UNREADABLE, shard.url, str(error))
        return ShardReport(shard.url, [finding], np.empty(0, np.int64), 0)


def _of_shard(shard: NamedShard, file: BufferedReader, found: Contents) -> Iterator[Finding]:
    url, record, size = shard.url, shard.record, size_of(file)
    if record and size != record.bytes:
        detail = f"it has {size} bytes, the manifest says {record.bytes}"
        yield Finding(Cause.MANIFEST, url, detail)
    elif record and (digest := _sha256(file)) != record.sha256:
        detail = f"its SHA-256 is {digest[:12]}..., the manifest says {record.sha256[:12]}..."
        yield Finding(Cause.CHECKSUM, url, detail)
    for offset in found.damage:
        yield Finding(Cause.DAMAGED, url, f"no whole header or end mark at byte {offset}")
    if not found.damage and record and len(found.samples) != record.samples:
        detail = f"it has {len(found.samples)} samples, the manifest says {record.samples}"
        yield Finding(Cause.MANIFEST, url, detail)
    if not found.samples:
        yield Finding(Cause.NO_IMAGE, url, "it holds no sample")
    yield from _of_index(url, index_path(Path(file.name)), found)


def _sha256(file: BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _of_index(url: str, path: Path, found: Contents) -> Iterator[Finding]:
    """Without an index file readers scan the tar, so only a wrong one is wrong."""
    if not path.is_file():
        return
    try:
        index = parse_index(path.read_bytes().decode(errors="surrogateescape"), path.name)
    except (OSError, InputError, ValueError, IndexError) as error:
        yield Finding(Cause.INDEX, url, f"{type(error).__name__}: {error}")
        return
    right = found.index
    if found.damage:  # the index can only tell what was there
        for key in sorted(set(index.keys) - set(right.keys)):
            yield Finding(Cause.DAMAGED, url, "the index names it, but the tar lacks it", key)
    elif index != right:
        pairs = zip(index.keys, index.members, strict=True)
        same = zip(pairs, zip(right.keys, right.members, strict=True), strict=False)
        first = next((n for n, (a, b) in enumerate(same) if a != b), None)
        at = "in number" if first is None else f"first at sample {first}, {right.keys[first]}"
        detail = f"{len(index)} samples, {len(right)} in the tar: they differ {at}"
        yield Finding(Cause.INDEX, url, detail)


def _of_samples(shard: NamedShard, file: BufferedReader, found: Contents) -> Iterator[Finding]:
    labelled = bool(shard.classes) or any(_has_labels(sample) for sample in found.samples)
    for number, sample in enumerate(found.samples):
        try:
            if labelled and image_extension(dict(sample.members)) == LABELS:
                raise SampleError(Cause.NO_IMAGE, "its label map stands alone")
            verify_sample(file, sample, shard.classes)
        except SampleError as wrong:
            yield Finding(wrong.cause, shard.url, str(wrong), sample.key, number)
        count_image()


def _has_labels(sample: StoredSample) -> bool:
    """Whether it has a label map: a PNG beside another image."""
    extensions = dict(sample.members)
    return LABELS in extensions and image_extension(extensions) != LABELS
