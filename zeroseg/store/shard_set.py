"""Which shards a spec names, how many samples each holds, and whether they are those of their manifest."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache as cache_calls
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from zeroseg.errors import InputError
from zeroseg.store.counting import count_samples, say_passed_over
from zeroseg.store.manifest import Manifest, ShardRecord, read_manifest
from zeroseg.store.selection import Kept, kept_samples
from zeroseg.store.shard_cache import ShardCache, is_local
from zeroseg.store.shard_names import expanded, fits, matching
from zeroseg.store.storage import Version, join
from zeroseg.store.tar_index import index_path

Value = TypeVar("Value")
Manifests = Callable[[str], Manifest | None]
"""Reads a folder's manifest, each once."""


@dataclass(frozen=True)
class ShardSet:
    """Shards in a fixed order."""

    urls: tuple[str, ...]
    counts: tuple[int, ...]
    """Samples of each shard; of those that a selection leaves."""
    weights: tuple[float, ...]
    """How often each shard comes in an epoch."""
    versions: tuple[Version, ...]
    """Version of each shard that was counted: its manifest's, else its storage's."""
    parts: tuple[int, ...]
    """Which part of the spec each shard is of."""
    copied: tuple[int, ...]
    """Bytes that must be copied here before a shard can be read; 0 of a local one."""
    classes: tuple[str, ...] = ()
    """Class names by label index; empty without a manifest, or when two manifests differ."""
    origins: tuple[Mapping[str, str], ...] = ()
    """What each manifest beside the shards says they were built from; an empty one where there is none."""
    spaced: str = ""
    """A key with a space in it or in an extension, which can be read but not be written into an index; empty
    if there is none."""
    selection: str = ""
    """Digest of the selection; empty without one."""
    kept: tuple[Kept | None, ...] = field(default=(), compare=False)
    """What the selection leaves of each shard, None for all of it; empty without one."""

    @property
    def samples(self) -> int:
        """Samples in all shards, each once."""
        return sum(self.counts)

    @property
    def names(self) -> tuple[str, ...]:
        """File name of each shard."""
        return tuple(url.rpartition("/")[2] for url in self.urls)

    def kept_of(self, shard: int) -> Kept | None:
        """What a selection leaves of a shard; None where it is read whole."""
        return self.kept[shard] if self.kept else None

    def only(self, shard: int) -> "ShardSet":
        """The set of one of its shards."""
        by_shard = ("urls", "counts", "weights", "versions", "parts", "copied", "kept")
        fields = {name: getattr(self, name)[shard : shard + 1] for name in by_shard}
        return replace(self, **fields)

    @property
    def indexed(self) -> bool:
        """Whether every shard is local and has an index file, so that any sample is found at once."""
        return all(is_local(url) and index_path(Path(url)).is_file() for url in self.urls)

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each shard; empty without a manifest."""
        return tuple(version.sha256 for version in self.versions)

    @property
    def fingerprint(self) -> str:
        """Of the shards' names, counts and digests, wherever they are."""
        lines = zip(self.names, self.counts, self.digests, strict=True)
        return sha256(repr(list(lines)).encode()).hexdigest()[:16]

    def need_indexable(self) -> None:
        """Raises InputError when other shards could not have the keys of these."""
        if self.spaced:
            raise InputError(
                f"key {self.spaced!r} of {self.urls[0]} or a shard beside it, or a member's extension, has a "
                "space, which an index cannot hold: copy the set by `zeroseg shards check --repair`, which escapes it"
            )


