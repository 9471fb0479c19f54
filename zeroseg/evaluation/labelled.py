"""Labelled images, what their labels mean, and by which rules they are scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from zeroseg.data.batch import Batch
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.own_benchmarks import OWN, benchmark_named, own_benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.task import Task, task_for, wording
from zeroseg.models.clip import CLIP
from zeroseg.models.segmenter import Answers
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import ShardSet, open_set


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledSet:
    """Labelled shards as a benchmark and a protocol take them; `open_labelled_set` makes one."""

    spec: str
    """What the shards were named by."""
    reader: ShardReader
    """Holds a few shards open; close it once the images are read."""
    benchmark: Benchmark
    """As these shards have it."""
    protocol: Protocol

    @property
    def shards(self) -> ShardSet:
        """Which shards, in their order."""
        return self.reader.shards

    def check(self, multiple: int, answers: Answers = "cosines") -> None:
        """Raises InputError when a segmenter cannot take the protocol's sizes, or answers scores of which
        it takes a softmax; see `Segmenter`."""
        if answers == "scores" and self.protocol.softmax != "none":
            raise InputError(
                f"protocol.softmax is {self.protocol.softmax!r} and this model answers scores, no "
                "cosines: take the protocol seen-unseen, or set softmax to none"
            )
        if not self.protocol.short_side:
            raise InputError("protocol.short_side is 0: set it, in pixels")
        if self.protocol.window % multiple:
            raise InputError(
                f"protocol.window is {self.protocol.window}: this model takes multiples of {multiple}"
            )

    def batches(
        self, multiple: int, *, batch_size: int, samples: range | None = None
    ) -> Iterator[Batch]:
        """All images, or those of consecutive numbers, at sizes for a segmenter's `multiple`."""
        resize = partial(self.protocol.picture_size, multiple=multiple)
        return evaluation_batches(self.reader, resize, batch_size=batch_size, samples=samples)

    def task(self, clip: CLIP, threshold: float | None = None) -> Task:
        """What a segmenter that speaks a CLIP's embeddings is asked; as `task_for`."""
        return task_for(clip, self.benchmark, self.protocol, threshold)


def benchmark_on(spec: str, name: str, cache: ShardCache) -> Benchmark:
    """The benchmark of this name for these shards; `own` is what their manifest says.

    Raises InputError as `benchmark_named`, and as `open_set` and `own_benchmark` for `own`.
    """
    if name == OWN:
        return own_benchmark(open_set(spec, cache).classes, spec)
    return benchmark_named(name)


def open_labelled_set(
    spec: str, benchmark: Benchmark, protocol: Protocol, cache: ShardCache
) -> LabelledSet:
    """Find labelled shards and check that they, the benchmark and the protocol fit; no image is read.

    Raises InputError when shards are missing or built for another benchmark, or the protocol has no
    words or no background threshold for this one.
    """
    to_come = 0.0 if protocol.threshold_from == "held-out" else protocol.background_threshold
    wording(benchmark, protocol, to_come)
    shards = open_set(spec, cache)
    return LabelledSet(
        spec=spec,
        reader=ShardReader(shards, cache),
        benchmark=benchmark.on(shards.classes),
        protocol=protocol,
    )
