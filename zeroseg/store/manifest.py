"""What a set of shards holds, as its builder wrote it: `manifest.json`, the last file to appear."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from zeroseg.errors import InputError
from zeroseg.store.storage import exists, join, read_bytes

NAME = "manifest.json"
FORMAT = 1
"""Of the shards and of this file; a reader refuses any other."""


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
    format: int = FORMAT

    @property
    def samples(self) -> int:
        """Images in all shards."""
        return sum(s.samples for s in self.shards)


def read_manifest(folder: str) -> Manifest | None:
    """Read a folder's manifest; None where there is none. Raises InputError when it is damaged."""
    path = join(folder, NAME)
    return parsed_manifest(read_bytes(path), path) if exists(path) else None


def parsed_manifest(data: bytes, path: str) -> Manifest:
    """Read the bytes of a manifest; `path` names it in the error."""
    try:
        values = json.loads(data)
        shards = tuple(ShardRecord(**row) for row in values.pop("shards"))
        manifest = Manifest(shards=shards, **values | {"classes": tuple(values["classes"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"manifest {path} cannot be read ({error}): build the set again"
        ) from error
    if manifest.format != FORMAT:
        raise InputError(
            f"manifest {path} has format {manifest.format}, this version reads {FORMAT}: "
            "build the set again, or update zeroseg"
        )
    return manifest


def manifest_text(manifest: Manifest) -> str:
    """The file's content."""
    return json.dumps(dataclasses.asdict(manifest), indent=1) + "\n"
