"""Which shards a spec names, how many samples each holds, and whether they are what was built."""

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tqdm import tqdm
from webdataset.shardlists import expand_urls

from zeroseg.errors import InputError
from zeroseg.store.manifest import ShardRecord, read_manifest
from zeroseg.store.shard_cache import ShardCache, is_local
from zeroseg.store.storage import Version, join, version
from zeroseg.store.tar_index import TarIndex, image_extension, read_index


@dataclass(frozen=True)
class ShardSet:
    """Shards in a fixed order."""

    urls: tuple[str, ...]
    counts: tuple[int, ...]
    """Samples of each."""
    weights: tuple[float, ...]
    """How often each comes in an epoch."""
    versions: tuple[Version, ...]
    """What is known of each one's content: by its manifest, else by its storage."""
    classes: tuple[str, ...] = ()
    """Names by label index; none where no manifest tells, or where two tell different ones."""

    @property
    def samples(self) -> int:
        """Samples in all shards, each once."""
        return sum(self.counts)

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each shard, empty where no manifest tells."""
        return tuple(version.sha256 for version in self.versions)


def open_set(spec: str, cache: ShardCache, weights: Sequence[float] = ()) -> ShardSet:
    """Find every shard of a spec and count its samples.

    A spec is one or more parts joined by `::`; a part is a folder (every shard of its manifest,
    else every `*.tar`), a path or URL with `{000..099}` or, if local, `*`, or a `pipe:` command.
    `weights` has a number for each part, or none. Counts are the manifest's where there is one;
    other shards are read through, once.

    Raises InputError when nothing matches, a shard is missing, cut short or without an image, when
    it is not what its manifest says, or when weights do not fit.
    """
    parts, manifests = spec.split("::"), _Manifests()
    if weights and (len(weights) != len(parts) or min(weights) <= 0):
        raise InputError(
            f"data.weights is {tuple(weights)}: give one positive number for each of the "
            f"{len(parts)} parts of data.shards"
        )
    found = [_shards(part, manifests) for part in parts]
    urls = [url for part in found for url in part]
    if twice := [url for url, n in Counter(urls).items() if n > 1]:
        raise InputError(f"data.shards names {twice[0]} twice: use data.weights to see it oftener")
    bar = tqdm(urls, desc="shards", unit="shard", delay=2)
    counted = [_count(url, manifests.record(url), cache) for url in iter(bar)]
    each = [w for w, part in zip(weights or [1.0] * len(parts), found, strict=True) for _ in part]
    lists = {manifests.classes(url) for url in urls}
    return ShardSet(
        urls=tuple(urls),
        counts=tuple(count for count, _ in counted),
        weights=tuple(each),
        versions=tuple(version for _, version in counted),
        classes=lists.pop() if len(lists) == 1 else (),
    )


class _Manifests:
    """Manifests by folder, each read once."""

    def __init__(self) -> None:
        self._records: dict[str, dict[str, ShardRecord] | None] = {}
        self._classes: dict[str, tuple[str, ...]] = {}

    def of(self, folder: str) -> dict[str, ShardRecord] | None:
        """Shards of a folder by name; None without a manifest."""
        if folder not in self._records:
            manifest = read_manifest(folder)
            self._records[folder] = (
                None if manifest is None else {s.name: s for s in manifest.shards}
            )
            self._classes[folder] = () if manifest is None else manifest.classes
        return self._records[folder]

    def classes(self, url: str) -> tuple[str, ...]:
        """Names by label index, as the manifest beside a shard has them; none without one."""
        if url.startswith("pipe:"):
            return ()
        folder, _ = _split(url)
        self.of(folder)
        return self._classes[folder]

    def record(self, url: str) -> ShardRecord | None:
        """What the manifest beside a shard says of it. Raises InputError when it has another set."""
        if url.startswith("pipe:"):
            return None
        folder, name = _split(url)
        records = self.of(folder)
        if records is not None and name not in records:
            raise InputError(
                f"shard {url} is not in the manifest beside it, so no finished build wrote it: "
                "remove it, or run `zeroseg shards index` on the folder"
            )
        return None if records is None else records[name]


def _shards(part: str, manifests: _Manifests) -> list[str]:
    """The shards that one part names."""
    if part.startswith("pipe:"):
        return expand_urls(part)
    if part.endswith(".tar"):
        found = [url for braced in expand_urls(part) for url in _matches(braced, manifests)]
    elif records := manifests.of(part):
        found = [join(part, name) for name in records]
    else:
        found = sorted(glob.glob(f"{glob.escape(part)}/*.tar")) if is_local(part) else []
    if not found:
        raise InputError(
            f"no shards match {part!r}: check the path, or build them with `zeroseg shards build`"
        )
    return found


def _matches(url: str, manifests: _Manifests) -> list[str]:
    if not (is_local(url) and "*" in url):
        return [url]
    found, (folder, pattern) = sorted(glob.glob(url)), _split(url)
    wanted = {name for name in manifests.of(folder) or () if fnmatchcase(name, pattern)}
    if gone := sorted(wanted - {Path(f).name for f in found}):
        raise InputError(
            f"shard {join(folder, gone[0])} is in its manifest but not there: "
            "copy it again, or build the set again"
        )
    return found


def _split(url: str) -> tuple[str, str]:
    folder, _, name = url.rpartition("/")
    return folder or ".", name


def _count(url: str, record: ShardRecord | None, cache: ShardCache) -> tuple[int, Version]:
    """Samples of a shard, and which version of it has them: what its manifest says, if a local file
    is that long; else what is in it."""
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
        return record.samples, Version(record.bytes, record.sha256)
    try:
        index, told = cache.persistently(lambda: _read_through(url, cache))
    except OSError as error:
        raise InputError(f"shard {url} cannot be read ({error}): check the address") from error
    if not any(image_extension(members) for members in index.members):
        raise InputError(
            f"shard {url} holds no image: its samples need a member `<key>.jpg` "
            "(see shards/README.md)"
        )
    return len(index), told


def _read_through(url: str, cache: ShardCache) -> tuple[TarIndex, Version]:
    told = Version() if is_local(url) or url.startswith("pipe:") else version(url)
    return cache.read(url, read_index, told), told
