"""A selection: which samples of a set are read, without writing its shards again.

A folder: for each shard that loses samples `<shard>.jsonl`, a line for each of them, by number; and
`selection.json`, written last, which says of which shards it is, what was asked for, and how many were left
out for which reason. Same content, same bytes.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from zeroseg.errors import InputError
from zeroseg.records import read_record
from zeroseg.store.storage import exists, join, read_bytes, write_atomically

NAME = "selection.json"


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One sample that does not stay."""

    number: int
    """Its number in the shard."""
    key: str
    reason: str
    instead: str = ""
    """What it is a duplicate of, in the set or in a benchmark: `<shard> <key>`; empty of other reasons."""
    cosine: float | None = None
    """Of the two whole-image embeddings or thumbnails, or of the image and words; None of other reasons."""


@dataclass(frozen=True, kw_only=True)
class SelectedShard:
    """What a selection says of one shard."""

    name: str
    samples: int
    """In the shard, before the selection."""
    sha256: str
    """Of the shard; empty where no manifest told it."""
    left_out: int
    lines_sha256: str = ""
    """Of the file that names those left out; empty without any."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The content of `selection.json`."""

    shards: tuple[SelectedShard, ...]
    digest: str
    """Of `shards`: two selections of one digest leave out the same samples for the same reasons."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Samples left out, by reason."""
    steps: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for: options and their values."""
    embeddings: str = ""
    """Fingerprint of the embeddings that were compared; empty without any."""
    format: Literal[1] = 1

    @property
    def samples(self) -> int:
        """Samples that stay."""
        return sum(shard.samples - shard.left_out for shard in self.shards)


class Kept(NamedTuple):
    """What stays of one shard."""

    numbers: Int[ndarray, " sample"]
    """In the shard, in its order."""
    stored: int
    """Samples in the shard."""
    known: tuple[int, str]
    """Number and key of one that does not stay, by which another shard of as many samples is told."""


def read_selection(folder: str) -> Selection:
    """A folder's `selection.json`. Raises InputError when it is missing, damaged, or keeps nothing."""
    path = join(folder, NAME)
    if not exists(path):
        raise InputError(
            f"{folder} is no finished selection ({NAME} is missing): check the path, or run `zeroseg curate`"
        )
    remedy = "run `zeroseg curate` again into another folder"
    selection = read_record(Selection, read_bytes(path), path, remedy=remedy)
    if selection.digest != _digest(selection.shards):
        raise InputError(f"{path} is damaged (its digest differs): {remedy}")
    if selection.samples <= 0:
        raise InputError(
            f"selection {folder} leaves no image: choose other steps of `zeroseg curate`"
        )
    return selection


def selected_shards(
    folder: str, names: Sequence[str], counts: Sequence[int], digests: Sequence[str]
) -> tuple[Selection, list[SelectedShard]]:
    """A selection, and what it says of each shard of a set.

    `names`, `counts` and `digests` (empty where unknown) are the set's. Raises InputError as
    `read_selection`, and when the selection is of other shards.
    """
    selection = read_selection(folder)
    by_name = {shard.name: shard for shard in selection.shards}
    if sorted(names) != sorted(by_name):
        odd = sorted(set(names) ^ by_name.keys()) or sorted(n for n in names if names.count(n) > 1)
        raise _of_others(folder, f"shard {odd[0]} is in one of the two alone, or twice")
    for name, count, digest in zip(names, counts, digests, strict=True):
        shard = by_name[name]
        if shard.samples != count:
            raise _of_others(folder, f"{name} has {count} samples, not {shard.samples}")
        if shard.sha256 and digest and shard.sha256 != digest:
            raise _of_others(folder, f"{name} has another SHA-256")
    return selection, [by_name[name] for name in names]


