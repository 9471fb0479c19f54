"""Clusters of a sample of a set's images by their embeddings: what there is much of, and what goes."""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from tqdm import tqdm

from zeroseg.data.embedding_index import StoredVectors
from zeroseg.data.embeddings import EmbeddingSet
from zeroseg.data.unit_vectors import FlatIndex, spherical_means
from zeroseg.errors import InputError
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet

CLUSTERS, IMAGES = 16, 8
"""At most, and for each at least, on average."""
SHARDS, SAMPLE = 64, 100_000
"""At most, of the sample."""
EXAMPLES = 4
"""Of what stays, and of what goes."""


@dataclass(frozen=True)
class Cluster:
    """Images that look alike."""

    before: int
    """Images of the sample."""
    after: int
    """Those that stay."""
    stays: list[tuple[int, int]]
    """Places of some of them, the nearest to the cluster's centre first."""
    goes: list[tuple[int, int]]


def vectors_of(
    stored: EmbeddingSet, shards: ShardSet, places: Int[ndarray, "image 2"], cache: ShardCache
) -> tuple[Int[ndarray, "found 2"], Float[ndarray, "found embed"]]:
    """Those of some images that have an embedding which can be read, and the embedding of each."""
    images, embedded = ShardReader(shards, cache), StoredVectors(stored, cache)
    by_name = {name: number for number, name in enumerate(stored.shards.names)}
    found, rows = [], []
    for shard, number in tqdm(places.tolist(), "embeddings", unit=" images", delay=2):
        theirs = by_name[shards.names[shard]]
        place = embedded.reader.number(theirs, images.key(shard, number), number)
        if place is None:
            continue
        with contextlib.suppress(InputError):  # damaged or not finite: `curate` leaves it out too
            rows.append(embedded.read([int(embedded.starts[theirs]) + place])[0])
            found.append((shard, number))
    images.close()
    embedded.close()
    width = stored.record.embed_dim
    return np.array(found, int).reshape(-1, 2), np.array(rows, np.float32).reshape(-1, width)


def clusters_of(
    places: Int[ndarray, "image 2"],
    rows: Float[ndarray, "image embed"],
    gone: Collection[tuple[int, int]],
) -> list[Cluster]:
    """The clusters, the largest first."""
    if not len(rows):
        return []
    count = max(1, min(CLUSTERS, len(rows) // IMAGES))
    cosines, own = FlatIndex(spherical_means(rows, count, seed=0)).search(rows, 1)
    stays = np.array([tuple(place) not in gone for place in places.tolist()])
    nearest = np.argsort(-cosines[:, 0], kind="stable")

    def places_in(cluster: int, staying: bool) -> list[tuple[int, int]]:
        inside = nearest[(own[nearest, 0] == cluster) & (stays[nearest] == staying)]
        return [(int(shard), int(number)) for shard, number in places[inside]]

    parts = [(places_in(k, True), places_in(k, False)) for k in range(count)]
    clusters = [
        Cluster(len(kept) + len(left), len(kept), kept[:EXAMPLES], left[:EXAMPLES])
        for kept, left in parts
        if kept or left
    ]
    return sorted(clusters, key=lambda cluster: -cluster.before)
