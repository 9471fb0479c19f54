"""The index of a folder of embeddings: the whole images' (the 1x1 view of the first crop), in pieces.

`index/` beside the embeddings: `trained.faiss`, empty; for each piece, which is of a run of whole shards and
bears the first one's name, `<shard>.faiss` and `<shard>.keys`, a line for each vector; `index.json`, last.
Numbers are in the order of the shards. Any number of processes write it, and need nothing of each other.
"""

import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from zeroseg.data.embeddings import EmbeddingSet, open_embeddings
from zeroseg.data.sharded_index import BLOCK, Kind, ShardedIndex, sampled, train, write_piece
from zeroseg.data.views import ViewSet
from zeroseg.errors import InputError
from zeroseg.records import read_record, to_json
from zeroseg.store.reader import ShardReader, UnreadableShard
from zeroseg.store.set_writer import BUILDING, scratch
from zeroseg.store.shard_cache import ShardCache, is_local
from zeroseg.store.storage import exists, fetch, join, move, read_bytes, remove, write_atomically

RECORD, TRAINED = "index/index.json", "index/trained.faiss"
PLAN = f"{BUILDING}/index.json"
LARGEST = 2**18
"""Most vectors of a piece, which is in memory while it is made; a shard of more is one by itself."""
WHOLE = ViewSet(grids=(1,))


@dataclass(frozen=True, kw_only=True)
class IndexRecord:
    """What an index is of; `index.json`."""

    kind: Kind
    shards: tuple[str, ...]
    """SHA-256 of each shard of embeddings."""
    pieces: tuple[str, ...]
    """Names of their first shards, without suffix."""
    vectors: int


def build_index(folder: str, kind: Kind, cache: ShardCache, process: int, processes: int) -> None:
    """Write the index of finished embeddings, or what is missing of it: the pieces of one of some processes.

    The first one trains it, and writes `index.json` once all pieces are there; the others wait for what
    it has trained. Raises InputError when the folder holds an index of another kind.
    """
    stored = open_embeddings(folder, cache, WHOLE)
    runs = _runs(stored.shards.counts)
    record = IndexRecord(
        kind=kind,
        shards=stored.shards.digests,
        pieces=tuple(_stem(stored.shards.names[run[0]]) for run in runs),
        vectors=stored.shards.samples,
    )
    if _begun(folder, record, claim=process == 0):
        return
    mine = range(len(runs))[process::processes]
    missing = [n for n in mine if not exists(join(folder, f"index/{record.pieces[n]}.faiss"))]
    if process and not missing:
        return
    rows = StoredVectors(stored, cache)
    with scratch(folder) as place:
        if process == 0 and not exists(join(folder, TRAINED)):
            faiss.write_index(_trained(rows, kind), str(place / "trained"))
            move(place / "trained", join(folder, TRAINED))
        while not exists(join(folder, TRAINED)):
            time.sleep(0.5)
        fetch(join(folder, TRAINED), place / "trained")
        trained = faiss.read_index(str(place / "trained"))
        images = sum(len(rows.of(runs[number])) for number in missing)
        with tqdm(desc="index", unit="image", total=images, disable=process > 0) as bar:
            for number in missing:
                _write(folder, record.pieces[number], runs[number], rows, trained, place, bar)
        rows.close()
        if process:
            return
        for name in record.pieces:
            while not exists(join(folder, f"index/{name}.faiss")):
                time.sleep(0.5)
        write_atomically(join(folder, RECORD), _text(record))
    remove(join(folder, BUILDING))


def open_index(folder: str, stored: EmbeddingSet) -> ShardedIndex:
    """The finished index of local embeddings. Raises InputError when there is none, or it is of others."""
    path = join(folder, RECORD)
    if not is_local(folder):
        raise InputError(
            f"{folder} is not of this machine: an index is mapped into memory, copy it here"
        )
    if not exists(path):
        begun = exists(join(folder, TRAINED)) or exists(join(folder, PLAN))
        what = "no finished index" if begun else "no index"
        raise InputError(f"{folder} has {what}: run its `zeroseg embed` again with --index fp16")
    record = read_record(IndexRecord, read_bytes(path), path, remedy=_remedy(folder))
    if record.shards != stored.shards.digests:
        raise InputError(f"{path} is of other embeddings: {_remedy(folder)}")
    index = ShardedIndex([Path(folder, f"index/{name}.faiss") for name in record.pieces])
    if len(index) != record.vectors:
        raise InputError(
            f"{path} is of {record.vectors} vectors, not {len(index)}: {_remedy(folder)}"
        )
    return index


