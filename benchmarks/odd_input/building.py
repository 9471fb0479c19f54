"""Shards built from broken input: what is not broken is there to the bit, the rest is right or named."""

import functools
import io
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.odd_input import documents, tars
from benchmarks.odd_input.annotated import OWN
from benchmarks.odd_input.breaking import Broken, broken, write
from benchmarks.odd_input.corpora import CORPORA, Corpus, number_of
from benchmarks.odd_input.outlines import right_outlines
from benchmarks.odd_input.pictures import Ids, read_ids
from benchmarks.odd_input.verdict import Judged, ended, expect, named, refused
from shards.build import Limits, build
from zeroseg.errors import InputError
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set
from zeroseg.store.tar_index import split_name

CACHE = ShardCache(retries=0)


BUILT = CORPORA | OWN
DRAWN = ("labelme", "cvat", "label-studio", "panoptic", "parquet", "context")
"""Kinds of which one file that is broken may change every label, or picture, as it says."""


class Stored(NamedTuple):
    """A sample of a built set."""

    image: bytes
    labels: Ids | None


@functools.cache
def corpus_of(kind: str) -> Corpus:
    """The whole input of a kind."""
    return BUILT[kind]()


_whole: dict[str, dict[str, Stored]] = {}


def whole(kind: str, folder: Path) -> dict[str, Stored]:
    """What is built from the whole input; made once."""
    if kind not in _whole:
        corpus = corpus_of(kind)
        write(folder / "whole", corpus.files)
        source = corpus.release(folder / "whole").source()
        build(source, str(folder / "whole set"), Limits(workers=0))
        _whole[kind] = dict(stored_in(folder / "whole set"))
        expect(not (folder / "whole set/left-out.jsonl").exists(), "the whole input has losses")
    return _whole[kind]


def stored_in(folder: Path) -> Iterator[tuple[str, Stored]]:
    """Every sample of a set, read without the library."""
    for shard in sorted(folder.glob("*.tar")):
        members: dict[str, dict[str, bytes]] = {}
        for name, data in tars.found_in(shard.read_bytes()):
            key, extension = split_name(name)
            members.setdefault(key, {})[extension] = data
        for key, parts in members.items():
            labels = None
            if "png" in parts:
                labels = read_ids(parts["png"])
                labels = _by_pillow(parts["png"]) if labels is None else labels
            yield key, Stored(parts["jpg"], labels)


def _by_pillow(data: bytes) -> Ids:
    """Ids of a map that its release's own file explains alone, as any program reads them."""
    ids = np.array(Image.open(io.BytesIO(data))).astype(np.int64)
    return np.where(ids == (65535 if ids.max() > 255 else 255), -1, ids)


def case(kind: str, rng: random.Random, folder: Path) -> Judged:
    """Break an input of this kind, build it, and judge what comes of it."""
    right, corpus = whole(kind, folder), corpus_of(kind)
    case_folder = folder / rng.choice(("in", "in", "a [1]", "b{0..3}", "caf\udce9", "c d"))
    input_, found = case_folder / "files", broken(rng, corpus)
    write(input_, found.files)
    limits = Limits(workers=0, images_per_shard=rng.choice((3, 10, 10, 10)))
    destination = case_folder / "set"
    try:
        source = corpus.release(input_).source()
        manifest = build(source, str(destination), limits)
    except InputError as error:
        expect(not found.sound, f"one bad file stops all: {error}")
        return refused(error)
    built = dict(stored_in(destination))
    losses = _left_out(destination)
    expect(len(losses) == manifest.left_out, "left-out.jsonl has not what the manifest counts")
    expect(len(built) == manifest.samples, f"{manifest.samples} counted, {len(built)} there")
    _judge(kind, found, right, built, losses)
    _read_back(destination, built)
    return ended(len(losses))


def _left_out(folder: Path) -> list[str]:
    path = folder / "left-out.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    losses = [json.loads(line)["left_out"] for line in lines]
    named(losses)
    return losses


