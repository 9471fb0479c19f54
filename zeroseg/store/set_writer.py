"""Writing a set of shards, resumable after a stop at any point.

Until it is finished, `.building/` holds the fingerprint of what the set is made from and a record of
each finished job. A shard appears complete under its name; the manifest, which readers trust, comes last.
"""

import hashlib
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zeroseg.errors import InputError
from zeroseg.records import read_record, to_json
from zeroseg.store.local_files import temporary_folder
from zeroseg.store.manifest import NAME, Manifest, ShardRecord, manifest_text, read_manifest
from zeroseg.store.storage import (
    exists,
    join,
    local_path,
    move,
    read_bytes,
    remove,
    write_atomically,
)
from zeroseg.store.tar_index import index_text, scan

BUILDING = ".building"
LEFT_OUT = "left-out.jsonl"
_PLAN = f"{BUILDING}/plan.json"


@dataclass(frozen=True)
class BuildPlan:
    """What an unfinished set is made from."""

    fingerprint: str


@dataclass(frozen=True)
class JobRecord:
    """What a finished job wrote and could not use."""

    shards: tuple[ShardRecord, ...]
    left_out: tuple[str, ...]


def begin_set(folder: str, fingerprint: str, *, claim: bool = True) -> Manifest | None:
    """Begin a set in a folder or go on with it; the manifest if it is finished, else None.

    Of several processes one has `claim` and writes the fingerprint; the others wait for it. Raises
    InputError when the folder holds a set of another fingerprint.
    """
    while (begun := _begun(folder)) is None and not claim:
        time.sleep(0.2)
    if begun is None:
        text = json.dumps(to_json(BuildPlan(fingerprint)))
        write_atomically(join(folder, _PLAN), text.encode())
        return None
    finished, found = begun
    if found != fingerprint:
        raise InputError(
            f"{folder} holds a set that was built from something else or with other limits, order or "
            "seed: remove it, or choose another folder"
            if claim
            else f"{folder} is of the fingerprint {found}, and a process on {socket.gethostname()} makes "
            f"{fingerprint} of the same command: let every machine see the same source under the same path"
        )
    return finished


def _begun(folder: str) -> tuple[Manifest | None, str] | None:
    """The manifest of a finished set, and the fingerprint of a finished or unfinished one."""
    finished, plan = read_manifest(folder), join(folder, _PLAN)
    if finished is not None:
        return finished, finished.built_from.get("fingerprint", "")
    if not exists(plan):
        return None
    remedy = f"remove {folder}, and build the set again"
    return None, read_record(BuildPlan, read_bytes(plan), plan, remedy=remedy).fingerprint


def record_path(folder: str, job: str) -> str:
    """Path or URL of a job's record; it exists once the job is done."""
    return join(folder, f"{BUILDING}/{job}.json")


def write_job_record(path: str, record: JobRecord) -> None:
    """Say that a job is done, at its `record_path`."""
    write_atomically(path, json.dumps(to_json(record)).encode())


def read_job_record(path: str) -> JobRecord:
    """What a finished job said. Raises InputError when it cannot be read."""
    remedy = "remove it, and run the same command again"
    return read_record(JobRecord, read_bytes(path), path, remedy=remedy)


@contextmanager
def scratch(folder: str) -> Iterator[Path]:
    """Where shards are written before they are published: beside the set where that is local, else
    where TMPDIR says. Raises NoRoom naming it when its disk is full."""
    local = local_path(folder)
    with temporary_folder(None if local is None else local / BUILDING) as place:
        yield place


def publish_shard(path: Path, folder: str) -> ShardRecord:
    """Move a shard, and put an index of it, into the set's folder; returns the shard's facts."""
    index = scan(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = ShardRecord(
        name=path.name, samples=len(index), bytes=path.stat().st_size, sha256=digest
    )
    write_atomically(join(folder, path.with_suffix(".idx").name), index_text(index).encode())
    move(path, join(folder, path.name))
    return record


def read_left_out(folder: str) -> list[str]:
    """What a finished set names as left out."""
    path = join(folder, LEFT_OUT)
    lines = read_bytes(path).decode().splitlines() if exists(path) else []
    return [json.loads(line)["left_out"] for line in lines]


def finish_set(
    folder: str,
    shards: Sequence[ShardRecord],
    left_out: Sequence[str],
    built_from: Mapping[str, str],
    classes: tuple[str, ...] = (),
) -> Manifest:
    """Write the manifest and the list of what was left out; delete `.building/`."""
    if left_out:
        lines = "".join(json.dumps({"left_out": line}) + "\n" for line in left_out)
        write_atomically(join(folder, LEFT_OUT), lines.encode())
    manifest = Manifest(
        shards=tuple(shards), classes=classes, built_from=built_from, left_out=len(left_out)
    )
    write_atomically(join(folder, NAME), manifest_text(manifest).encode())
    remove(join(folder, BUILDING))
    return manifest
