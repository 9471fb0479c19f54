"""Groups of near vectors among many, which need not fit in memory.

Up to `EXACT` vectors every pair is compared. Of more, each vector is compared with those in the clusters
nearest to it, of an index whose pieces are files (`zeroseg.data.sharded_index`).
"""

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Int
from numpy import ndarray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from zeroseg.data import sharded_index
from zeroseg.data.block_tasks import InProcess, Share
from zeroseg.data.sharded_index import sampled
from zeroseg.data.stored_rows import Rows
from zeroseg.data.vector_tasks import BLOCK, PIECE, TRAINED, IndexPieces, NearPairs

NEAREST = 32
"""Neighbours that one search gives, the vector itself among them."""
IN_PIECE = 1 << 20
"""Vectors in one piece of an index."""


def near_groups(
    rows: Rows,
    least: float,
    rank: Int[ndarray, " member"],
    members: Int[ndarray, " member"] | None = None,
    share: Share | None = None,
) -> Int[ndarray, " member"]:
    """For each member the best of its group; its own place where it is that, or alone.

    `members` are the rows that are compared, every one unless it says which; places are among them. Two are
    in one group where their cosine is `least` or more, directly or through others; best is whose `rank`, all
    different, is lowest. Where more are near a vector than one search gives, the best of what was found are
    searched again, so that no flood of copies takes the square of its size. `share` does the blocks.
    """
    share = share or InProcess()
    members = np.arange(len(rows)) if members is None else members
    index = _index(rows, members, share) if len(members) > sharded_index.EXACT else []
    best, asked = np.arange(len(members)), np.arange(len(members))
    while len(asked):
        among = best == np.arange(len(members))
        few = among.sum() <= sharded_index.EXACT
        task = NearPairs(
            members=members,
            asked=asked,
            among=among,
            least=least,
            pieces=[] if few else index,
            nearest=NEAREST,
            size=BLOCK,
        )
        before, crowded = best, []
        for pairs in _gathered(share(task, rows), len(members)):
            alone = pairs[:, 0] == pairs[:, 1]
            crowded.append(pairs[alone, 0])
            best = _joined(best, pairs[~alone], rank)
        if (best == before).all():
            break
        asked = np.unique(best[np.concatenate(crowded)])
    for piece in index:
        Path(share.root, piece).unlink(missing_ok=True)
    return best


def _index(rows: Rows, members: Int[ndarray, " member"], share: Share) -> list[str]:
    """The pieces of an index of some rows, written."""
    place = share.place("index")
    trained = Path(share.root, place, TRAINED)
    if not trained.exists():
        trained.parent.mkdir(parents=True, exist_ok=True)
        fresh, total = trained.with_suffix(".new"), len(members)
        sample = rows[members[sampled(total)]]
        faiss.write_index(sharded_index.train(sample, total, "fp16"), str(fresh))
        fresh.replace(trained)
    task = IndexPieces(members=members, place=place, size=IN_PIECE)
    for _ in share(task, rows):
        pass
    return [f"{place}/{PIECE.format(number)}" for number in range(task.blocks)]


def _gathered(
    parts: Iterator[Int[ndarray, "pair 2"]], most: int
) -> Iterator[Int[ndarray, "pair 2"]]:
    """The same pairs in fewer parts, each of at least `most` but the last: joining costs that much."""
    held, count = [], 0
    for part in parts:
        held.append(part)
        count += len(part)
        if count >= most:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)


def _joined(
    best: Int[ndarray, " row"], pairs: Int[ndarray, "pair 2"], rank: Int[ndarray, " row"]
) -> Int[ndarray, " row"]:
    """The best of each group, once those of every pair are one."""
    count = len(best)
    ends = np.concatenate([pairs, np.stack([np.arange(count), best], axis=1)])
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), (count, count))
    _, group = connected_components(graph, directed=False)
    order = np.lexsort((rank, group))
    firsts = np.unique(group[order], return_index=True)[1]
    return order[firsts][group]