def _judge(
    kind: str,
    found: Broken,
    right: Mapping[str, Stored],
    built: Mapping[str, Stored],
    losses: list[str],
) -> None:
    corpus = corpus_of(kind)
    touched = {number_of(path) for path in found.touched}
    shared = None in touched
    shards = [
        data for path, data in found.files.items() if path in found.touched and path[-4:] == ".tar"
    ]
    packed = [file for data in shards if isinstance(data, bytes) for file in tars.found_in(data)]
    for key, sample in right.items():
        now = built.get(key)
        if number_of(key) in touched or (shared and now is None):
            whole = any(
                split_name(name)[0] == key and data == sample.image for name, data in packed
            )
            expect(not whole or now is not None or bool(losses), f"{key} went without a word")
            continue
        if shards and now is not None:
            named_so = [data for name, data in packed if split_name(name)[0] == key.split("/")[-1]]
            expect(now.image in (sample.image, *named_so), f"{key}: a picture that is not its own")
            continue
        if kind == "coco-object" and shared:
            expect(now.image == sample.image, f"{key}: another picture")
            continue
        if kind in DRAWN and shared:
            continue
        expect(now is not None, f"{key} is not broken and not there")
        expect(now.image == sample.image, f"{key} is not broken and has another picture")
        same = np.array_equal(now.labels, sample.labels) if sample.labels is not None else True
        expect(same, f"{key} is not broken and has another label map")
    gone = {key for key in right if key not in built}
    silent = {path for path in found.touched if path not in found.files}
    listed = not (shared or silent or kind in ("folder", "imagenet"))
    expect(not (gone and listed and not losses), f"{sorted(gone)} went without a word")
    if kind == "coco-object":
        right_outlines(found.files, right, built)
    elif corpus.labels is not None:
        _right_labels(kind, found, right, built)


def _right_labels(
    kind: str, found: Broken, right: Mapping[str, Stored], built: Mapping[str, Stored]
) -> None:
    """Every map is one that a strict reading finds in the input, or as it was before."""
    corpus = corpus_of(kind)
    assert corpus.labels is not None
    if any("labels.txt" in path for path in found.touched):
        return
    possible = [sample.labels for sample in right.values()]
    listed = any(path.endswith(".txt") for path in found.touched)
    for path in found.files if listed else found.touched:  # another list may name any file
        data = found.files.get(path)
        if isinstance(data, bytes) and data:
            ids = (
                documents.mat_ids(data, corpus.variable)
                if path.endswith(".mat")
                else read_ids(data)
            )
            if ids is None and kind in ("masks", "pairs"):
                ids = _indices(data)
            if ids is not None and set(np.unique(ids).tolist()) <= corpus.labels.keys():
                possible.append(_looked_up(ids, corpus.labels))
    images = {data for data in found.files.values() if isinstance(data, bytes)}
    for key, sample in built.items():
        expect(sample.image in images, f"{key}: a picture that is no file's")
        alike = any(np.array_equal(sample.labels, labels) for labels in possible)
        values = None if sample.labels is None else np.unique(sample.labels).tolist()
        expect(alike, f"{key}: labels {values} that no file holds")


def _indices(data: bytes) -> Ids | None:
    """Ids of a map in another format than PNG, or of equal channels."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            ids = np.array(picture).astype(np.int64)
            if picture.mode in ("RGB", "RGBA") and picture.format in ("PNG", "BMP", "TIFF"):
                return ids[..., 0] if (ids[..., :3] == ids[..., :1]).all() else None
            other = picture.mode in ("L", "P") and picture.format in ("BMP", "TIFF")
            return ids if other else None
    except Exception:
        return None


def _looked_up(ids: Ids, labels: Mapping[int, int]) -> Ids:
    new = ids.copy()
    for value in np.unique(ids).tolist():
        new[ids == value] = labels[value]
    return new


def _read_back(destination: Path, built: Mapping[str, Stored]) -> None:
    """The set can be read, and each sample has its own picture."""
    reader = ShardReader(open_set(str(destination), CACHE), CACHE)
    try:
        found = {}
        for shard, count in enumerate(reader.shards.counts):
            for number in range(count):
                sample = reader.read(shard, number)
                found[sample.key] = sample.members["jpg"]
                expect(reader.number(shard, sample.key) == number, f"{sample.key!r} is not found")
    finally:
        reader.close()
    expect(found == {k: s.image for k, s in built.items()}, "the set is read otherwise than it is")
