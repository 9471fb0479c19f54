"""What is known of every image of a set: its file's digest and size, its thumbnail, its embedding.

Shards are read by any number of processes; what was found of one are files of its own, so that a command
that was stopped goes on with the others. Thumbnails and embeddings stay on disk; the rest, some 50 bytes an
image and its key, is read into memory.
"""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from zipfile import BadZipFile

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from pipelines.curation.levels import GreyLevels, levels_of
from shards.parallel import count_image
from zeroseg.data.embeddings import EmbeddingReader, EmbeddingSet, UnusableEmbedding
from zeroseg.data.images import decode_image
from zeroseg.data.samples import image_bytes
from zeroseg.data.stored_rows import Rows, StoredRows, write_array
from zeroseg.errors import InputError
from zeroseg.store.reader import RawSample, ShardReader, UnreadableShard
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet
from zeroseg.store.storage import exists, join, read_bytes, write_atomically

WORKING = ".curating"
SIDE = 16
"""Pixels of a thumbnail's sides."""
FAINTEST = 2.0
"""Standard deviation of a thumbnail's levels, of 255, below which it shows nothing."""
FACTS = ("keys", "digests", "sizes", "levels", "shown", "embedded")
"""What is read into memory."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of the samples of one shard, or of a whole set, in their order."""

    keys: ndarray
    """As bytes of UTF-8, which order as text does."""
    digests: UInt8[ndarray, "sample 32"]
    """SHA-256 of each image's file."""
    sizes: Int[ndarray, "sample 2"]
    """Width and height, upright; 0 of what is no readable picture."""
    levels: Float[ndarray, "sample 3"]
    """The fields of `GreyLevels`; nan of what is no readable picture."""
    shown: Bool[ndarray, " sample"]
    """Whether the thumbnail is not 0."""
    embedded: Bool[ndarray, " sample"]
    """Whether the embedding is not 0."""
    thumbnails: Rows
    """As `thumbnail` makes them, in float16."""
    rows: Rows
    """Whole-image embeddings in float16; 0 where there is none. No dimensions where nobody asked."""

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, number: int) -> str:
        """Key of a sample, as text."""
        return self.keys[number].decode("utf-8", "surrogateescape")

    def level(self, name: str) -> Float[ndarray, " sample"]:
        """One field of `GreyLevels`."""
        return self.levels[:, GreyLevels._fields.index(name)]

    @property
    def pixels(self) -> Int[ndarray, " sample"]:
        """Pixels of each image."""
        return self.sizes.prod(axis=1, dtype=np.int64)


