"""Find images by words or by a picture, among those whose embeddings have an index.

    zeroseg embed --shards data/photos --teacher ViT-L-14:openai --grids 1 --output data/photos-l14 --index fp16
    zeroseg find data/photos-l14 "a red car" "two dogs on a beach" --count 20
    zeroseg find data/photos-l14 --image photo.jpg --output like-this.png

Prints shard, key and cosine of each, writes them into a file of lines, and draws a contact sheet.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from numpy import ndarray

from pipelines.command_line import UNSET, read
from pipelines.curation.whole_images import teacher_of
from shards.sample import encoded
from shards.show import contact_sheet
from zeroseg.data.embedding_index import WHOLE, StoredVectors, open_index
from zeroseg.data.embeddings import EmbeddingSet, open_embeddings
from zeroseg.data.images import centre_crop, decode_image
from zeroseg.data.sharded_index import PROBED, ShardedIndex
from zeroseg.data.unit_vectors import unit
from zeroseg.errors import InputError
from zeroseg.models.prompts import templates_named
from zeroseg.store.manifest import read_manifest
from zeroseg.store.reader import ShardReader
from zeroseg.store.selection import read_left_out, selected_shards
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set
from zeroseg.store.storage import is_file, read_bytes, write_atomically
from zeroseg.training.teacher import ViewEncoder

CANDIDATES = 10
"""Times as many as are asked for come from the index, for the stored embeddings to order."""


@dataclass(frozen=True, kw_only=True)
class FindConfig:
    """What is looked for, and where."""

    index: tyro.conf.Positional[str]
    """Folder of embeddings with an index."""
    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """What to find; `,` stands between synonyms."""
    image: tuple[Path, ...] = ()
    """Pictures whose likes to find."""
    count: int = 20
    """Images to find for each."""
    nprobe: int = PROBED
    """Clusters of the index that are searched, of √n."""
    templates: str = "bare"
    """Sentences that words are put into, a name in zeroseg/models/prompts.py; by default three plain ones,
    with an article and without."""
    selection: str = ""
    """Folder that `zeroseg curate` wrote; only what it leaves is found."""
    shards: str = ""
    """The images, where they are not where they were when they were embedded."""
    output: Path = Path("found.png")
    """The contact sheet; the file of lines beside it has its name and ends in .jsonl."""
    cache: ShardCache = field(default_factory=ShardCache)

    def __post_init__(self) -> None:
        if not self.words and not self.image:
            raise InputError("nothing to find: name words, or --image and a picture")
        if empty := [text for text in self.words if not text.strip(" ,")]:
            raise InputError(f"words {empty[0]!r} say nothing: name what to find")
        if gone := [path for path in self.image if not path.is_file()]:
            raise InputError(f"--image {gone[0]} is no file: check the path")
        if self.count < 1 or self.nprobe < 1:
            raise InputError(f"--count {self.count} and --nprobe {self.nprobe} must be at least 1")
        if self.output.suffix == ".jsonl":
            raise InputError(
                f"--output {self.output} is the file of lines, beside which the contact sheet is: name a .png"
            )


class Found(NamedTuple):
    """One image that was found."""

    query: str
    shard: str
    key: str
    cosine: float


def find(config: FindConfig) -> list[Found]:
    """The images nearest to each query, the nearest first; writes their lines and contact sheet.

    Raises InputError for anything wrong with the input, before anything is written.
    """
    stored = open_embeddings(config.index, config.cache, WHOLE)
    index = open_index(config.index, stored)
    images = _images(config)
    among = _kept(config, stored, images.shards) if config.selection else None
    queries = _queries(config, stored)
    vectors = StoredVectors(stored, config.cache)
    names, found = [*config.words, *map(str, config.image)], []
    for name, query in zip(names, queries, strict=True):
        numbers, cosines = nearest(index, vectors, query, config.count, config.nprobe, among)
        for number, cosine in zip(numbers.tolist(), cosines.tolist(), strict=True):
            shard = stored.shards.names[vectors.place(number)[0]]
            found.append(Found(name, shard, vectors.key(number), round(cosine, 4)))
    vectors.close()
    _draw(config.output, images, found)
    images.close()
    lines = "".join(json.dumps(one._asdict()) + "\n" for one in found)
    write_atomically(str(config.output.with_suffix(".jsonl")), lines.encode())
    return found


def nearest(
    index: ShardedIndex,
    stored: StoredVectors,
    query: Float[ndarray, " embed"],
    count: int,
    probes: int,
    among: Bool[ndarray, " stored"] | None,
) -> tuple[ndarray, ndarray]:
    """Numbers and cosines of the images nearest to a query.

    The index names candidates; the embeddings, as they are stored, order them, equal ones by number.
    """
    wanted = min(len(index), CANDIDATES * count)
    numbers = index.search(query[None], wanted, among, probes)[1][0]
    numbers = np.sort(numbers[numbers >= 0])
    if not len(numbers):
        return numbers, np.empty(0, np.float32)
    cosines = (unit(stored.read(numbers.tolist())) * unit(query[None])).sum(axis=1)
    order = np.argsort(-cosines, kind="stable")[:count]
    return numbers[order], cosines[order]


def _queries(config: FindConfig, stored: EmbeddingSet) -> Float[ndarray, "query embed"]:
    """Embeddings of words, then of pictures, by the teacher of the stored ones."""
    templates = templates_named(config.templates)
    pictures = [_picture(path) for path in config.image]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clip, rows = teacher_of(stored, config.index, device), []
    if config.words:
        rows.append(clip.class_embeddings(config.words, templates).cpu().numpy())
    if pictures:
        encode = ViewEncoder(clip, WHOLE)
        pixels = torch.stack([centre_crop(picture, stored.record.side) for picture in pictures])
        rows.append(encode(pixels.to(device).float() / 255)[:, 0].cpu().numpy())
    return np.concatenate(rows)


def _picture(path: Path) -> torch.Tensor:
    try:
        return decode_image(read_bytes(str(path)))
    except InputError:
        raise
    except Exception as error:  # whatever a picture library makes of damaged bytes
        raise InputError(f"--image {path} is no picture ({error}): name another") from error


def _kept(config: FindConfig, stored: EmbeddingSet, images: ShardSet) -> Bool[ndarray, " stored"]:
    """Which embeddings are of images that stay. Raises InputError when the selection is of other shards."""
    folder = config.selection
    selected = selected_shards(folder, images.names, images.counts, images.digests)[1]
    by_name = {shard.name: shard for shard in selected}
    reader, starts = ShardReader(stored.shards, config.cache), np.cumsum([0, *stored.shards.counts])
    kept = np.ones(stored.shards.samples, bool)
    for shard, name in enumerate(stored.shards.names):
        if name not in by_name:
            raise InputError(
                f"the images of {name} are not among those of selection {folder}: name the shards that were "
                "embedded with --shards, or run `zeroseg curate` on them"
            )
        for gone in read_left_out(folder, by_name[name]):
            number = reader.number(
                shard, gone.key, min(gone.number, max(0, stored.shards.counts[shard] - 1))
            )
            if number is not None:
                kept[starts[shard] + number] = False
    reader.close()
    return kept


def _images(config: FindConfig) -> ShardReader:
    """Of the shards that were embedded. Raises InputError when they are not there."""
    manifest = read_manifest(config.index)
    spec = config.shards or (manifest.built_from.get("shards", "") if manifest else "")
    try:
        return ShardReader(open_set(spec, config.cache), config.cache)
    except InputError as error:
        remedy = "" if config.shards else "; name them with --shards if they have moved"
        raise InputError(f"{error}{remedy}") from error


def _draw(output: Path, images: ShardReader, found: Sequence[Found]) -> None:
    """Each image that was found, with its key, its cosine and what it was found by."""
    shard_of = {name: shard for shard, name in enumerate(images.shards.names)}
    tiles = []
    for one in found:
        shard = shard_of.get(one.shard)
        number = None if shard is None else images.number(shard, one.key)
        if shard is None or number is None:
            raise InputError(
                f"{one.key} of {one.shard} is not among the images: name the shards that were embedded "
                "with --shards"
            )
        tiles.append((shard, number, f"{one.query} {one.cosine:.3f}"))
    if tiles:
        write_atomically(str(output), encoded(contact_sheet(images, tiles), "png"))


def main(arguments: Sequence[str]) -> None:
    """Read the command line, find, and print what was found."""
    config = read(FindConfig, arguments, "zeroseg find", __doc__, *UNSET)
    found, said = find(config), ""
    for one in found:
        if one.query != said:
            said = one.query
            print(said)
        print(f"  {one.cosine:.4f}  {one.shard}  {one.key}")
    written = config.output if is_file(str(config.output)) else config.output.with_suffix(".jsonl")
    print(f"{written}: {len(found)} images")
