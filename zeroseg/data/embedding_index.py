"""Whole-image embeddings in a file that faiss reads, for curation: duplicates, neighbours, clusters."""

import io
import itertools

import faiss
import numpy as np

from zeroseg.data.embeddings import TeacherRecord
from zeroseg.data.views import ViewSet
from zeroseg.store.reader import ShardReader
from zeroseg.store.set_writer import scratch
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet
from zeroseg.store.storage import join, write_atomically

INDEX = "index.faiss"
KEYS = "index-keys.txt"
"""A line for each vector of the index, in its order: the shard's name, a tab, the image's key."""


def write_index(folder: str, shards: ShardSet, record: TeacherRecord, cache: ShardCache) -> None:
    """Write the 1x1 view of each image's first crop: inner products of unit vectors, in float16.

    The whole index is in memory while it is made: twice the embedding's dimensions, in bytes, an image.
    """
    (row,) = record.views.rows_of(ViewSet(grids=(1,)))
    kind = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexScalarQuantizer(record.embed_dim, kind, faiss.METRIC_INNER_PRODUCT)
    reader, lines = ShardReader(shards, cache), []
    everything = ((s, n) for s, count in enumerate(shards.counts) for n in range(count))
    while some := list(itertools.islice(everything, 4096)):
        stored = [reader.read(*place, only=("0.npy",)).members["0.npy"] for place in some]
        rows = np.stack([np.load(io.BytesIO(data))[row] for data in stored]).astype(np.float32)
        faiss.normalize_L2(rows)
        index.add(rows)
        names = ((shards.urls[s].rpartition("/")[2], reader.key(s, n)) for s, n in some)
        lines += [f"{shard}\t{key}\n" for shard, key in names]
    reader.close()
    with scratch(folder) as place:
        path = place / INDEX
        faiss.write_index(index, str(path))
        write_atomically(join(folder, INDEX), path)
    write_atomically(join(folder, KEYS), "".join(lines).encode())
