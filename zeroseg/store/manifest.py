"""`manifest.json`: what a set of shards holds. It is the last file that a build writes."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from zeroseg.errors import InputError
from zeroseg.records import read_record
from zeroseg.store.storage import exists, join, read_bytes

NAME = "manifest.json"
PSEUDO_LABELS = "pseudo labels"
"""`built_from["kind"]` of shards whose labels of unseen classes are a model's predictions."""


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """Facts of one shard file."""

    name: str
    samples: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Facts of a set of shards. Raises InputError when two classes share a name."""

    shards: tuple[ShardRecord, ...]
    classes: tuple[str, ...] = ()
    """Class names by label index; empty without label maps."""
    built_from: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0
    """Images of the source that could not be used; `left-out.jsonl` names them."""
    format: Literal[1] = 1
    """Of the shards and of this file."""

    def __post_init__(self) -> None:
        if twice := [name for name, n in Counter(self.classes).items() if n > 1]:
            raise InputError(f"classes: {twice[0]!r} is named twice: rename one of the two")

    @property
    def samples(self) -> int:
        """Images in all shards."""
        return sum(s.samples for s in self.shards)

    @cached_property
    def by_name(self) -> Mapping[str, ShardRecord]:
        """Shards by file name."""
        return {s.name: s for s in self.shards}


def read_manifest(folder: str) -> Manifest | None:
    """A folder's manifest; None if it has none. Raises InputError when it is damaged."""
    path = join(folder, NAME)
    return parse_manifest(read_bytes(path), path) if exists(path) else None


def parse_manifest(data: bytes, path: str) -> Manifest:
    """The manifest in a file's bytes; `path` names it. Raises InputError when it is damaged."""
    remedy = "build the set again, or update zeroseg"
    return read_record(Manifest, data, f"manifest {path}", remedy=remedy)


def manifest_text(manifest: Manifest) -> str:
    """The file's content; it names no classes, as other programs may read it."""
    return json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"
