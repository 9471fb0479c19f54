"""Photos and label maps of the same names in two folders, whose ids are a benchmark's labels."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import UInt
from numpy import ndarray

from shards.folder import SUFFIXES
from shards.labelled import need, paired, read_pair
from shards.masks import MAPS, one_channel_ids
from shards.sample import Source
from zeroseg.data.label_files import labels_of
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.own_benchmarks import benchmark_named


@dataclass(frozen=True)
class Pairs:
    """Photos and label maps of the same names, PNG or TIFF, whose ids are the labels of a benchmark.

    Ignored is 255; in maps of 16 bits 65535, and 255 too where there is no such class. A photo without
    its map, or a map without its photo, is left out and named.
    """

    images: Path
    """Folder of the photos."""
    masks: Path
    """Folder of the label maps, each of the same name and place as its photo."""
    benchmark: str
    """A name in `zeroseg.BENCHMARKS` or a `.json` file, whose labels the ids are: voc21 for VOC's own."""

    def source(self) -> Source:
        """Raises InputError when a folder is missing or holds no photo, or the benchmark is unknown."""
        need(self.images, "a set of pairs", "the photos there")
        need(self.masks, "a set of pairs", "the label maps there")
        benchmark = benchmark_named(self.benchmark)
        labels = {255: IGNORE, IGNORE: IGNORE} | {n: n for n in range(len(benchmark.classes))}
        others = sorted(SUFFIXES - {".jpg"})
        return Source(
            units=paired(self.images, "", self.masks, suffixes=(".jpg", *others), maps=MAPS),
            read=partial(read_pair, labels, _labels),
            classes=benchmark.classes,
            built_from={
                "kind": "pairs",
                "source": str(self.images),
                "masks": str(self.masks),
                "benchmark": benchmark.name,
            },
        )


def _labels(data: bytes) -> UInt[ndarray, "height width"]:
    return labels_of(one_channel_ids(data))
