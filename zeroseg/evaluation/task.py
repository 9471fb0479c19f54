"""What a segmenter is asked: a benchmark's classes, in a protocol's words, scored by its rules."""

from dataclasses import dataclass

import torch

from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.queries import Queries
from zeroseg.datasets.vocabularies import Vocabulary, vocabulary
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import Protocol
from zeroseg.models.clip import TextEncoder
from zeroseg.models.prompts import templates_named


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What a segmenter is asked: which classes, in which words, scored by which rules."""

    benchmark: Benchmark
    protocol: Protocol
    queries: Queries
    threshold: float | None
    """The background threshold in use; None without background, or with words for it."""


def wording(
    benchmark: Benchmark, protocol: Protocol, threshold: float | None
) -> tuple[Vocabulary, tuple[str, ...]]:
    """The queries of a task and their templates.

    Raises InputError when a name is unknown, or there is background and nothing that tells it, or
    the other way round.
    """
    words, templates = vocabulary(benchmark, protocol.names), templates_named(protocol.templates)
    name, background = benchmark.name, benchmark.background
    if threshold is not None and not background:
        raise InputError(
            f"benchmark {name!r} has no background class: leave out the background threshold"
        )
    if background and threshold is None and 0 not in words.owners:
        raise InputError(f"benchmark {name!r} has a background class: set the background threshold")
    if protocol.softmax != "none" and not 0 <= (threshold or 0) <= 1:
        raise InputError(f"background threshold {threshold}: a probability is from 0 to 1")
    return words, templates


def task_for(
    clip: TextEncoder, benchmark: Benchmark, protocol: Protocol, threshold: float | None = None
) -> Task:
    """What a segmenter that speaks a CLIP's embeddings is asked.

    `threshold` is the chosen one, where the protocol states none. Raises InputError as `wording`.
    """
    if protocol.threshold_from == "stated":
        threshold = protocol.background_threshold
    words, templates = wording(benchmark, protocol, threshold)
    embeddings = clip.class_embeddings(words.queries, templates)
    seen = [benchmark.classes[owner] not in benchmark.unseen for owner in words.owners]
    queries = Queries(
        names=words.queries,
        owners=torch.tensor(words.owners, device=embeddings.device),
        seen=torch.tensor(seen, device=embeddings.device),
        embeddings=embeddings,
    )
    return Task(benchmark=benchmark, protocol=protocol, queries=queries, threshold=threshold)
