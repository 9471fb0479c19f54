"""Broken sets read, checked, trained on and scored."""

import contextlib
import io
import itertools
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.odd_input import sets
from benchmarks.odd_input.breaking import write
from benchmarks.odd_input.building import CACHE, stored_in
from benchmarks.odd_input.pictures import read_ids, upright
from benchmarks.odd_input.scoring import scored
from benchmarks.odd_input.sets import COLOURS, IMAGES, Files, Member
from benchmarks.odd_input.verdict import Judged, ended, expect, named, refused
from shards.check import check
from zeroseg.data.augmentation import Augmentation
from zeroseg.data.crops import Crops
from zeroseg.data.samples import image_of, read_samples
from zeroseg.data.stream import DataConfig, TrainingStream
from zeroseg.data.transforms import LabelledCrops, Transform, UnlabelledCrops
from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample, ShardReader
from zeroseg.store.shard_set import open_set


def read_case(rng: random.Random, folder: Path) -> Judged:
    """Every sample of a broken set, by the reader."""
    files = sets.broken(rng)
    write(folder / "set", files)
    try:
        reader = ShardReader(open_set(str(folder / "set"), CACHE), CACHE)
    except InputError as error:
        return refused(error)
    counts = enumerate(reader.shards.counts)
    everything = [(shard, number) for shard, count in counts for number in range(count)]
    decoded, lost = read_samples(reader, everything, image_of)
    reader.close()
    named([str(loss) for loss in lost])
    expect(len(decoded) + len(lost) == len(everything), "samples are neither read nor lost")
    _judge_pictures(files, dict(decoded), complete=not lost)
    return ended(len(lost))


def _judge_pictures(files: Files, decoded: dict[str, Tensor], *, complete: bool) -> None:
    members, whole = sets.found(files), sets.whole_members()
    intact = sets.intact(members)
    for key, pixels in decoded.items():
        parts = members.get(key, []) + whole.get(key, [])
        possible = [upright(m.data) for m in parts if m.extension in IMAGES]
        expect(bool(possible), f"{key!r} has no picture in any shard")
        now = pixels.permute(1, 2, 0).numpy()
        alike = any(p is None or np.array_equal(now, p) for p in possible)
        expect(alike, f"{key!r}: pixels that none of its members has")
    for key in (k for k in intact if k in decoded):
        expected = upright(_picture(whole[key]))
        expect(np.array_equal(decoded[key].permute(1, 2, 0), expected), f"{key}: another picture")
    missing = [k for k in sets.in_manifest(files, members) if k in intact and k not in decoded]
    expect(
        not missing or not complete or sets.another_index(files),
        f"{missing} went without a word",
    )


def _picture(members: list[Member]) -> bytes:
    return next(m.data for m in members if m.extension == "jpg")


