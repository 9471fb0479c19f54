"""How many samples a shard holds: what its manifest says, else what reading it through shows."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from zeroseg.errors import InputError
from zeroseg.store.manifest import ShardRecord
from zeroseg.store.shard_cache import ShardCache, is_local
from zeroseg.store.storage import Version, version
from zeroseg.store.tar_index import TarIndex, image_extension, read_index


class CountedShard(NamedTuple):
    """A shard, read through or as its manifest tells."""

    samples: int
    version: Version
    bytes: int
    spaced: str = ""
    """A key with a space, or with one in a member's extension; empty if there is none."""
    passed_over: Mapping[str, int] = {}
    """Members that are of no sample, counted by what they are."""


def count_samples(url: str, record: ShardRecord | None, cache: ShardCache) -> CountedShard:
    """Samples of a shard, its version and bytes: its manifest's, else by reading it through.

    Raises InputError when a local file is missing or not as long as its manifest says, or when a
    shard without manifest cannot be read or has no image.
    """
    if is_local(url) and not Path(url).is_file():
        raise InputError(
            f"shard {url} does not exist: check the path, or build it with `zeroseg shards build`"
        )
    if record is not None:
        if is_local(url) and (size := Path(url).stat().st_size) != record.bytes:
            raise InputError(
                f"shard {url} has {size} bytes but its manifest says {record.bytes}: "
                "copy it again, build the set again, or copy what is whole by `zeroseg shards check --repair`"
            )
        return CountedShard(record.samples, Version(record.bytes, record.sha256), record.bytes)
    try:
        index, told, size = cache.retry(lambda: _read_through(url, cache))
    except OSError as error:
        raise InputError(f"shard {url} cannot be read ({error}): check the address") from error
    if isinstance(index, InputError):
        raise index
    if not any(image_extension(members) for members in index.members):
        raise InputError(f"shard {url} {without_image(index)}")
    samples = zip(index.keys, index.members, strict=True)
    spaced = next((key for key, found in samples if " " in "".join((key, *found))), "")
    return CountedShard(len(index), told, size, spaced, index.passed_over)


def without_image(index: TarIndex) -> str:
    """What is wrong with a shard of which no sample has an image."""
    if not index.keys:
        return "holds no image: its samples need a member `<key>.jpg` (see shards/README.md)"
    return (
        f"holds no image: its sample {index.keys[0]!r} has {', '.join(index.members[0])}, and needs jpg "
        "(see shards/README.md; a key ends at the first dot)"
    )


def _read_through(url: str, cache: ShardCache) -> tuple[TarIndex | InputError, Version, int]:
    """Index of a shard without manifest, the version that its storage tells, and its bytes.

    In place of the index what is wrong with those bytes, since trying again would not change it.
    """
    told = Version() if is_local(url) or url.startswith("pipe:") else version(url)

    def read(copy: Path) -> tuple[TarIndex | InputError, int]:
        try:
            return read_index(copy), copy.stat().st_size
        except InputError as error:
            # Of a copy it names another file.
            text = str(error).replace(str(copy.with_suffix("")), url.removesuffix(".tar"))
            if isinstance(error.__cause__, OSError):
                raise InputError(text) from error
            return InputError(text), 0

    index, size = cache.read(url, read, told)
    return index, told, size


def say_passed_over(name: str, counts: Mapping[str, int]) -> None:
    """Say on standard error which members of tars are of no sample, and how many."""
    for what, count in counts.items():
        tqdm.write(f"{name}: passed over {count} members {what}", file=sys.stderr)
