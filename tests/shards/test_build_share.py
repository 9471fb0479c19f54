"""A set that several processes share: the files of one, whatever was killed, and one line for what is wrong."""

import dataclasses
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from shards.build import Limits, build, build_share
from shards.sample import BadSample, Sample, Source
from tests.support.corpora import picture
from tests.support.jobs import Job
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.set_writer import BUILDING

LIMITS = Limits(images_per_shard=2, workers=0)


def read(number: int):
    time.sleep(0.002)
    key = "twin" if number in {31, 34} else f"k{number:02d}"
    yield BadSample("3: torn") if number == 3 else Sample(key, picture(number))


def source(count: int = 30) -> Source:
    return Source(units=range(count), read=read, classes=("a",), built_from={"kind": "test"})


def share(folder: Path, rank: int, processes: int, units: int = 30, workers: int = 0) -> None:
    limits = dataclasses.replace(LIMITS, workers=workers)
    try:
        build_share(source(units), str(folder), limits, rank, processes)
    except InputError as error:
        print(f"error: {error}", flush=True)
        raise SystemExit(2) from error


def begun(folder: Path, ranks: Sequence[int], processes: int, *more: int) -> list[Job]:
    """Some of a set's processes, none forked from another: a lock that a killed one held is its own."""
    return [Job(share, folder, rank, processes, *more) for rank in ranks]


def ended(jobs: Sequence[Job]) -> list[int | None]:
    for job in jobs:
        job.ended(60)
    return [job.statuses[0] for job in jobs]


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def records(folder: Path) -> int:
    return len(list(folder.glob(f"{BUILDING}/job-*.json")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("alone")
    assert build(source(), str(folder), LIMITS).samples == 29
    return content(folder)


@pytest.mark.parametrize(("processes", "workers"), [(3, 2), (5, 0)])
def test_any_number_of_processes_writes_the_files_of_one(alone, tmp_path, processes, workers):
    assert set(ended(begun(tmp_path, range(processes), processes, 30, workers))) == {0}
    assert content(tmp_path) == alone


def test_killed_anywhere_and_begun_by_another_number_it_ends_in_the_same_files(alone, tmp_path):
    for least, processes in ((1, 2), (6, 3), (10, 1)):
        started = begun(tmp_path, range(processes), processes)
        while any(job.running for job in started) and records(tmp_path) < least:
            time.sleep(0.001)
        for job in started:
            job.kill()
    assert ended(begun(tmp_path, range(2), 2)) == [0, 0]
    assert content(tmp_path) == alone


def test_the_first_waits_for_the_records_of_all(alone, tmp_path):
    (first,) = begun(tmp_path, [0], 2)
    while records(tmp_path) < 8 and first.running:
        time.sleep(0.005)
    time.sleep(0.1)
    assert first.running
    assert read_manifest(str(tmp_path)) is None
    assert ended([*begun(tmp_path, [1], 2), first]) == [0, 0]
    assert content(tmp_path) == alone
    assert ended(begun(tmp_path, [1], 2)) == [0]  # one that comes late leaves nothing behind
    assert content(tmp_path) == alone


def test_a_process_that_sees_another_source_is_refused_by_its_fingerprint(tmp_path):
    (first,) = begun(tmp_path, [0], 2)
    (other,) = begun(tmp_path, [1], 2, 29)
    assert ended([other]) == [2]
    first.kill()
    (line,) = other.said().splitlines()
    assert re.search(r"of the fingerprint \w{16}, and a process on .* makes \w{16} of the", line)
    assert not (tmp_path / "manifest.json").exists()


def test_one_key_in_shards_of_two_processes_is_refused_by_the_first(tmp_path):
    first, other = begun(tmp_path, [0, 1], 2, 36)
    assert ended([first, other]) == [2, 0]
    assert "'twin', in shard-000015.tar and shard-000017.tar" in first.said()
    assert not (tmp_path / "manifest.json").exists()
