"""A selection from what is decided of its images: the lines of those that go, and the groups of duplicates."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.curation.facts import Facts
from pipelines.curation.groups import NAME as GROUPS
from pipelines.curation.groups import group_lines, groups_of, leak_reasons
from pipelines.curation.steps import Verdicts
from zeroseg.store.selection import LeftOut, SelectedShard, Selection, write_selection
from zeroseg.store.shard_set import ShardSet


def write(
    output: str,
    plan: Mapping[str, Any],
    shards: ShardSet,
    facts: Facts,
    verdicts: Verdicts,
    beside: Mapping[str, bytes],
) -> Selection:
    """Write a selection, what else tells of it before; as `write_selection`, and it raises what that does.

    `plan` says what was asked for, `beside` has other files, by name.
    """
    left_out = _by_shard(shards, facts, verdicts)
    lines = ((shard.name, samples) for shard, samples in left_out.items())
    groups = group_lines(groups_of(lines, leak_reasons(plan["steps"])))
    told = {"steps": plan["steps"], "embeddings": plan["embeddings"]}
    return write_selection(output, left_out, **told, beside={GROUPS: groups, **beside})


def _by_shard(
    shards: ShardSet, facts: Facts, verdicts: Verdicts
) -> dict[SelectedShard, list[LeftOut]]:
    """Those that go, shard by shard, with what stays in their place by its name."""
    starts = np.cumsum([0, *shards.counts])

    def name(number: int | str) -> str:
        if isinstance(number, str):
            return number
        shard = int(np.searchsorted(starts, number, side="right")) - 1
        return f"{shards.names[shard]} {facts.key(number)}"

    left_out = {}
    for shard, count in enumerate(shards.counts):
        first = int(starts[shard])
        record = SelectedShard(
            name=shards.names[shard], samples=count, sha256=shards.digests[shard], left_out=0
        )
        left_out[record] = [
            LeftOut(
                number=number,
                key=facts.key(first + number),
                reason=verdict.reason,
                instead=name(verdict.instead),
                cosine=verdict.cosine,
            )
            for number in range(count)
            if (verdict := verdicts.get(first + number)) is not None
        ]
    return left_out
