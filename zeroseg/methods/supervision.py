"""Supervision: which labels a method learns from, and which classes it may know of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from zeroseg.data.augmentation import Augmentation
from zeroseg.data.transforms import LabelledCrops
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.datasets.own_benchmarks import benchmark_named, kept_name
from zeroseg.datasets.vocabularies import named_classes
from zeroseg.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """Label maps of seen classes; nothing of an unseen class, not its name, reaches the training."""

    split: str
    """A benchmark with unseen classes, of `zeroseg.BENCHMARKS`: `voc20-15-5`, `scenes`; or a `.json` file,
    whose text is kept in its place."""
    augmentation: Augmentation
    unseen_labels: Literal["hidden", "pseudo"] = "hidden"
    """`pseudo`: unseen classes are learnt too, from shards that `zeroseg label` wrote, whose labels of
    them a model has guessed; no other shards are taken."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "split", kept_name(self.split))
        if not self.benchmark.unseen:
            raise InputError(
                f"labels.split {self.benchmark.name!r} has no unseen classes: choose a split, "
                f"{self.benchmark.name}-... of zeroseg.BENCHMARKS"
            )

    @cached_property
    def benchmark(self) -> Benchmark:
        """The split's classes. Raises InputError for an unknown one."""
        return benchmark_named(self.split)

    def transform(self) -> LabelledCrops:
        """What an epoch shows of a sample."""
        return LabelledCrops(
            augmentation=self.augmentation,
            benchmark=self.benchmark,
            unseen_labels=self.unseen_labels,
        )

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels that training may see: those of seen classes, or with pseudo labels of all."""
        every, hidden = self.benchmark.classes, self.benchmark.unseen
        pseudo = self.unseen_labels == "pseudo"
        return tuple(i for i, name in enumerate(every) if pseudo or name not in hidden)

    @property
    def names(self) -> tuple[str, ...]:
        """Their words, in that order; background's is "background"."""
        words = named_classes(self.benchmark)
        return tuple(words[label] for label in self.classes)

    @property
    def unseen_names(self) -> tuple[str, ...]:
        """Words of the unseen classes, for methods that know them while they train."""
        words = named_classes(self.benchmark)
        pairs = zip(self.benchmark.classes, words, strict=True)
        return tuple(word for name, word in pairs if name in self.benchmark.unseen)

    def rows(self, device: torch.device | str = "cpu") -> Int[Tensor, " label"]:
        """Of each label its place in `classes`, or IGNORE."""
        table = torch.full((IGNORE + 1,), IGNORE, device=device)
        table[torch.tensor(self.classes, device=device)] = torch.arange(
            len(self.classes), device=device
        )
        return table
