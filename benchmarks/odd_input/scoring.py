"""A set scored by a segmenter whose answer is known, through all that makes a result file."""

import json
from pathlib import Path

import torch

from benchmarks.odd_input.building import CACHE
from benchmarks.odd_input.sets import COLOURS
from benchmarks.odd_input.verdict import expect
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.datasets.queries import Queries
from zeroseg.evaluation.evaluate import tally_batches
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.results import ModelIdentity, Result, result_of, result_text
from zeroseg.evaluation.tally import Tally
from zeroseg.evaluation.task import Task
from zeroseg.records import read_record
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_set import open_set


class BrightestChannel:
    """A pixel's class is its brightest channel."""

    multiple = 1

    def predict(self, images: torch.Tensor, queries: Queries) -> torch.Tensor:
        """The channels are the scores."""
        return images


TASK = Task(
    benchmark=COLOURS,
    protocol=Protocol(window=0, softmax="none"),
    queries=Queries(
        names=COLOURS.classes,
        owners=torch.arange(3),
        seen=torch.ones(3, dtype=torch.bool),
        embeddings=torch.eye(3),
    ),
    threshold=None,
)


def scored(folder: Path) -> tuple[Tally, int]:
    """The counts of every image of a set, which also make a whole result file, and the number of samples."""
    reader = ShardReader(open_set(str(folder), CACHE), CACHE)
    try:
        batches = evaluation_batches(reader, lambda size: size, batch_size=2)
        tally = tally_batches(BrightestChannel(), batches, TASK, torch.device("cpu"), boundary=True)
    finally:
        reader.close()
    model = ModelIdentity(kind="colours")
    result = result_of("colours", model, TASK, str(folder), tally, chosen_on=None, code="")
    again = read_record(Result, result_text(result), "result")
    expect(
        json.loads(result_text(again)) == json.loads(result_text(result)),
        "a result is read otherwise",
    )
    return tally, reader.shards.samples
