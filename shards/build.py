"""Building a set of shards: in parallel, the same bytes every time, whole or not at all.

A corpus is mostly sorted, by class or by album, and a reader of few shards would see few of them. So its
units are permuted before they are dealt to jobs. A job is a run of units that becomes one shard (more, where it is too large), so that jobs need not
know of each other. A job's record is written when its shards are in place; a build that was killed
goes on after the last record. The manifest is written last of all, and is what readers trust.
"""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm
from webdataset.writer import TarWriter

from shards.duplicates import refuse_duplicates
from shards.parallel import count_image, in_parallel
from shards.sample import BadSample, Sample, Source
from zeroseg.data.images import stored_size
from zeroseg.data.permutation import permuted
from zeroseg.errors import InputError
from zeroseg.store.manifest import Manifest, read_manifest
from zeroseg.store.set_writer import (
    JobRecord,
    begin_set,
    finish_set,
    publish_shard,
    read_job_record,
    record_path,
    scratch,
    write_job_record,
)
from zeroseg.store.storage import exists


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How a set is cut into shards, in which order, and how many processes write them."""

    images_per_shard: int = 10_000
    megabytes_per_shard: float = 1000.0
    """Of images and label maps; a shard that reaches it goes on in another."""
    workers: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """Processes; 0 writes in this one."""
    order: Literal["shuffled", "path"] | None = None
    """Of the source's units (photos, or whole tars, row groups, shards): shuffled by `seed`, or sorted by
    path as the source lists them. None shuffles sets without label maps that are not drawn at random."""
    seed: int = 0
    """Of the shuffled order."""

    def __post_init__(self) -> None:
        if self.images_per_shard < 1 or self.megabytes_per_shard <= 0 or self.workers < 0:
            raise InputError(
                f"{self}: a shard needs at least one image and some megabytes, workers at least 0"
            )
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: it must be at least 0")

    def shuffles(self, source: Source) -> bool:
        """Whether the source's units are permuted."""
        if self.order is None:
            return not (source.classes or source.in_random_order)
        return self.order == "shuffled"


@dataclass(frozen=True)
class Job:
    """Units that become one shard, and where it goes."""

    number: int
    units: Sequence[Any]
    read: Callable[[Any], Iterable[Sample | BadSample]]
    destination: str
    limits: Limits

    @property
    def record(self) -> str:
        """Where this job says that it is done."""
        return record_path(self.destination, f"job-{self.number:06d}")


def build(source: Source, destination: str, limits: Limits) -> Manifest:
    """Write a set of shards; go on with one that was begun; return at once if it is finished.

    Raises InputError when the destination holds something else, two samples share a key, or
    nothing in the source can be used.
    """
    fingerprint = _fingerprint(source, limits)
    finished = begin_set(destination, fingerprint)
    if finished is not None:
        return finished
    jobs = list(_jobs(source, destination, limits))
    _run([job for job in jobs if not exists(job.record)], source.images_per_unit, limits.workers)
    return _finish(source, destination, limits, jobs, fingerprint)


def build_share(
    source: Source, destination: str, limits: Limits, rank: int, processes: int
) -> Manifest | None:
    """Write what one of several processes has to of the set that `build` writes: every so-manyth job.

    They need nothing of each other but the destination. The manifest is written by the first, once all
    records are there, and returned by it, by the others only where the set was finished before. Raises
    InputError as `build`, and when the source of another process has other units.
    """
    fingerprint = _fingerprint(source, limits)
    finished = begin_set(destination, fingerprint, claim=rank == 0)
    if finished is not None:
        return finished
    jobs = list(_jobs(source, destination, limits))
    todo = [job for job in jobs[rank::processes] if not exists(job.record)]
    finished = read_manifest(destination)  # after the records, which go when it is written
    if finished is not None:
        return finished
    _run(todo, source.images_per_unit, limits.workers, hidden=rank > 0)
    return None if rank else _finish(source, destination, limits, jobs, fingerprint)


