"""One self-contained HTML page of a selection, with pictures: what stays, what goes, and why.

    zeroseg curate show data/chosen --shards data/photos --embeddings data/photos-l14

Writes selection.html into the selection, and contact sheets of the largest groups of duplicates
(duplicates.jpg) and of the images of benchmarks (leaks.jpg), where there are any.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float, Int
from numpy import ndarray

from pipelines.command_line import UNSET, read
from pipelines.curation import sections
from pipelines.curation.clusters import SAMPLE, SHARDS, clusters_of, vectors_of
from pipelines.curation.excerpt import excerpt_of, sample_of
from pipelines.curation.groups import NAME as GROUPS
from pipelines.curation.groups import Group, groups_of, leak_reasons, read_groups
from pipelines.curation.pictures import Pictures
from pipelines.curation.whole_images import open_whole_images
from pipelines.html.rendering import rendered
from shards.contact_sheet import Tile, sheet
from shards.sample import encoded
from zeroseg.errors import InputError
from zeroseg.store.selection import SelectedShard, read_left_out, read_selection, selected_shards
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set
from zeroseg.store.storage import exists, join, write_atomically

PAGE, DUPLICATES, LEAKS = "selection.html", "duplicates.jpg", "leaks.jpg"
SHOWN = 16
"""Groups of duplicates."""


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Which selection, and of which images."""

    selection: tyro.conf.Positional[str]
    """Folder or URL that `zeroseg curate` wrote."""
    shards: str
    """Those that it was made of."""
    embeddings: str = ""
    """Folder that `zeroseg embed` wrote of these shards, with the 1x1 view, for clusters; several are joined
    by `::`."""
    cache: ShardCache = field(default_factory=ShardCache)


def show(config: ShowConfig) -> list[str]:
    """Write page and contact sheets; their paths.

    Raises InputError when there is no finished selection, or it is of other shards or damaged.
    """
    folder = config.selection
    read_selection(folder)  # before shards are counted
    shards = open_set(config.shards, config.cache)
    selection, selected = selected_shards(folder, shards.names, shards.counts, shards.digests)
    words, leaks = sections.vocabulary(folder), leak_reasons(selection.steps)
    sampled, places, rows = _embedded(config, shards)
    excerpt = excerpt_of(folder, selected, places)
    groups, count = _groups(folder, selected, leaks)
    pictures = Pictures(shards, config.cache)
    benchmarks = {name: _benchmark(name, config.cache) for name in leaks.values()}
    group_parts = sections.group_parts(groups, pictures)
    leak_parts = sections.leak_parts(selection, excerpt, leaks, pictures, benchmarks)
    clusters = clusters_of(places, rows, excerpt.gone)
    page = rendered(
        Path(__file__).with_name("selection.html.jinja"),
        selection=selection,
        total=sum(shard.samples for shard in selected),
        asked=sections.asked(selection.steps),
        clusters=sections.cluster_parts(clusters, pictures),
        sampled=sampled,
        embedded=len(places),
        groups=group_parts,
        group_count=count,
        doubtful=sections.doubtful_copies(excerpt, leaks, pictures),
        leaks=leak_parts,
        reasons=sections.reason_parts(selection, excerpt, leaks, pictures),
        vocabulary=words,
    )
    tiles = {DUPLICATES: _group_tiles(group_parts), LEAKS: _leak_tiles(leak_parts)}
    sheets = {
        name: encoded(np.array(sheet(some)), "jpeg", quality=85)
        for name, some in tiles.items()
        if some
    }
    written = {PAGE: page.encode("utf-8", "replace")} | sheets
    for name, content in written.items():
        write_atomically(join(folder, name), content)
    return [join(folder, name) for name in written]


def _embedded(
    config: ShowConfig, shards: ShardSet
) -> tuple[int, Int[ndarray, "image 2"], Float[ndarray, "image embed"]]:
    """Images of a sample for clusters; places and embeddings of those that have one. None without embeddings."""
    if not config.embeddings:
        return 0, np.empty((0, 2), int), np.empty((0, 0), np.float32)
    stored = open_whole_images(config.embeddings, shards, config.cache)
    sample = sample_of(shards.counts, SHARDS, SAMPLE)
    return len(sample), *vectors_of(stored, shards, sample, config.cache)


def _groups(
    folder: str, selected: Sequence[SelectedShard], leaks: Collection[str]
) -> tuple[list[Group], int]:
    """The largest groups of duplicates, and how many there are in all."""
    if exists(join(folder, GROUPS)):
        return read_groups(folder, SHOWN)
    found = groups_of(((s.name, read_left_out(folder, s)) for s in selected), leaks)
    return found[:SHOWN], len(found)  # of a selection from before their file


def _benchmark(spec: str, cache: ShardCache) -> Pictures | str:
    """A benchmark's pictures, or why there are none: it may be on another machine than it was."""
    try:
        return Pictures(open_set(spec, cache), cache)
    except InputError as error:
        return str(error)


def _group_tiles(parts: Sequence[sections.GroupPart]) -> list[Tile]:
    return [
        Tile(
            [picture.image for picture in (part.stays, *part.goes[:5])],
            (part.stays.key, f"{part.stays.note}; gone in its favour: {part.count}"),
        )
        for part in parts
    ]


def _leak_tiles(leaks: Sequence[sections.Leak]) -> list[Tile]:
    return [
        Tile([pair.goes.image, pair.stays.image], (pair.goes.key, pair.goes.note))
        for leak in leaks
        for pair in (*leak.doubtful, *leak.certain)
    ]


def main(arguments: Sequence[str]) -> None:
    """Read the command line, write page and sheets, and say where they are."""
    config = read(ShowConfig, arguments, "zeroseg curate show", __doc__, *UNSET)
    for path in show(config):
        print(path)
