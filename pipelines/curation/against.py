"""Images of benchmarks among those of a corpus: their files, their pictures, and crops and mirrors of them."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from torch import Tensor
from tqdm import tqdm

from pipelines.curation.facts import Facts, thumbnail
from pipelines.curation.steps import Verdict, Verdicts
from pipelines.curation.whole_images import teacher_of
from zeroseg.data.block_tasks import InProcess, Share
from zeroseg.data.embedding_index import WHOLE
from zeroseg.data.embeddings import EmbeddingSet
from zeroseg.data.images import centre_crop, decode_image
from zeroseg.data.samples import image_bytes, read_samples
from zeroseg.data.vector_tasks import BLOCK, NearestOf
from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample, ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet
from zeroseg.training.teacher import ViewEncoder

CROP = 0.84
"""Side of a crop over the image's: 70 % of the area. There are five, in the corners and in the middle."""
BATCH = 16
"""Benchmark images read at a time."""

Embed = Callable[[UInt8[Tensor, "3 height width"]], Float[ndarray, "version embed"]]


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """What of a corpus is of one benchmark."""

    name: str
    """As it was named on the command line."""
    sources: ndarray
    """`<shard> <key>` of each of its images."""
    digests: Mapping[bytes, str]
    """The first of `sources` by the SHA-256 of its file."""
    thumbnails: Float[ndarray, "image_and_mirror pixel"]
    """Each image's, then that of its mirror image."""
    rows: Float[ndarray, "image_version embed"] | None
    """Embeddings of each image, crops and mirrors of it; None where none are compared."""

    def __call__(
        self,
        facts: Facts,
        left: Bool[ndarray, " sample"],
        same_picture: float,
        near: float,
        share: Share | None = None,
    ) -> Verdicts:
        """Images that are in the benchmark: of one file, of thumbnails or embeddings of so great a cosine."""
        chosen, reason = np.flatnonzero(left), f"in {self.name}"
        share = share or InProcess()
        verdicts: dict[int, Verdict] = {}
        for number in chosen.tolist():
            if source := self.digests.get(facts.digests[number].tobytes()):
                verdicts[number] = Verdict(reason, source)
        compared = [(facts.thumbnails, self.thumbnails, same_picture)] if same_picture < 1 else []
        if self.rows is not None:
            compared.append((facts.rows, self.rows, near))
        for own, theirs, least in compared:
            task = NearestOf(others=theirs, asked=chosen, least=least, size=BLOCK)
            each = len(theirs) // len(self.sources)
            for found in share(task, own):
                for number, other, cosine in found.tolist():
                    source = str(self.sources[other // each])
                    verdicts.setdefault(number, Verdict(reason, source, round(cosine, 4)))
        return verdicts


def leaks_of(name: str, shards: ShardSet, embed: Embed | None, cache: ShardCache) -> Leaks:
    """A benchmark's images, read and embedded; those that cannot be are named on standard error.

    Raises InputError when none can be read.
    """

    def decode(sample: RawSample) -> tuple[str, bytes, ndarray, ndarray | None]:
        data = image_bytes(sample)
        pixels = decode_image(data)
        grey = pixels.float().mean(dim=0)
        thumbnails = np.stack([thumbnail(grey), thumbnail(grey.flip(1))])
        source = f"{sample.shard.rpartition('/')[2]} {sample.key}"
        return source, sha256(data).digest(), thumbnails, embed(pixels) if embed else None

    reader = ShardReader(shards, cache)
    places = ((s, n) for s, count in enumerate(shards.counts) for n in range(count))
    found = []
    with tqdm(desc=name, unit=" images", total=shards.samples) as bar:
        while some := list(itertools.islice(places, BATCH)):
            decoded, lost = read_samples(reader, some, decode)
            found += [parts for _, parts in decoded]
            for loss in lost:
                tqdm.write(f"not compared: {loss}", file=bar.fp)
            bar.update(len(some))
    reader.close()
    if not found:
        raise InputError(f"no image of {name} can be read: run `zeroseg shards check` on it")
    sources, digests, thumbnails, rows = zip(*found, strict=True)
    return Leaks(
        name=name,
        sources=np.array(sources),
        digests=dict(zip(digests[::-1], sources[::-1], strict=True)),
        thumbnails=np.concatenate(thumbnails),
        rows=np.concatenate(rows) if embed else None,
    )


def embedder(stored: EmbeddingSet, path: str, device: torch.device) -> Embed:
    """Embeds an image, crops and mirrors of it as the whole images of stored embeddings were.

    Raises InputError when their teacher is not at hand, or has other weights now.
    """
    encode = ViewEncoder(teacher_of(stored, path, device), WHOLE)

    def embed(image: UInt8[Tensor, "3 height width"]) -> Float[ndarray, "version embed"]:
        pixels = torch.stack([centre_crop(v, stored.record.side) for v in versions(image)])
        return encode(pixels.to(device).float() / 255)[:, 0].cpu().half().numpy()

    return embed


def versions(image: UInt8[Tensor, "3 height width"]) -> list[UInt8[Tensor, "3 _ _"]]:
    """The image, five crops of it, and the mirror image of each."""
    height, width = image.shape[1:]
    rows, columns = max(1, round(CROP * height)), max(1, round(CROP * width))
    down, right = height - rows, width - columns
    corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    crops = [image[:, top : top + rows, left : left + columns] for top, left in corners]
    return [version for crop in (image, *crops) for version in (crop, crop.flip(2))]