def open_set(
    spec: str, cache: ShardCache, weights: Sequence[float] = (), selection: str = ""
) -> ShardSet:
    """Find every shard of a spec and count its samples.

    A spec is one or more parts joined by `::`; a part is a folder (every shard of its manifest,
    else every `*.tar`), a path or URL with `{000..099}` or, if local, `*`, or a `pipe:` command.
    `weights` has a number for each part, or none. Counts are the manifest's where there is one;
    other shards are read through, once. `selection` is the folder of one, or none.

    Raises InputError when nothing matches, a shard is missing, cut short or without an image, when
    it is not what its manifest says, or when weights or selection do not fit.
    """
    parts, manifests = spec.split("::"), cache_calls(read_manifest)
    if weights and (len(weights) != len(parts) or min(weights) <= 0):
        raise InputError(
            f"data.weights is {tuple(weights)}: give one positive number for each of the "
            f"{len(parts)} parts of data.shards"
        )
    found = [_shards(part, manifests) for part in parts]
    urls = [url for part in found for url in part]
    if twice := [url for url, n in Counter(urls).items() if n > 1]:
        raise InputError(f"data.shards names {twice[0]} twice: use data.weights to see it oftener")
    beside = [_beside(url, manifests) for url in urls]
    bar = tqdm(zip(urls, beside, strict=True), "shards", len(urls), unit="shard", delay=2)
    counted = [count_samples(url, _record(url, manifest), cache) for url, manifest in bar]
    lists = {manifest.classes if manifest else () for manifest in beside}
    origins = {id(manifest): manifest.built_from if manifest else {} for manifest in beside}
    say_passed_over(spec, sum((Counter(one.passed_over) for one in counted), Counter[str]()))
    whole = ShardSet(
        urls=tuple(urls),
        counts=tuple(one.samples for one in counted),
        weights=_of_each_shard(weights or [1.0] * len(parts), found),
        versions=tuple(one.version for one in counted),
        parts=_of_each_shard(range(len(parts)), found),
        copied=tuple(
            0 if is_local(url) else one.bytes for url, one in zip(urls, counted, strict=True)
        ),
        classes=lists.pop() if len(lists) == 1 else (),
        origins=tuple(origins.values()),
        spaced=next((one.spaced for one in counted if one.spaced), ""),
    )
    return _selected(whole, selection) if selection else whole


def _of_each_shard(values: Sequence[Value], parts: Sequence[Sequence[str]]) -> tuple[Value, ...]:
    """The value of its part for each shard."""
    return tuple(value for value, urls in zip(values, parts, strict=True) for _ in urls)


def _selected(whole: ShardSet, selection: str) -> ShardSet:
    """What a selection leaves of a set, without the shards of which it leaves nothing."""
    digest, kept = kept_samples(selection, whole.names, whole.counts, whole.digests)
    stay = [shard for shard, of in enumerate(kept) if of is None or len(of.numbers)]
    counts = [
        whole.counts[shard] if (of := kept[shard]) is None else len(of.numbers) for shard in stay
    ]
    by_shard = ("urls", "weights", "versions", "parts", "copied")
    fields: dict[str, Any] = {
        name: tuple(getattr(whole, name)[s] for s in stay) for name in by_shard
    }
    return replace(
        whole,
        **fields,
        counts=tuple(counts),
        selection=digest,
        kept=tuple(kept[shard] for shard in stay),
    )


def _shards(part: str, manifests: Manifests) -> list[str]:
    """Paths or URLs of the shards that one part of a spec names."""
    if part.startswith("pipe:"):
        return expanded(part)
    if part.endswith(".tar") and not (is_local(part) and Path(part).is_dir()):
        found = [url for braced in expanded(part) for url in _matches(braced, manifests)]
    elif manifest := manifests(part):
        found = [join(part, name) for name in manifest.by_name]
    else:
        found = matching(f"{part}/*.tar", part) if is_local(part) else []
    if not found:
        raise InputError(
            f"no shards match {part!r}: check the path, or build them with `zeroseg shards build`"
        )
    return found


def _matches(url: str, manifests: Manifests) -> list[str]:
    """Shards that a path with `*` matches; any other path or URL by itself."""
    if not (is_local(url) and "*" in url) or Path(url).is_file():
        return [url]
    folder, pattern = _split(url)
    found, manifest = matching(url), manifests(folder)
    wanted = {name for name in manifest.by_name if fits(name, pattern)} if manifest else set()
    if gone := sorted(wanted - {Path(f).name for f in found}):
        raise InputError(
            f"shard {join(folder, gone[0])} is in its manifest but not there: "
            "copy it again, or build the set again"
        )
    return found


def _split(url: str) -> tuple[str, str]:
    """Folder and file name."""
    folder, _, name = url.rpartition("/")
    return folder or ".", name


def _beside(url: str, manifests: Manifests) -> Manifest | None:
    """The manifest of a shard's folder; None if it has none, and for a `pipe:`."""
    return None if url.startswith("pipe:") else manifests(_split(url)[0])


def _record(url: str, manifest: Manifest | None) -> ShardRecord | None:
    """What the manifest beside a shard says of it; None without a manifest."""
    if manifest is None:
        return None
    record = manifest.by_name.get(_split(url)[1])
    if record is None:
        raise InputError(
            f"shard {url} is not in the manifest beside it, so no finished build wrote it: "
            "remove it, or run `zeroseg shards index` on the folder"
        )
    return record
