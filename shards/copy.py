"""A set of shards again, or what a selection leaves of it, with every member's own bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from shards.sample import BadSample, Sample, Source
from zeroseg.data.samples import LABELS, image_bytes
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.reader import ShardReader, UnreadableShard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set


@dataclass(frozen=True)
class Copy:
    """Shards as they are, or what a selection leaves of them: keys and members byte for byte.

    Each shard becomes one (more, where it is over the limits), in the order of the set. A sample without an
    image is left out and named; those that a selection leaves out are named in its own files.
    """

    shards: str
    """Folder, path or URL, as for training."""
    selection: str = ""
    """Folder that `zeroseg curate` wrote; none copies everything."""
    cache: ShardCache = field(default_factory=ShardCache)
    """Copies of remote shards."""

    def source(self) -> Source:
        """Raises InputError when the shards cannot be opened or the selection is not of them."""
        shards = open_set(self.shards, self.cache, selection=self.selection)
        shards.need_indexable()
        folders = {url.rpartition("/")[0] or "." for url in shards.urls if url[:5] != "pipe:"}
        manifests = [manifest for f in sorted(folders) if (manifest := read_manifest(f))]
        if len({manifest.classes for manifest in manifests}) > 1:
            raise InputError("the shards have label maps of different classes: copy each set alone")
        built_from = {"kind": "copy"}
        if len(shards.origins) == 1:  # what its labels are of stays known
            built_from |= {k: v for k, v in shards.origins[0].items() if k != "fingerprint"}
        return Source(
            units=[shards.only(shard) for shard in range(len(shards.urls))],
            read=partial(read, self.cache),
            images_per_unit=None,
            in_random_order=True,  # or in an order that someone wants: a copy keeps it
            classes=shards.classes,
            built_from=built_from | {"copied_from": self.shards, "selection": shards.selection},
        )


def read(cache: ShardCache, shards: ShardSet) -> Iterator[Sample | BadSample]:
    """The samples of a unit, a set of one shard. Raises InputError when it cannot be read."""
    reader, (url,) = ShardReader(shards, cache), shards.urls
    try:
        for number in range(shards.samples):
            raw = reader.read(0, number)
            try:
                image = image_bytes(raw)
                labels = raw.members.get(LABELS)
                labels = None if labels is image else labels
                yield Sample(raw.key, image, labels, members=raw.members)
            except ValueError as error:
                yield BadSample(f"{url}: {raw.key}: {error}")
    except (UnreadableShard, OSError) as error:
        raise InputError(f"shard {url} cannot be read ({error}): copy it here again") from error
    finally:
        reader.close()