def kept_samples(
    folder: str, names: Sequence[str], counts: Sequence[int], digests: Sequence[str]
) -> tuple[str, list[Kept | None]]:
    """The digest of a selection, and what stays of each shard of a set, None for all of it.

    Takes and raises what `selected_shards` does, and InputError when one of the files is damaged.
    """
    selection, shards = selected_shards(folder, names, counts, digests)
    return selection.digest, [_kept(folder, s) if s.left_out else None for s in shards]


def read_left_out(folder: str, shard: SelectedShard) -> Iterator[LeftOut]:
    """The samples of a shard that do not stay, by number. Raises InputError when their file is damaged."""
    if not shard.left_out:
        return
    path = lines_path(folder, shard.name)
    data = read_bytes(path)
    if hashlib.sha256(data).hexdigest() != shard.lines_sha256:
        raise InputError(
            f"{path} is not what {NAME} beside it says: run `zeroseg curate` again into another folder"
        )
    for line in data.splitlines():
        yield LeftOut(**json.loads(line))


def write_selection(
    folder: str,
    left_out: Mapping[SelectedShard, Sequence[LeftOut]],
    *,
    steps: Mapping[str, Any],
    embeddings: str = "",
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> Selection:
    """Write a selection: files of lines and those beside them first, `selection.json` last.

    `left_out` has every shard of the set in its order, with the samples that do not stay, by number; what
    it says of their count and file is filled in. `beside` has other files, by name, that tell more of it.
    Raises InputError when no sample stays, and writes nothing.
    """
    texts = {shard: _text(samples) for shard, samples in left_out.items()}
    shards = tuple(
        dataclasses.replace(
            shard,
            left_out=len(samples),
            lines_sha256=hashlib.sha256(texts[shard]).hexdigest() if samples else "",
        )
        for shard, samples in left_out.items()
    )
    reasons = Counter(sample.reason for samples in left_out.values() for sample in samples)
    selection = Selection(
        shards=shards,
        digest=_digest(shards),
        reasons=dict(sorted(reasons.items())),
        steps=steps,
        embeddings=embeddings,
    )
    if selection.samples <= 0:
        told = ", ".join(f"{count} {reason}" for reason, count in selection.reasons.items())
        raise InputError(f"no image would stay ({told}): choose other steps or values")
    for shard, text in texts.items():
        if text:
            write_atomically(lines_path(folder, shard.name), text)
    for name, content in beside.items():
        write_atomically(join(folder, name), content)
    text = json.dumps(dataclasses.asdict(selection), indent=1) + "\n"
    write_atomically(join(folder, NAME), text.encode())
    return selection


def lines_path(folder: str, shard: str) -> str:
    """Where the samples of a shard that do not stay are named."""
    return join(folder, f"{shard.removesuffix('.tar')}.jsonl")


def _kept(folder: str, shard: SelectedShard) -> Kept:
    samples = list(read_left_out(folder, shard))
    gone = np.array([sample.number for sample in samples])
    if len(gone) != shard.left_out or (np.diff(gone) <= 0).any() or gone[-1] >= shard.samples:
        raise InputError(
            f"{lines_path(folder, shard.name)} does not name {shard.left_out} samples in their order: "
            "run `zeroseg curate` again into another folder"
        )
    stays = np.ones(shard.samples, bool)
    stays[gone] = False
    known = (samples[0].number, samples[0].key)
    return Kept(np.flatnonzero(stays).astype(np.int32), shard.samples, known)


def _of_others(folder: str, why: str) -> InputError:
    return InputError(
        f"selection {folder} is of other shards ({why}): name the shards that it was made of, or run "
        "`zeroseg curate` on these"
    )


def _digest(shards: Sequence[SelectedShard]) -> str:
    text = json.dumps([dataclasses.asdict(shard) for shard in shards])
    return hashlib.sha256(text.encode()).hexdigest()


def _text(samples: Sequence[LeftOut]) -> bytes:
    """A line for each, without the fields that say nothing."""
    lines = (
        {k: v for k, v in dataclasses.asdict(sample).items() if v not in ("", None)}
        for sample in samples
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
