"""Sets without unseen classes: images that hold even a pixel of one are left out.

ZS3Net (Bucher et al., NeurIPS 2019, section 4.1) trains its segmenter on such images alone. Hiding the
pixels' labels, as later methods do, leaves the pixels themselves in the training images.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from shards.sample import BadSample, Sample, Source
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.datasets.own_benchmarks import benchmark_named
from zeroseg.errors import InputError


def split_named(name: str) -> Benchmark:
    """A benchmark with unseen classes. Raises InputError when there is none of this name."""
    benchmark = benchmark_named(name)
    if not benchmark.unseen:
        raise InputError(
            f"--without {name}: it has no unseen classes, choose a split, as voc21-k2 or scenes"
        )
    return benchmark


def without(source: Source, split: str) -> Source:
    """The source without images that hold an unseen class of a benchmark; each becomes a BadSample that
    `is_dropped` tells from others.

    Raises InputError as `split_named`, and when the source has no label maps of the benchmark.
    """
    benchmark = split_named(split)
    if not source.classes:
        kind = source.built_from.get("kind", "this source")
        raise InputError(f"--without {split}: {kind} has no label maps, leave it out")
    own = benchmark.on(source.classes)
    classes = enumerate(own.label_map or range(len(own.classes)))
    names = {i: own.classes[c] for i, c in classes if c != IGNORE and own.classes[c] in own.unseen}
    return dataclasses.replace(
        source,
        read=partial(_read, source.read, names, benchmark.name),
        built_from=source.built_from | {"without": benchmark.name},
    )


def is_dropped(line: str, split: str) -> bool:
    """Whether this is the line of an image that was left out for the classes it holds."""
    return line.endswith(_cause(split_named(split).name))


def _cause(split: str) -> str:
    return f"which is unseen in {split}"


def _read(
    read: Callable[[Any], Iterable[Sample | BadSample]],
    unseen: Mapping[int, str],
    split: str,
    unit: Any,
) -> Iterator[Sample | BadSample]:
    for sample in read(unit):
        if isinstance(sample, Sample) and sample.labels is not None:
            found = np.flatnonzero(
                np.bincount(decode_labels(sample.labels).numpy().ravel())
            ).tolist()
            if held := [unseen[label] for label in found if label in unseen]:
                yield BadSample(f"{sample.source or sample.key}: holds {held[0]}, {_cause(split)}")
                continue
        yield sample
