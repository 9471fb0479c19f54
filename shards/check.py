"""Everything that is wrong with a set of shards, and a clean copy of what is right."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shards.build import Limits, build
from shards.contents import contents, open_shard
from shards.label_counts import benchmark_of, label_counts, told, unknown
from shards.parallel import in_parallel
from shards.sample import BadSample, Sample, Source
from shards.verify_sample import Cause, right_sample
from shards.verify_shard import Finding, NamedShard, ShardReport, verify_shard
from zeroseg.errors import InputError
from zeroseg.store.counting import say_passed_over
from zeroseg.store.keys import escaped
from zeroseg.store.manifest import NAME, Manifest, parse_manifest
from zeroseg.store.set_writer import LEFT_OUT
from zeroseg.store.shard_cache import is_local
from zeroseg.store.shard_names import expanded, fits, matching
from zeroseg.store.storage import exists, join, read_bytes

SHOWN = 5
"""Findings of one cause that are told; the rest are counted."""
_NOTHING_LOST = {Cause.MANIFEST, Cause.CHECKSUM, Cause.INDEX, Cause.KEY}
"""Say that a shard changed, of whose samples other causes say which are lost by that; or that a key must
be escaped."""


def check(
    shards: str,
    repair: str | None = None,
    workers: int = os.cpu_count() or 1,
    benchmark: str = "",
) -> None:
    """Read and decode every sample of a set; count what is wrong by cause.

    Label maps must fit the upright image, over which evaluation lays them. Exits with 1 when
    anything is wrong, whether or not the rest was copied.

    Args:
        shards: Folder, path or URL, as for training; several, joined by `::`, are one set.
        repair: Folder or URL for a copy of the samples that are right, byte for byte; of those with
            one key the first, and unusable keys escaped. What is dropped is in left-out.jsonl.
        workers: Processes; 0 checks in this one.
        benchmark: A name in `zeroseg.BENCHMARKS`, a `.json` file, or `own`, the classes of the manifest: also
            tells the pixels and images of each class, and the labels that it does not know, which are wrong.
    """
    if workers < 0:
        raise InputError(f"workers is {workers}: it must be at least 0")
    named, findings = named_shards(shards)
    if not (named or findings):
        raise InputError(f"no shards match {shards!r}: check the path")
    if repair is not None:
        _refuse(repair, named)
    asked = benchmark_of(benchmark, named, shards) if benchmark else None
    recorded = [s.record.samples for s in named if s.record]
    total = sum(recorded) if len(recorded) == len(named) else None
    urls = [s.url for s in named]
    reports = list(in_parallel(verify_shard, named, urls, workers, total))
    findings += [finding for report in reports for finding in report.findings]
    findings += _duplicates(reports)
    _tell(named, reports, findings)
    strange: list[int] = []
    if asked is not None:
        counts = label_counts(named, asked, workers)
        print(*told(counts, asked), sep="\n")
        strange = unknown(counts)
    if repair is not None:
        _repair(_right(shards, named, findings), repair, Limits(workers=workers, order="path"))
    if findings or strange:
        raise SystemExit(1)


def named_shards(spec: str) -> tuple[list[NamedShard], list[Finding]]:
    """Every shard that a spec names, or a manifest does; and what is wrong with the manifests.

    The shards that `open_set` finds, but where that refuses a set this goes on.
    """
    places = [place for part in spec.split("::") for place in _places(part)]
    there = [url for _, _, urls in places for url in urls]
    manifests, findings = _manifests([folder for folder, _, _ in places] + [*map(_folder, there)])
    recorded = {
        folder + record.name: NamedShard(folder + record.name, record, manifest.classes)
        for folder, manifest in manifests.items()
        for record in manifest.shards
    }
    urls: dict[str, None] = {}
    for folder, pattern, lying in places:
        if pattern:
            names = [s.name for s in manifests[folder].shards] if folder in manifests else []
            urls |= dict.fromkeys(folder + name for name in names if fits(name, pattern))
        urls |= dict.fromkeys(lying)
    strays = {url for url in urls if url not in recorded and _folder(url) in manifests}
    detail = "not in the manifest beside it, so not read: remove it, or run `zeroseg shards index`"
    findings += [Finding(Cause.MANIFEST, url, detail) for url in urls if url in strays]
    found = [recorded.get(url, NamedShard(url, None, ())) for url in urls if url not in strays]
    return found, findings


def _manifests(folders: Sequence[str]) -> tuple[dict[str, Manifest], list[Finding]]:
    found, findings = {}, []
    for folder in dict.fromkeys(folders):
        path = join(folder or ".", NAME)
        if not exists(path):
            continue
        data = read_bytes(path)  # outside: that the network fails says nothing of the set
        try:
            found[folder] = parse_manifest(data, path)
        except InputError as error:
            findings.append(Finding(Cause.MANIFEST, f"{folder}{NAME}", str(error)))
    return found, findings


def _places(part: str) -> Iterator[tuple[str, str, list[str]]]:
    """(folder with its slash, pattern of names, shards there) for all that a part names."""
    is_folder = not part.endswith(".tar") or (is_local(part) and Path(part).is_dir())
    if is_folder and not part.startswith("pipe:"):
        folder = join(part, "")
        yield folder, "*.tar", matching(f"{folder}*.tar", folder) if is_local(part) else []
        return
    for url in expanded(part):
        folder = _folder(url)
        if is_local(url) and "*" in url and not Path(url).is_file():
            yield folder, url.removeprefix(folder), matching(url)
        else:
            yield folder, "", [url]


def _folder(url: str) -> str:
    return "" if url.startswith("pipe:") else url[: url.rfind("/") + 1]


def _refuse(destination: str, named: Sequence[NamedShard]) -> None:
    """Raises InputError when a repaired set would be written over what it is made of."""

    def location(folder: str) -> str | Path:
        path = folder.removeprefix("file://") or "."
        return Path(path).resolve() if is_local(path) else path.rstrip("/")

    if location(destination) in {location(_folder(shard.url)) for shard in named}:
        raise InputError(f"--repair {destination} is where the shards are: choose another folder")
    if len({shard.classes for shard in named}) > 1:
        raise InputError("the shards have label maps of different classes: repair each set alone")


def _duplicates(reports: Sequence[ShardReport]) -> list[Finding]:
    """Every sample whose key an earlier one has. Keys of a large set do not fit in memory, their
    hashes do; only shards in which a hash comes twice are looked at again."""
    hashes = np.concatenate([np.empty(0, np.int64), *(r.key_hashes for r in reports)])
    values, counts = np.unique(hashes, return_counts=True)
    suspects = values[counts > 1]
    first: dict[str, tuple[str, int]] = {}
    split: set[str] = set()
    findings = []
    for url, _, key_hashes, *_ in reports:
        numbers = np.flatnonzero(np.isin(key_hashes, suspects)).tolist()
        if not numbers:
            continue
        with open_shard(url) as file:
            keys = [sample.key for sample in contents(file).samples]
        for number in numbers:
            key = keys[number]
            if key not in first:
                first[key] = url, number
            elif first[key][0] == url:
                detail = "members of another sample lie between its own"
                pieces = (number,) if key in split else (first[key][1], number)
                split.add(key)
                findings += [Finding(Cause.SPLIT, url, detail, key, n) for n in pieces]
            else:
                detail = f"also in {first[key][0]}"
                findings.append(Finding(Cause.DUPLICATE, url, detail, key, number))
    return findings


def _tell(
    named: Sequence[NamedShard], reports: Sequence[ShardReport], findings: Sequence[Finding]
) -> None:
    """Print what is wrong by cause, and what was read."""
    for cause in Cause:
        these = [f for f in findings if f.cause is cause]
        if these:
            print(f"{len(these):8}  {cause}")
            for finding in these[:SHOWN]:
                print(f"{'':10}{finding}")
            if len(these) > SHOWN:
                print(f"{'':10}and {len(these) - SHOWN} more")
    say_passed_over("these shards", sum((Counter(r.passed_over) for r in reports), Counter()))
    unknown = sum(s.record is None for s in named)
    if unknown:
        print(f"{unknown} of {len(named)} shards are in no manifest that tells their checksum")
    images, size = sum(len(r.key_hashes) for r in reports), sum(r.bytes for r in reports)
    verdict = f"{len(findings)} things wrong" if findings else "nothing wrong"
    print(f"{images} images, {size} bytes in {len(named)} shards checked: {verdict}")


class _Unit(NamedTuple):
    """One shard, and which of it to leave out."""

    shard: str
    dropped: tuple[Finding, ...]


def _repair(source: Source, destination: str, limits: Limits) -> None:
    manifest = build(source, destination, limits)
    print(f"{destination}: {manifest.samples} images in {len(manifest.shards)} shards")
    if manifest.left_out:
        print(f"{manifest.left_out} left out, named in {join(destination, LEFT_OUT)}")


def _right(spec: str, named: Sequence[NamedShard], findings: Sequence[Finding]) -> Source:
    """The samples of a set about which nothing was found."""
    lost = sorted((f for f in findings if f.cause not in _NOTHING_LOST), key=lambda f: f.shard)
    by_shard = {url: tuple(group) for url, group in groupby(lost, key=lambda f: f.shard)}
    return Source(
        units=[_Unit(shard.url, by_shard.get(shard.url, ())) for shard in named],
        read=_read,
        images_per_unit=None,
        classes=next((shard.classes for shard in named), ()),
        built_from={"kind": "repair", "source": spec},
    )


def _read(unit: _Unit) -> Iterator[Sample | BadSample]:
    dropped = {f.number: f for f in unit.dropped if f.number is not None}
    for finding in unit.dropped:
        if finding.number is None or finding is dropped[finding.number]:
            yield BadSample(f"{finding.cause}: {finding}")
    if any(f.cause is Cause.UNREADABLE for f in unit.dropped):
        return
    with open_shard(unit.shard) as file:
        for number, sample in enumerate(contents(file).samples):
            if number not in dropped:
                right = right_sample(file, sample)
                yield dataclasses.replace(right, key=escaped(right.key).replace(" ", "_"))
