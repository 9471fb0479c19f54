"""Groups of duplicates, as the lines of a selection tell them: which image stays, and which go in its favour.

`groups.jsonl`, beside the selection, has a line for each group, the largest first: `stays`, the shard and
key of the one image; `reason`, where it goes all the same for a later step; and `goes`, for each of the
others its `image`, `reason` and `cosine`, and `instead`, where what it is a copy of goes as well.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zeroseg.records import read_record
from zeroseg.store.selection import LeftOut
from zeroseg.store.storage import join, open_file

NAME = "groups.jsonl"


@dataclass(frozen=True, kw_only=True)
class Copy:
    """An image that goes because there is another one like it."""

    image: str
    """`<shard> <key>`."""
    reason: str
    cosine: float | None = None
    """With what it is a copy of; None of equal files."""
    instead: str = ""
    """What it is a copy of, if that is not the group's image that stays."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images that are copies of each other, directly or through others."""

    stays: str
    """`<shard> <key>`."""
    goes: tuple[Copy, ...]
    reason: str = ""
    """Why a later step leaves out the one that stays, too; empty if none does."""


def leak_reasons(steps: Mapping[str, Any]) -> dict[str, str]:
    """The benchmark by the reason for which its images go, of the steps of a selection."""
    return {f"in {benchmark}": benchmark for benchmark in steps.get("against", ())}


def groups_of(
    left_out: Iterable[tuple[str, Iterable[LeftOut]]], leaks: Collection[str]
) -> list[Group]:
    """The groups of a selection, the largest first, then by the name of the one that stays.

    `left_out` has shards' names with the samples that do not stay; `leaks` are reasons for which a sample
    goes in favour of an image of another set.
    """
    copies: dict[str, LeftOut] = {}
    others: dict[str, str] = {}
    for shard, samples in left_out:
        for sample in samples:
            if sample.instead and sample.reason not in leaks:
                copies[f"{shard} {sample.key}"] = sample
            else:
                others[f"{shard} {sample.key}"] = sample.reason
    members: dict[str, list[Copy]] = {}
    for image, sample in copies.items():
        best = sample.instead
        while best in copies:
            best = copies[best].instead
        instead = sample.instead if sample.instead != best else ""
        members.setdefault(best, []).append(
            Copy(image=image, reason=sample.reason, cosine=sample.cosine, instead=instead)
        )
    groups = [
        Group(stays=best, goes=tuple(goes), reason=others.get(best, ""))
        for best, goes in members.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.goes), group.stays))


def group_lines(groups: Iterable[Group]) -> bytes:
    """The content of `groups.jsonl`, without the fields that say nothing."""

    def line(group: Group) -> bytes:
        told = _told(group) | {"goes": [_told(copy) for copy in group.goes]}
        return json.dumps(told).encode() + b"\n"

    return b"".join(map(line, groups))


def _told(record: Group | Copy) -> dict[str, Any]:
    return {k: v for k, v in vars(record).items() if v not in ("", None)}


def read_groups(folder: str, at_most: int) -> tuple[list[Group], int]:
    """The largest groups beside a selection, and how many there are in all. Raises InputError when the file
    is damaged."""
    path, groups, count = join(folder, NAME), [], 0
    with open_file(path) as file:
        for count, line in enumerate(file, start=1):
            if count <= at_most:
                remedy = "run `zeroseg curate` again into another folder"
                groups.append(read_record(Group, line, f"{path}, line {count}", remedy=remedy))
    return groups, count
