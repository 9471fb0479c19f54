"""What a set of shards holds, as its builder wrote it: `manifest.json`, the last file to appear."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from zeroseg.records import read_record
from zeroseg.store.storage import exists, join, read_bytes

NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """One shard as it was written."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The whole set."""

    shards: tuple[ShardRecord, ...]
    classes: tuple[str, ...] = ()
    """Names by label index; none where there are no label maps."""
    built_from: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0
    """Images of the source that could not be used; `left-out.jsonl` names them."""
    format: Literal[1] = 1
    """Of the shards and of this file."""

    @property
    def samples(self) -> int:
        """Images in all shards."""
        return sum(s.samples for s in self.shards)


def read_manifest(folder: str) -> Manifest | None:
    """Read a folder's manifest; None where there is none. Raises InputError when it is damaged."""
    path = join(folder, NAME)
    return parsed_manifest(read_bytes(path), path) if exists(path) else None


def parsed_manifest(data: bytes, path: str) -> Manifest:
    """The manifest in a file's bytes; `path` names it. Raises InputError when it is damaged."""
    remedy = "build the set again, or update zeroseg"
    return read_record(Manifest, data, f"manifest {path}", remedy=remedy)


def manifest_text(manifest: Manifest) -> str:
    """The file's content; it names no classes, as other programs may read it."""
    return json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"
