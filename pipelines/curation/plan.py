"""What a selection depends on, kept beside it while it is made: what was asked before goes on, nothing else does."""

import json
import time
from collections.abc import Mapping
from typing import Any

from pipelines.curation.config import CurateConfig
from pipelines.curation.facts import WORKING
from pipelines.curation.rounds import POLL
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.selection import NAME, Selection, read_selection
from zeroseg.store.shard_set import ShardSet
from zeroseg.store.storage import exists, join, read_bytes, write_atomically

PLAN = f"{WORKING}/plan.json"


def plan_of(
    config: CurateConfig, shards: ShardSet, benchmarks: Mapping[str, ShardSet]
) -> dict[str, Any]:
    """What a selection depends on."""
    folders = config.embeddings.split("::") if config.compares else []
    manifests = [read_manifest(folder) for folder in folders]
    told = [manifest.built_from.get("fingerprint", "") for manifest in manifests if manifest]
    lines = zip(shards.names, shards.counts, shards.digests, strict=True)
    steps = config.steps
    if benchmarks:
        steps["against"] = {name: of.fingerprint for name, of in benchmarks.items()}
    return {
        "steps": steps,
        "embeddings": " ".join(told),
        "shards": [list(line) for line in lines],
    }


def begin(output: str, plan: dict[str, Any], *, claim: bool) -> Selection | None:
    """Begin a selection or go on with it; it, if it is finished. Raises InputError for another one's folder.

    Of several processes one has `claim` and writes the plan; the others wait for it.
    """
    while not claim and not exists(join(output, NAME)) and not exists(join(output, PLAN)):
        time.sleep(POLL)
    finished = read_selection(output) if exists(join(output, NAME)) else None
    found: Any = plan
    if finished is not None:
        lines = [[s.name, s.samples, s.sha256] for s in finished.shards]
        found = {"steps": finished.steps, "embeddings": finished.embeddings, "shards": lines}
    elif exists(join(output, PLAN)):
        found = json.loads(read_bytes(join(output, PLAN)))
    if found != plan:
        raise InputError(
            f"{output} holds a selection of other shards, embeddings or steps: remove it, or choose "
            "another --output; of several processes let each see the same files"
        )
    if finished is None and claim:
        write_atomically(join(output, PLAN), json.dumps(plan).encode())
    return finished
