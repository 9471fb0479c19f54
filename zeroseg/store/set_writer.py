"""Writing a set of shards so that it can be stopped at any time and gone on with.

While a set is being written, `.building/` holds what it is made from and a record of each finished job.
A shard appears whole under its name; the manifest is written last of all, and is what readers trust.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroseg.errors import InputError
from zeroseg.records import read_record, to_json
from zeroseg.store.manifest import NAME, Manifest, ShardRecord, manifest_text, read_manifest
from zeroseg.store.storage import exists, join, read_bytes, remove, write_atomically
from zeroseg.store.tar_index import index_text, scan

BUILDING = ".building"
LEFT_OUT = "left-out.jsonl"
_PLAN = f"{BUILDING}/plan.json"


@dataclass(frozen=True)
class BuildPlan:
    """What an unfinished set is made from."""

    fingerprint: str


def begin(folder: str, fingerprint: str, *, claim: bool = True) -> Manifest | None:
    """Claim a folder, or go on in it; return its manifest if the set is finished.

    Of several processes one claims it; the others only look.

    Raises InputError when the folder holds a set of another fingerprint.
    """
    finished = read_manifest(folder)
    if finished is not None:
        found = finished.built_from.get("fingerprint")
    elif exists(join(folder, _PLAN)):
        plan = join(folder, _PLAN)
        remedy = f"remove {folder}, and build the set again"
        found = read_record(BuildPlan, read_bytes(plan), plan, remedy=remedy).fingerprint
    else:
        found = fingerprint
    if found != fingerprint:
        raise InputError(
            f"{folder} holds a set that was built from something else or with other limits: "
            "remove it, or choose another folder"
        )
    if finished is None and claim:
        text = json.dumps(to_json(BuildPlan(fingerprint)))
        write_atomically(join(folder, _PLAN), text.encode())
    return finished


def record_path(folder: str, job: str) -> str:
    """Where a job says that it is done."""
    return join(folder, f"{BUILDING}/{job}.json")


def publish(path: Path, folder: str) -> ShardRecord:
    """Put a finished shard and its index where they belong."""
    index = scan(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = ShardRecord(
        name=path.name, samples=len(index), bytes=path.stat().st_size, sha256=digest
    )
    write_atomically(join(folder, path.with_suffix(".idx").name), index_text(index).encode())
    write_atomically(join(folder, path.name), path)
    return record


def finish(
    folder: str,
    shards: Sequence[ShardRecord],
    left_out: Sequence[str],
    built_from: Mapping[str, str],
    classes: tuple[str, ...] = (),
) -> Manifest:
    """Name what was left out, write the manifest, and clear away what only the work needed."""
    if left_out:
        lines = "".join(json.dumps({"left_out": line}) + "\n" for line in left_out)
        write_atomically(join(folder, LEFT_OUT), lines.encode())
    manifest = Manifest(
        shards=tuple(shards), classes=classes, built_from=built_from, left_out=len(left_out)
    )
    write_atomically(join(folder, NAME), manifest_text(manifest).encode())
    remove(join(folder, BUILDING))
    return manifest