class StoredVectors:
    """Reads the embeddings of whole images, by their numbers in the set."""

    def __init__(self, stored: EmbeddingSet, cache: ShardCache) -> None:
        self.reader = ShardReader(stored.shards, cache)
        self.row = stored.record.views.rows_of(WHOLE)[0]
        self.starts = np.cumsum([0, *stored.shards.counts])
        self.shape = (stored.record.embed_dim,)

    def place(self, number: int) -> tuple[int, int]:
        """Shard of an embedding, and its number there."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        return shard, number - int(self.starts[shard])

    def key(self, number: int) -> str:
        """The image's key."""
        return self.reader.key(*self.place(number))

    def of(self, shards: Sequence[int]) -> range:
        """Numbers of the embeddings in shards that follow each other."""
        return range(int(self.starts[shards[0]]), int(self.starts[shards[-1] + 1]))

    def read(self, numbers: Sequence[int]) -> Float[ndarray, "number embed"]:
        """Embeddings in float32, not of unit norm. Raises InputError naming one that cannot be read."""
        return np.stack([self._vector(int(number)) for number in numbers])

    def _vector(self, number: int) -> Float[ndarray, " embed"]:
        shard, place = self.place(number)
        try:
            stored = self.reader.read(shard, place, only=("0.npy",)).members["0.npy"]
            vector = np.load(io.BytesIO(stored))[self.row].astype(np.float32)
        except (UnreadableShard, OSError, KeyError, IndexError, ValueError) as error:
            where = f"{self.reader.shards.urls[shard]}, sample {place},"
            raise InputError(
                f"{where} is no embedding ({error}): run `zeroseg embed` again"
            ) from error
        if vector.shape != self.shape or not np.isfinite(vector).all():
            url = self.reader.shards.urls[shard]
            raise InputError(f"{url}, sample {place}, is not finite: run `zeroseg embed` again")
        return vector

    def close(self) -> None:
        """Close the shards."""
        self.reader.close()


def _runs(counts: Sequence[int]) -> list[list[int]]:
    """Shards of each piece; those without a sample are in one with others, where there are some."""
    runs: list[list[int]] = [[]]
    for shard, count in enumerate(counts):
        if runs[-1] and sum(counts[s] for s in runs[-1]) + count > LARGEST:
            runs.append([])
        runs[-1].append(shard)
    return runs


def _begun(folder: str, record: IndexRecord, *, claim: bool) -> bool:
    """Whether the index is finished; begins it else. Raises InputError for another one's folder."""
    while not claim and not exists(join(folder, RECORD)) and not exists(join(folder, PLAN)):
        time.sleep(0.5)
    finished = exists(join(folder, RECORD))
    path = join(folder, RECORD if finished else PLAN)
    if exists(path):
        found = read_record(IndexRecord, read_bytes(path), path, remedy=_remedy(folder))
        if found != record:
            raise InputError(
                f"{join(folder, 'index')} is of other embeddings or of kind {found.kind}: {_remedy(folder)}"
            )
    elif claim:
        remove(join(folder, "index"))  # of which nothing says what it was to be
        write_atomically(path, _text(record))
    return finished


def _trained(rows: StoredVectors, kind: Kind) -> faiss.Index:
    total = int(rows.starts[-1])
    numbers = sampled(total).tolist()
    with tqdm(desc="sample", unit="image", total=len(numbers)) as bar:
        sample = []
        for first in range(0, len(numbers), BLOCK):
            sample.append(rows.read(numbers[first : first + BLOCK]))
            bar.update(len(sample[-1]))
    return train(np.concatenate(sample), total, kind)


def _write(
    folder: str,
    name: str,
    shards: Sequence[int],
    rows: StoredVectors,
    trained: faiss.Index,
    place: Path,
    bar: tqdm,
) -> None:
    """A piece, and before it its keys."""
    numbers = rows.of(shards)

    def blocks() -> Iterator[Float[ndarray, "_ embed"]]:
        for first in range(0, len(numbers), BLOCK):
            some = numbers[first : first + BLOCK]
            yield rows.read(some)
            bar.update(len(some))

    write_piece(place / "piece", trained, blocks())
    names = rows.reader.shards.names
    lines = (f"{names[rows.place(number)[0]]}\t{rows.key(number)}\n" for number in numbers)
    write_atomically(join(folder, f"index/{name}.keys"), "".join(lines).encode())
    move(place / "piece", join(folder, f"index/{name}.faiss"))


def _text(record: IndexRecord) -> bytes:
    return json.dumps(to_json(record), indent=1).encode() + b"\n"


def _stem(shard: str) -> str:
    return shard.removesuffix(".tar")


def _remedy(folder: str) -> str:
    return f"remove {join(folder, 'index')}, and run `zeroseg embed` with --index again"
