"""A contact sheet: what a set of shards looks like."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps

from shards.contact_sheet import SIDE, Tile, refusal, sheet
from shards.sample import encoded, error_text
from zeroseg.data.images import decode_image, decode_pair
from zeroseg.data.samples import LABELS
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError
from zeroseg.evaluation.pictures import overlay, with_legend
from zeroseg.store.manifest import read_manifest
from zeroseg.store.reader import RawSample, ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set
from zeroseg.store.storage import write_atomically
from zeroseg.store.tar_index import image_extension

CACHE = ShardCache()


def show(
    shards: str,
    output: Path = Path("contact-sheet.png"),
    images: int = 24,
    seed: int = 0,
    selection: str = "",
    cache: ShardCache = CACHE,
) -> None:
    """Draw a contact sheet of randomly chosen samples with their keys and sizes.

    A label map is laid over a second copy of its image, and classes that are seen are named below;
    where there is no label, or background, the image shows as it is.
    A sample that cannot be read is a red tile that says why.

    Args:
        shards: Folder, path or URL, as for training.
        output: The PNG to write.
        images: How many samples.
        seed: Another draws others.
        selection: Folder that `zeroseg curate` wrote; only what it leaves is drawn.
        cache: Copies of remote shards.
    """
    if images < 1:
        raise InputError(f"images is {images}: it must be at least 1")
    shard_set = open_set(shards, cache, selection=selection)
    generator = np.random.default_rng(seed)
    chosen = generator.choice(shard_set.samples, min(images, shard_set.samples), replace=False)
    reader, names = ShardReader(shard_set, cache), _names(shard_set)
    plain = frozenset({IGNORE, *(i for i, name in names.items() if name == "background")})
    tiles = [_tile(reader, place, plain) for place in sorted(chosen.tolist())]
    reader.close()
    picture = np.array(sheet(tiles))
    seen = sorted(frozenset[int]().union(*(tile.classes for tile in tiles)) & names.keys())
    if seen:
        picture = with_legend(picture, {index: names[index] for index in seen})
    write_atomically(str(output), encoded(picture, "png"))
    print(f"{output}: {len(tiles)} of {shard_set.samples} images")


def _tile(reader: ShardReader, place: int, plain: Collection[int]) -> Tile:
    """The sample at a place of the whole set."""
    starts = np.cumsum([0, *reader.shards.counts])
    shard = int(np.searchsorted(starts, place, side="right")) - 1
    number, key = place - int(starts[shard]), ""
    try:
        key = reader.key(shard, number)
        return _drawn(reader.read(shard, number), plain)
    except Exception as error:  # whatever a picture library makes of damaged bytes
        name = key or f"{reader.shards.urls[shard].rpartition('/')[2]}, sample {number}"
        return Tile([refusal(error_text(error))], (name, "unreadable"))


def _drawn(sample: RawSample, plain: Collection[int]) -> Tile:
    """A sample as it is, and tinted where its labels are none of the plain ones."""
    extension = image_extension(sample.members)
    if extension is None:
        raise ValueError(f"no image among its members {sorted(sample.members)}")
    data, labels = sample.members[extension], None
    if extension == LABELS or LABELS not in sample.members:
        pixels = decode_image(data)
    else:
        pixels, labels = decode_pair(data, sample.members[LABELS])
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    lines = (sample.key, f"{image.width} x {image.height}")
    thumbnail = ImageOps.contain(image, (SIDE, SIDE))
    if labels is None:
        return Tile([thumbnail], lines)
    labels = labels.numpy().astype(np.int32)
    small = np.array(Image.fromarray(labels).resize(thumbnail.size, Image.Resampling.NEAREST))
    untinted = np.array(thumbnail)
    tinted = overlay(untinted, torch.from_numpy(small).long())
    tinted = np.where(np.isin(small, list(plain))[..., None], untinted, tinted)
    classes = frozenset(np.unique(labels).tolist()) - frozenset(plain)
    return Tile([thumbnail, Image.fromarray(tinted)], lines, classes)


def _names(shards: ShardSet) -> Mapping[int, str]:
    """Of the set's classes; none where its manifests differ, or there is none."""
    urls = (url for url in shards.urls if not url.startswith("pipe:"))
    manifests = [read_manifest(f) for f in {url.rpartition("/")[0] or "." for url in urls}]
    lists = {manifest.classes if manifest else () for manifest in manifests}
    return dict(enumerate(lists.pop())) if len(lists) == 1 else {}


def contact_sheet(
    reader: ShardReader, chosen: Sequence[tuple[int, int, str]]
) -> UInt8[np.ndarray, "height width 3"]:
    """Samples by their shard and number there, each with its key and a line of one's own below."""
    starts, tiles = np.cumsum([0, *reader.shards.counts]), []
    for shard, number, said in chosen:
        tile = _tile(reader, int(starts[shard]) + number, ())
        tiles.append(Tile(tile.pictures[:1], (tile.lines[0], said)))
    return np.array(sheet(tiles))
