"""How many pixels and images of a set each class of a benchmark has, and which labels it does not know."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from shards.contents import contents, open_shard
from shards.parallel import count_image, in_parallel
from shards.verify_sample import right_sample
from shards.verify_shard import NamedShard
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.datasets.own_benchmarks import OWN, benchmark_named, own_benchmark


class LabelCounts(NamedTuple):
    """By class index; IGNORE has what is ignored, and a label that is unknown stands as its negative."""

    pixels: Counter[int]
    images: Counter[int]
    """In how many it occurs."""


def benchmark_of(name: str, named: Sequence[NamedShard], spec: str) -> Benchmark:
    """The benchmark of this name as these shards have it; `own` is what their manifests say.

    Raises InputError as `benchmark_named`, `own_benchmark` and `Benchmark.on`.
    """
    lists = {shard.classes for shard in named}
    classes = lists.pop() if len(lists) == 1 else ()
    return own_benchmark(classes, spec) if name == OWN else benchmark_named(name).on(classes)


def label_counts(named: Sequence[NamedShard], benchmark: Benchmark, workers: int) -> LabelCounts:
    """Counts over all label maps that can be read; what is wrong with others a check says."""
    known = benchmark.label_map or tuple(range(len(benchmark.classes)))
    counts = LabelCounts(Counter(), Counter())
    urls = [shard.url for shard in named]
    for part in in_parallel(partial(_of_shard, known), named, urls, workers, None):
        counts.pixels.update(part.pixels)
        counts.images.update(part.images)
    return counts


def told(counts: LabelCounts, benchmark: Benchmark) -> Iterator[str]:
    """Lines: pixels, their share of those that are not ignored, and images of each class; which classes
    never occur; which labels are unknown."""
    scored = sum(pixels for label, pixels in counts.pixels.items() if 0 <= label != IGNORE)
    yield f"{'pixels':>16}{'%':>8}{'images':>9}  class of {benchmark.name}"
    for label, name in enumerate(benchmark.classes):
        pixels = counts.pixels[label]
        share = f"{100 * pixels / max(scored, 1):.2f}"
        yield f"{pixels:16}{share:>8}{counts.images[label]:9}  {name}"
    yield f"{counts.pixels[IGNORE]:16}{'':8}{counts.images[IGNORE]:9}  (ignored)"
    never = [name for label, name in enumerate(benchmark.classes) if not counts.pixels[label]]
    if never:
        yield f"{len(never)} of {len(benchmark.classes)} classes never occur: {'; '.join(never)}"
    for label in unknown(counts):
        pixels, images = counts.pixels[-label], counts.images[-label]
        yield f"label {label} is unknown: {pixels} pixels in {images} images"


def unknown(counts: LabelCounts) -> list[int]:
    """The labels that the benchmark does not know."""
    return sorted(-label for label in counts.pixels if label < 0)


def _of_shard(known: Sequence[int], shard: NamedShard) -> LabelCounts:
    counts = LabelCounts(Counter(), Counter())
    for labels in _label_maps(shard):
        found = np.unique(labels, return_counts=True)
        in_image = Counter[int]()
        for label, pixels in zip(*(part.tolist() for part in found), strict=True):
            index = known[label] if label < len(known) else label if label == IGNORE else -label
            in_image[index] += pixels
        counts.pixels.update(in_image)
        counts.images.update(in_image.keys())
    return counts


def _label_maps(shard: NamedShard) -> Iterator[Int64[ndarray, "height width"]]:
    """The label maps of a shard that are whole."""
    with suppress(OSError), open_shard(shard.url) as file:
        for sample in contents(file).samples:
            count_image()
            with suppress(Exception):  # whatever damaged bytes are to a picture library
                yield decode_labels(right_sample(file, sample).labels or b"").numpy()
