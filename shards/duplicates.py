"""Keys are unique over a whole set; a hundred million of them are compared in a few gigabytes."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt64
from numpy import ndarray

from zeroseg.errors import InputError
from zeroseg.store.storage import join, read_bytes
from zeroseg.store.tar_index import parse_index


def refuse_duplicates(destination: str, shards: Sequence[str]) -> None:
    """Raises InputError naming a key that two samples of a set share, and their shards."""
    digests = np.concatenate([_digests(destination, shard) for shard in shards])
    values, counts = np.unique(digests, return_counts=True)
    suspects = set(values[counts > 1].tolist())
    if not suspects:
        return
    first: dict[str, str] = {}
    for shard in shards:
        for key in _keys(destination, shard):
            if _digest(key) not in suspects:
                continue
            if key in first:
                raise InputError(
                    f"two samples are called {key!r}, in {first[key]} and {shard} of "
                    f"{destination}: rename one in the source, remove {destination}, build again"
                )
            first[key] = shard


def _keys(destination: str, shard: str) -> Iterator[str]:
    path = join(destination, shard.removesuffix(".tar") + ".idx")
    yield from parse_index(read_bytes(path).decode(), path).keys


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def _digests(destination: str, shard: str) -> UInt64[ndarray, " sample"]:
    return np.fromiter((_digest(k) for k in _keys(destination, shard)), np.uint64)