def train_case(rng: random.Random, folder: Path) -> Judged:
    """An epoch of a broken set, as training reads it."""
    files = sets.broken(rng)
    write(folder / "set", files)
    labelled = rng.random() < 0.6
    config = DataConfig(
        shards=str(folder / "set"), batch_size=2, workers=0, most_lost=1.0, cache=CACHE
    )
    try:
        stream = TrainingStream(config, _transform(labelled), rank=0, world_size=1, seed=1)
        batches = list(itertools.islice(stream, stream.shards.samples // 2))
    except InputError as error:
        return refused(error)
    lost = [str(loss) for batch in batches for loss in batch.lost]
    named(lost)
    shown: dict[str, tuple[Tensor, ...]] = {}
    for batch in batches:
        labels = batch.labels if batch.labels is not None else batch.images
        shown |= {k: (i, t) for k, i, t in zip(batch.keys, batch.images, labels, strict=False)}
    members, indexed = sets.found(files), any(name.endswith(".idx") for name in files)
    told_otherwise = labelled and sets.classes_differ(files)
    for key in (k for k in sets.intact(members) if k in shown and not told_otherwise):
        expected = _shown(key, labelled)
        same = all(torch.equal(a, b) for a, b in zip(shown[key], expected, strict=False))
        expect(same, f"{key} is shown otherwise")
    if labelled:
        for key in shown:  # an index may tell of a map of which the tar says that it is no file
            parts = members.get(key, []) + (sets.whole_members().get(key, []) if indexed else [])
            expect(any(m.extension == "png" for m in parts), f"{key}: no map")
    return ended(len(lost))


@cache
def _transform(labelled: bool) -> Transform:
    if labelled:
        return LabelledCrops(Augmentation(size=16), COLOURS)
    return UnlabelledCrops(size=16, view_size=16, crops=Crops())


@cache
def _shown(key: str, labelled: bool) -> tuple[Tensor, ...]:
    """What the first epoch shows of a sample of the whole set."""
    members = {m.extension: m.data for m in sets.whole_members()[key]}
    parts = _transform(labelled)(RawSample("", key, members), 0)
    return (parts["images"], parts["labels"]) if labelled else (parts["images"],) * 2


def check_case(rng: random.Random, folder: Path) -> Judged:
    """A broken set checked and repaired."""
    files = sets.broken(rng)
    write(folder / "set", files)
    status, said = 0, io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            check(str(folder / "set"), repair=str(folder / "repaired"), workers=0)
    except InputError as error:
        expect(
            not sets.intact(sets.found(files)) or "classes" in str(error),
            f"sound samples, and yet: {error}",
        )
        return refused(error)
    except SystemExit as stop:
        status = int(stop.code or 0)
    has_manifest = "manifest.json" in files
    expect(status == 1 or not has_manifest or sets.same(files), "it is broken, and nothing is said")
    repaired = dict(stored_in(folder / "repaired"))
    _judge_repaired(files, repaired)
    return ended(status)


def _judge_repaired(files: Files, repaired: dict) -> None:  # type: ignore[type-arg]
    members, whole = sets.found(files), sets.whole_members()
    for key in sets.intact(sets.in_manifest(files, members)):  # of another shard the check says so
        told = key in repaired or sets.overlapping(files)
        expect(told, f"{key} is sound and was dropped")
    for key, sample in repaired.items():
        escaped = [m for parts in members.values() for m in parts] if {*"%_"} & {*key} else []
        images = [m.data for m in members.get(key, escaped) if m.extension in IMAGES]
        expect(sample.image in images, f"{key}: a picture that is no member's")
        maps = [read_ids(m.data) for m in members.get(key, escaped) if m.extension == "png"]
        maps += [read_ids(m.data) for m in whole.get(key, []) if m.extension == "png"]
        known = any(m is not None and np.array_equal(sample.labels, m) for m in maps)
        expect(sample.labels is None or known, f"{key}: labels that no member has")
        facts = [m for m in whole.get(key, []) if m.extension == "json"]
        if facts and facts[0] in members.get(key, []):
            expect(sample.image == _picture(whole[key]), f"{key}: not the picture of its facts")


def score_case(rng: random.Random, folder: Path) -> Judged:
    """A broken set scored by a segmenter that reads labels off the pixels."""
    files = sets.broken(rng)
    write(folder / "set", files)
    try:
        tally, total = scored(folder / "set")
    except InputError as error:
        return refused(error)
    named(list(tally.lost))
    expect(len(tally.keys) + len(tally.lost) == total, "images are neither scored nor lost")
    hits, truth, _ = tally.by_image(None)
    members, whole = sets.found(files), sets.whole_members()
    intact = sets.intact(members)
    for number, key in enumerate(tally.keys):
        parts = members.get(key, []) + whole.get(key, [])
        maps = [read_ids(m.data) for m in parts if m.extension == "png"]
        counts = [np.bincount(m[m >= 0], minlength=3)[:3].tolist() for m in maps if m is not None]
        expect(truth[number].tolist() in counts, f"{key!r}: a truth that no member has")
        pictures = {m.data for m in parts if m.extension in ("jpg", "jpeg", "webp")}
        expect(bool(pictures), f"{key!r}: a picture that is no picture")
        if key in intact:
            expect((hits[number] == truth[number]).all(), f"{key} is intact and scored otherwise")
    told = bool(tally.lost) or sets.another_index(files)
    expect(told or {*intact} <= {*tally.keys}, "intact images went without a word")
    return ended(len(tally.lost))


CASES: dict[str, Callable[[random.Random, Path], Judged]] = {
    "read": read_case,
    "train": train_case,
    "check": check_case,
    "evaluate": score_case,
}
