"""What the page of a selection shows, section by section, with its pictures read."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.curation.clusters import Cluster
from pipelines.curation.excerpt import Excerpt, Least
from pipelines.curation.groups import Group
from pipelines.curation.pictures import Picture, Pictures, absent
from pipelines.curation.vocabulary import TABLE
from zeroseg.errors import InputError
from zeroseg.store.selection import LeftOut, Selection
from zeroseg.store.storage import exists, join, read_bytes

COPIES = 7
"""Of a group, besides the one that stays."""
PAIRS = 96
"""Of all benchmarks together."""
EXAMPLES = 8
"""Pictures of a reason, and pairs of a kind."""


class Pair(NamedTuple):
    """An image that goes, and the one for which it goes."""

    goes: Picture
    stays: Picture
    cosine: float | None


class GroupPart(NamedTuple):
    """The pictures of a group of duplicates."""

    stays: Picture
    goes: list[Picture]
    count: int
    """Of all that go in favour of the one that stays."""


@dataclass(frozen=True)
class Leak:
    """What of the set is in one benchmark."""

    benchmark: str
    count: int
    doubtful: list[Pair]
    """The lowest cosines, the lowest first."""
    certain: list[Pair]
    """The highest, the highest first, and equal files."""
    missing: str
    """Why the benchmark's own pictures are not shown; empty where they are."""


class ReasonPart(NamedTuple):
    """Images that go for what they are themselves."""

    reason: str
    count: int
    pictures: list[Picture]


class ClusterPart(NamedTuple):
    """A cluster of the sample."""

    sizes: Cluster
    stays: list[Picture]
    goes: list[Picture]


class Name(NamedTuple):
    """A name of the vocabulary, and the images that are nearest to it."""

    name: str
    before: int
    after: int


def asked(steps: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Options and their values, as words."""

    def words(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{k} {v}".strip() for k, v in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    told = {option: words(value) for option, value in steps.items()}
    if isinstance(steps.get("against"), Mapping):
        told["against"] = ", ".join(steps["against"])
    return [(f"--{option.replace('_', '-')}", value) for option, value in told.items()]


def group_parts(groups: Iterable[Group], pictures: Pictures) -> list[GroupPart]:
    """The pictures of some groups."""

    def told(group: Group) -> GroupPart:
        note = f"goes, too: {group.reason}" if group.reason else "stays"
        copies = [
            pictures.named(copy.image, _reason(copy.reason, copy.cosine))
            for copy in group.goes[:COPIES]
        ]
        return GroupPart(pictures.named(group.stays, note), copies, len(group.goes))

    return [told(group) for group in groups]


def doubtful_copies(
    excerpt: Excerpt, leaks: Mapping[str, str], pictures: Pictures
) -> dict[str, list[Pair]]:
    """The duplicates of the lowest cosines, by reason."""
    return {
        reason: _pairs(lines, pictures, pictures)
        for reason, least in sorted(excerpt.doubtful.items())
        if reason not in leaks
        and (lines := [entry for entry in least.lines(EXAMPLES) if entry[1].instead])
    }


def leak_parts(
    selection: Selection,
    excerpt: Excerpt,
    leaks: Mapping[str, str],
    pictures: Pictures,
    benchmarks: Mapping[str, Pictures | str],
) -> list[Leak]:
    """Each benchmark's images in the set; `benchmarks` has pictures, or why there are none."""
    parts = []
    each = max(2, min(EXAMPLES, PAIRS // (3 * max(1, len(leaks)))))
    for reason, benchmark in leaks.items():
        theirs = benchmarks[benchmark]
        of = theirs if isinstance(theirs, Pictures) else None
        low, high, same = (
            found[reason].lines(each) if reason in found else []
            for found in (excerpt.doubtful, excerpt.certain, excerpt.any)
        )
        told = {(shard, line.number) for shard, line in low}
        high = [(s, line) for s, line in high if (s, line.number) not in told]
        parts.append(
            Leak(
                benchmark,
                selection.reasons.get(reason, 0),
                _pairs(low, pictures, of),
                _pairs([*same, *high], pictures, of),
                theirs if isinstance(theirs, str) else "",
            )
        )
    return parts


def reason_parts(
    selection: Selection, excerpt: Excerpt, leaks: Mapping[str, str], pictures: Pictures
) -> list[ReasonPart]:
    """Examples of each reason that is no duplicate and no leak."""
    parts = []
    for reason, count in selection.reasons.items():
        least = excerpt.any.get(reason) or excerpt.doubtful.get(reason) or Least()
        lines = least.lines(EXAMPLES)
        if lines and reason not in leaks and not lines[0][1].instead:
            shown = [
                pictures.at(s, line.number, line.key, _reason(reason, line.cosine))
                for s, line in lines
            ]
            parts.append(ReasonPart(reason, count, shown))
    return parts


def cluster_parts(clusters: Iterable[Cluster], pictures: Pictures) -> list[ClusterPart]:
    """The pictures of clusters."""

    def shown(places: Iterable[tuple[int, int]], note: str) -> list[Picture]:
        return [pictures.at(*place, note=note) for place in places]

    return [ClusterPart(c, shown(c.stays, "stays"), shown(c.goes, "goes")) for c in clusters]


def vocabulary(folder: str) -> list[Name]:
    """Names by how many images were nearest to them; none where nobody asked for any.

    Raises InputError when the file is damaged.
    """
    path = join(folder, TABLE)
    if not exists(path):
        return []
    try:
        rows = csv.DictReader(io.StringIO(read_bytes(path).decode(), newline=""))
        return [Name(row["name"], int(row["before"]), int(row["after"])) for row in rows]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(
            f"{path} has not the columns name, before and after ({error}): run `zeroseg curate` again into "
            "another folder"
        ) from error


def _pairs(
    lines: Iterable[tuple[int, LeftOut]], pictures: Pictures, others: Pictures | None
) -> list[Pair]:
    return [
        Pair(
            pictures.at(shard, line.number, line.key, _reason(line.reason, line.cosine)),
            others.named(line.instead) if others else absent(line.instead),
            line.cosine,
        )
        for shard, line in lines
    ]


def _reason(reason: str, cosine: float | None) -> str:
    return reason if cosine is None else f"{reason}, cosine {cosine:.4f}"
