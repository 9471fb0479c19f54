"""`zeroseg curate` in blocks so small that a few pictures make many, and an index of several pieces."""

from collections.abc import Sequence

from pipelines.curation import against, balance, steps
from tests.support.jobs import program
from zeroseg.data import near_pairs, sharded_index, vector_tasks


def curate(arguments: Sequence[str]) -> None:
    """Run the command as it would compare millions."""
    for module in (near_pairs, steps, against, balance):
        module.BLOCK = 3
    vector_tasks.AT_ONCE, near_pairs.IN_PIECE, sharded_index.EXACT = 2, 5, 6
    program("pipelines.curate", arguments)
