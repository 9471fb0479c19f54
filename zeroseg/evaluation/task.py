"""What a segmenter is asked: a benchmark's classes, in a protocol's words, scored by its rules."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.datasets.vocabularies import Vocabulary, vocabulary
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import Protocol
from zeroseg.models.clip import CLIP
from zeroseg.models.prompts import templates_named


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a segmenter is asked: which classes, in which words, scored by which rules."""

    benchmark: Benchmark
    protocol: Protocol
    vocabulary: Vocabulary
    class_embeddings: Float[Tensor, "query embed"]
    threshold: float | None
    """The background threshold in use."""

    @property
    def owners(self) -> Int[Tensor, " query"]:
        """The class of each query, on the embeddings' device."""
        return torch.tensor(self.vocabulary.owners, device=self.class_embeddings.device)


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
    if not 0 <= (threshold or 0) <= 1:
        raise InputError(f"background threshold {threshold}: a probability is from 0 to 1")
    return words, templates


def task_for(
    clip: CLIP, benchmark: Benchmark, protocol: Protocol, threshold: float | None = None
) -> Task:
    """The task in a teacher's words; `threshold` is the chosen one where the protocol states none.

    Raises InputError as `wording`.
    """
    if protocol.threshold_from == "stated":
        threshold = protocol.background_threshold
    words, templates = wording(benchmark, protocol, threshold)
    embeddings = clip.class_embeddings(words.queries, templates)
    return Task(
        benchmark=benchmark,
        protocol=protocol,
        vocabulary=words,
        class_embeddings=embeddings,
        threshold=threshold,
    )