@dataclass(frozen=True)
class FactsReading:
    """Reads shards, one after the other, and writes what it found of each."""

    shards: ShardSet
    embeddings: EmbeddingSet | None
    output: str
    cache: ShardCache

    def path(self, shard: int) -> str:
        """Where the facts of a shard are, once it was read: written after its thumbnails and rows."""
        return join(self.output, f"{WORKING}/{self.shards.names[shard]}.npz")

    def done(self, shard: int) -> bool:
        """Whether a shard was read."""
        return exists(self.path(shard))

    def __call__(self, shard: int) -> None:
        """Read a shard. Raises InputError when it cannot be read, or its embeddings are of other images."""
        reader = ShardReader(self.shards, self.cache)
        embedded = EmbeddingReader(self.embeddings, self.cache) if self.embeddings else None
        found = []
        for number in range(self.shards.counts[shard]):
            try:
                sample = reader.read(shard, number)
            except (UnreadableShard, OSError) as error:
                url = self.shards.urls[shard]
                raise InputError(f"shard {url} cannot be read ({error}): copy it again") from error
            key = sample.key.encode("utf-8", "surrogateescape")
            found.append((key, *_of_picture(sample), _row(embedded, sample)))
            count_image()
        reader.close()
        self._write(shard, found)

    def _write(self, shard: int, found: Sequence[tuple]) -> None:
        columns = zip(*found, strict=True) if found else ((),) * 6
        keys, digests, sizes, levels, thumbnails, rows = columns
        vectors = {
            "thumbnails": np.array(thumbnails, np.float16).reshape(len(found), SIDE**2),
            "rows": np.array(rows, np.float16).reshape(len(found), self._width),
        }
        buffer = io.BytesIO()
        np.savez(
            buffer,
            keys=np.array(keys, np.bytes_),
            digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
            sizes=np.array(sizes, np.int32).reshape(-1, 2),
            levels=np.array(levels, np.float32).reshape(-1, 3),
            shown=vectors["thumbnails"].any(axis=1),
            embedded=vectors["rows"].any(axis=1),
        )
        for name, array in vectors.items():
            write_array(self._vectors(shard, name), array)
        write_atomically(self.path(shard), buffer.getvalue())

    @property
    def _width(self) -> int:
        return self.embeddings.record.embed_dim if self.embeddings else 0

    def _vectors(self, shard: int, name: str) -> str:
        return join(self.output, f"{WORKING}/{self.shards.names[shard]}.{name}.npy")

    def columns(self) -> dict[str, StoredRows]:
        """Thumbnails and rows of all shards, where they are on disk."""
        counts, shards = self.shards.counts, range(len(self.shards.urls))
        return {
            name: StoredRows(name, [self._vectors(s, name) for s in shards], counts, width)
            for name, width in (("thumbnails", SIDE**2), ("rows", self._width))
        }

    def facts(self) -> Facts:
        """What was found of all shards, once all were read. Raises InputError when a file is damaged."""
        for shard in range(len(self.shards.urls)):
            while not self.done(shard):  # until the other processes have read theirs
                time.sleep(0.5)
        parts = [self._read(shard) for shard in range(len(self.shards.urls))]
        names = list(parts[0])
        joined = {name: np.concatenate([part.pop(name) for part in parts]) for name in names}
        columns = self.columns()
        return Facts(**joined, thumbnails=columns["thumbnails"], rows=columns["rows"])

    def _read(self, shard: int) -> dict[str, ndarray]:
        path = self.path(shard)
        try:
            with np.load(io.BytesIO(read_bytes(path))) as arrays:
                return {name: arrays[name] for name in FACTS}
        except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise InputError(
                f"{path} cannot be read ({error}): remove it, and run the same command again"
            ) from error


def thumbnail(grey: Float[Tensor, "height width"]) -> Float[ndarray, " pixel"]:
    """A picture's grey levels, averaged to 16 x 16, less their mean; 0 of a picture that shows nothing.

    The cosine of two is the correlation of the pictures, whatever their sizes, files and brightness.
    """
    levels = F.adaptive_avg_pool2d(grey[None], SIDE).flatten().numpy()
    levels = levels - levels.mean()
    return levels * np.float32(levels.std() >= FAINTEST)


def grey_levels(data: bytes) -> Float[Tensor, "height width"]:
    """The upright picture of a file, in grey. Raises what `decode_image` raises."""
    return decode_image(data).float().mean(dim=0)


def _of_picture(
    sample: RawSample,
) -> tuple[bytes, tuple[int, int], GreyLevels, Float[ndarray, " pixel"]]:
    """Digest, size, grey levels and thumbnail of an image; no size of what is no picture."""
    try:
        data = image_bytes(sample)
        grey = grey_levels(data)
    except Exception:  # whatever a picture library makes of damaged bytes
        return bytes(32), (0, 0), GreyLevels(), np.zeros(SIDE**2, np.float32)
    height, width = grey.shape
    return sha256(data).digest(), (width, height), levels_of(grey), thumbnail(grey)


def _row(embedded: EmbeddingReader | None, sample: RawSample) -> Float[ndarray, " embed"]:
    """The embedding of an image, 0 where it has none. Raises InputError when it is of another file."""
    if embedded is None:
        return np.zeros(0, np.float16)
    try:
        return embedded.read(sample, 0)[1][0].numpy()
    except (UnusableEmbedding, ValueError) as error:  # or no image among its members
        if str(error).startswith("stale"):
            raise InputError(
                f"the embedding of {sample.key} of {sample.shard} is {error}: run `zeroseg embed` on "
                "these shards"
            ) from error
        return np.zeros(embedded.record.embed_dim, np.float16)
