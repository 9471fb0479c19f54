"""A small labelled set of shards, ways to break it, and what a patient reader finds in it."""

import functools
import io
import json
import random
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.odd_input import tars
from benchmarks.odd_input.damage import any_damage
from benchmarks.odd_input.documents import broken_json
from benchmarks.odd_input.pictures import ORIENTATION, Ids, blocks, broken_map, file_of, photo, png
from shards.build import Limits, build
from shards.sample import Sample, Source
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.store.tar_index import parse_index, split_name

COLOURS = Benchmark(name="colours", classes=("red", "green", "blue"), background=False)
SAMPLES, PER_SHARD = 6, 3
VALUES = (0, 1, 2, -1)
IMAGES = ("jpg", "jpeg", "webp", "png")
Files = dict[str, bytes]


APART = "/"
"""Stands for the members of others between two of a sample."""


class Member(NamedTuple):
    """Parts of a sample by extension, in the order found."""

    extension: str
    data: bytes


def ids_of(number: int) -> Ids:
    """Of a sample; 0 and 3 are of one size."""
    return blocks(number % 3, VALUES)


def pixels_of(number: int) -> np.ndarray:
    """The picture of a sample, which tells its labels."""
    return photo(number % 3, np.where(ids_of(number) < 0, 0, ids_of(number)))


def read(number: int) -> Iterator[Sample]:
    """One sample."""
    picture = file_of(pixels_of(number))
    yield Sample(f"deep/p{number}", picture, png(ids_of(number)), f"p{number}.jpg")


@functools.cache
def whole() -> Files:
    """Every file of the set."""
    with TemporaryDirectory() as folder:
        source = Source(units=range(SAMPLES), read=read, classes=COLOURS.classes)
        build(source, folder, Limits(workers=0, images_per_shard=PER_SHARD))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def broken(rng: random.Random) -> Files:
    """The set with something broken; with or without manifest and indices."""
    files = dict(whole())
    foreign = rng.random() < 0.4
    if foreign:
        files = {name: data for name, data in files.items() if name.endswith(".tar")}
    name = rng.choice(sorted(files))
    if name.endswith(".tar"):
        files[name] = _broken_shard(rng, files[name])
    elif name.endswith(".idx"):
        files[name] = broken_index(rng, files[name])
    else:
        files[name] = broken_json(rng, files[name])
    if rng.random() < 0.1:
        other = rng.choice(sorted(files))
        files[name], files[other] = files[other], files[name]
    if rng.random() < 0.05:
        del files[rng.choice(sorted(files))]
    return files


def _broken_shard(rng: random.Random, data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        infos = tar.getmembers()
    members = [tars.Member(i.name, data[i.offset_data : i.offset_data + i.size]) for i in infos]
    action, place = rng.random(), rng.randrange(len(members))
    name = members[place].name
    if action < 0.1 and name.endswith(".jpg"):
        tag = Image.Exif()
        tag[ORIENTATION] = rng.randrange(1, 9)
        turned = file_of(pixels_of(int(name[-5])), exif=tag)
        members[place] = members[place]._replace(data=turned)
    elif action < 0.25 and name.endswith(".png"):
        map_ = broken_map(rng, members[place].data, ids_of(int(name[-5])))
        members[place] = members[place]._replace(data=map_)
    else:
        return tars.broken_tar(rng, members)
    return tars.packed([m for m in members if not m.name.endswith(".json")])


def broken_index(rng: random.Random, data: bytes) -> bytes:
    """An index file damaged, or with other numbers, names and lines."""
    if rng.random() < 0.3:
        return any_damage(rng, data)
    lines = data.decode().split("\n")
    place, other = rng.randrange(len(lines) - 1), rng.randrange(len(lines) - 1)
    words, action = lines[place].split(" "), rng.randrange(6)
    if action == 0:
        numbers = ("-1", "0", "1", "99999999999999999999", "1e3", "x", "", "512", "1536", "nan")
        words[rng.randrange(len(words))] = rng.choice(numbers)
    elif action == 1:
        words[rng.randrange(len(words))], words[-1] = words[-1], words[rng.randrange(len(words))]
    elif action == 2:
        words.pop(rng.randrange(len(words)))
    elif action == 3:
        words = lines[other].split(" ")
    elif action == 4:
        return data.replace(b"\n", b"\r\n")
    else:
        lines[place], lines[other] = lines[other], lines[place]
        return "\n".join(lines).encode()
    lines[place] = " ".join(words)
    return "\n".join(lines).encode()


def found(files: Mapping[str, bytes]) -> dict[str, list[Member]]:
    """By key: all members that are there, whatever lies between them."""
    samples: dict[str, list[Member]] = {}
    for name, data in files.items():
        last = ""
        for member, content in tars.found_in(data) if name.endswith(".tar") else ():
            key, extension = split_name(member)
            parts = samples.setdefault(key, [])
            if parts and key != last:
                parts.append(Member(APART, b""))
            parts.append(Member(extension, content))
            last = key
    return samples


@functools.cache
def whole_members() -> dict[str, list[Member]]:
    """What is found in the whole set."""
    return found(whole())


def intact(members: Mapping[str, list[Member]]) -> list[str]:
    """Keys whose members are there as they were, each once."""
    return [key for key, before in whole_members().items() if members.get(key) == before]


def same(files: Mapping[str, bytes]) -> bool:
    """Whether the set says what it said of its samples, however that is written; an index may be missing."""
    before = {n: data for n, data in whole().items() if n in files or not n.endswith(".idx")}
    if files.keys() != before.keys():
        return False
    try:
        manifests = [json.loads(f["manifest.json"])["shards"] for f in (files, before)]
        indices = [
            parse_index(f[name].decode(errors="surrogateescape"), name)
            for f in (files, before)
            for name in sorted(before)
            if name.endswith(".idx")
        ]
    except (ValueError, RecursionError, LookupError, TypeError, InputError):
        return False
    half = len(indices) // 2
    told = manifests[0] == manifests[1] and indices[:half] == indices[half:]
    return told and all(files[n] == before[n] for n in before if n.endswith(".tar"))


def in_manifest(files: Files, members: Mapping[str, list[Member]]) -> dict[str, list[Member]]:
    """Those of `found` whose shards the manifest names, which tells what a set is; without one all."""
    try:
        named = {shard["name"] for shard in json.loads(files["manifest.json"])["shards"]}
    except (ValueError, RecursionError, LookupError, TypeError):
        return dict(members)
    inside = found({name: data for name, data in files.items() if name in named})
    return {key: parts for key, parts in members.items() if key in inside}


def classes_differ(files: Files) -> bool:
    """Whether the manifest names other classes, by which labels are read otherwise."""
    try:
        return tuple(json.loads(files["manifest.json"])["classes"]) != COLOURS.classes
    except (ValueError, RecursionError, LookupError, TypeError):
        return False


def another_index(files: Mapping[str, bytes]) -> bool:
    """Whether an index file is another: one that names a sample twice and another not at all is whole."""
    before = whole()
    return any(files[name] != before[name] for name in files if name.endswith(".idx"))


def overlapping(files: Mapping[str, bytes]) -> bool:
    """Whether a header claims the bytes of others: which of them are members then, nobody can tell."""
    claimed = {
        name: sum(len(content) for _, content in tars.found_in(data))
        for name, data in files.items()
        if name.endswith(".tar")
    }
    return any(size > len(files[name]) for name, size in claimed.items())
