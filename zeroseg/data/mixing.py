"""How many shards a process mixes at a time: all that are at hand, else as many as there is room for."""

from collections.abc import Sequence

from zeroseg.errors import InputError
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet

MOST_COPIED = 16
"""Shards of which samples are mixed before all are there; the first batch waits for about as many."""


def mixed_shards(
    wanted: int | None,
    shards: ShardSet,
    copied: Sequence[int],
    cache: ShardCache,
    processes: int,
) -> int | None:
    """Shards whose samples a process mixes, None for all of the epoch; `data.shuffle` is what is wanted.

    `copied` is for each shard how many bytes are copied here before it can be read, with what lies
    beside it; `processes` share the machine's cache. Each of them needs room there for the shards that
    it mixes, and for as many that are fetched meanwhile. Raises InputError when more are wanted.
    """
    largest = max(copied)
    if not largest:
        return MOST_COPIED if wanted is None and not shards.indexed else wanted
    room = max(1, int(cache.gigabytes * 1e9 / largest / processes / 2))
    if wanted is None:
        return min(MOST_COPIED, room)
    if wanted > room:
        raise InputError(
            f"data.shuffle mixes {wanted} remote shards at a time, but {cache.gigabytes:g} GB of cache hold "
            f"{room} (and as many to come) of {largest / 1e9:.3g} GB for each of {processes} processes: "
            "lower it, or raise --data.cache.gigabytes"
        )
    return wanted
