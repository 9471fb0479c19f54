"""Braces and stars in the paths and URLs of shards; every other character stands for itself."""

import glob
import re
from fnmatch import fnmatchcase
from pathlib import Path

from webdataset.shardlists import expand_urls

from zeroseg.errors import InputError
from zeroseg.store.shard_cache import is_local


def expanded(part: str) -> list[str]:
    """Paths or URLs that a part with `{000..099}` stands for.

    A local file, or a folder on the way to it, whose name has such braces itself is taken as it is.
    Raises InputError for a brace that is not closed.
    """
    literal = ""
    if is_local(part):
        ends = (len(part), *(m.start() for m in re.finditer("/", part[1:])))
        there = (part[: end + (end < len(part))] for end in sorted(ends, reverse=True))
        literal = next((path for path in there if Path(path).exists()), "")
    try:
        return [literal + rest for rest in expand_urls(part.removeprefix(literal))]
    except ValueError as error:
        raise InputError(f"{part!r} cannot be expanded ({error}): close every brace") from error


def matching(path: str, folder: str = "") -> list[str]:
    """Local files that a path with `*` names, in order; in `folder`, which it begins with, no `*` does."""
    return sorted(glob.glob(glob.escape(folder) + _starred(path.removeprefix(folder))))


def fits(name: str, pattern: str) -> bool:
    """Whether a file's name is one that a pattern with `*` names."""
    return fnmatchcase(name, _starred(pattern))


def _starred(pattern: str) -> str:
    return re.sub(r"[\[?]", r"[\g<0>]", pattern)