def _jobs(source: Source, destination: str, limits: Limits) -> Iterator[Job]:
    each = source.images_per_unit
    step = 1 if each is None else max(1, limits.images_per_shard // each)
    places = np.arange(len(source.units))
    if limits.shuffles(source):
        places = permuted(places, len(places), (limits.seed,))
    for number, first in enumerate(range(0, len(places), step)):
        units = [source.units[place] for place in places[first : first + step].tolist()]
        yield Job(number, units, source.read, destination, limits)


def _run(
    todo: Sequence[Job], images_per_unit: int | None, workers: int, *, hidden: bool = False
) -> None:
    names = [f"shard-{job.number:06d}.tar" for job in todo]
    units = sum(len(job.units) for job in todo)
    images = None if images_per_unit is None else images_per_unit * units
    for _ in in_parallel(do, todo, names, workers, images, hidden=hidden):
        pass


def _records(jobs: Sequence[Job]) -> Iterator[JobRecord]:
    """What every job said, in their order, once it is done: others may be at work on it.

    There is no barrier: a collective would time out where one process has much left to do.
    """
    for job in tqdm(jobs, "shards", unit="shard", delay=2):
        while not exists(job.record):
            time.sleep(0.2)
        yield read_job_record(job.record)


def do(job: Job) -> None:
    """Write one job's shards, then its record."""
    left_out: list[str] = []
    shards = []
    samples = _usable(job, left_out)
    with scratch(job.destination) as folder:
        first = next(samples, None)
        while first is not None:
            suffix = f"-{len(shards):03d}" if shards else ""
            name = f"shard-{job.number:06d}{suffix}.tar"
            path = folder / name
            first = _write_shard(first, samples, path, job.limits)
            shards.append(publish_shard(path, job.destination))
    write_job_record(job.record, JobRecord(tuple(shards), tuple(left_out)))


def _usable(job: Job, left_out: list[str]) -> Iterator[Sample]:
    for unit in job.units:
        for sample in job.read(unit):
            count_image()
            if isinstance(sample, BadSample):
                left_out.append(str(sample))
            else:
                yield sample


def _write_shard(
    sample: Sample | None, others: Iterator[Sample], path: Path, limits: Limits
) -> Sample | None:
    """Write samples until the shard is full; return the one that had no room. Raises InputError when two
    have one key."""
    size, keys = 0, set[str]()
    with path.open("wb") as file, TarWriter(file, mtime=0) as tar:
        while sample is not None:
            size += len(sample.image) + len(sample.labels or b"")
            too_large = keys and size > limits.megabytes_per_shard * 1e6
            if too_large or len(keys) == limits.images_per_shard:
                return sample
            if sample.key in keys:
                raise InputError(
                    f"two samples are called {sample.key!r}, in {path.name}, one of them from "
                    f"{sample.source or 'the same source'}: rename one in the source, build again"
                )
            tar.write(members(sample))
            keys.add(sample.key)
            sample = next(others, None)
    return None


def members(sample: Sample) -> dict[str, Any]:
    """What goes into the tar (shards/README.md)."""
    if sample.members:
        return {"__key__": sample.key, **sample.members}
    height, width = stored_size(sample.image)
    facts = {
        "width": width,
        "height": height,
        "source": sample.source,
        "sha256": hashlib.sha256(sample.image).hexdigest(),
    }
    labels = {} if sample.labels is None else {"png": sample.labels}
    named = {"__key__": sample.key, "jpg": sample.image}
    return named | labels | {"json": json.dumps(facts).encode()}


def _finish(
    source: Source,
    destination: str,
    limits: Limits,
    jobs: Sequence[Job],
    fingerprint: str,
) -> Manifest:
    records = list(_records(jobs))
    shards = [shard for record in records for shard in record.shards]
    left_out = [line for record in records for line in record.left_out]
    if not shards:
        reasons = f": {left_out[0]}" if left_out else ""
        raise InputError(f"no image could be used for {destination}{reasons}: check the source")
    refuse_duplicates(destination, [s.name for s in shards])
    order = {"order": f"shuffled by seed {limits.seed}"} if limits.shuffles(source) else {}
    built_from = {**source.built_from, **order, "fingerprint": fingerprint}
    return finish_set(destination, shards, left_out, built_from, source.classes)


def _fingerprint(source: Source, limits: Limits) -> str:
    """What the shards' bytes depend on, short of the source's own bytes."""
    digest = hashlib.sha256(json.dumps(dict(source.built_from), sort_keys=True).encode())
    digest.update(f"{limits.images_per_shard} {limits.megabytes_per_shard}".encode())
    if limits.shuffles(
        source
    ):  # else as before there was a choice, so that such sets stay what they are
        digest.update(f"shuffled {limits.seed}".encode())
    for unit in source.units:
        digest.update(repr(unit).encode())
    return digest.hexdigest()[:16]
