"""Photos and label maps of the same names in two folders, whose ids are a benchmark's labels."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shards.folder import SUFFIXES
from shards.labelled import need, paired, png_ids, read_pair
from shards.sample import Source
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.datasets.own_benchmarks import benchmark_named


@dataclass(frozen=True)
class Pairs:
    """Photos and 8-bit PNG label maps of the same names, whose ids are the labels of a benchmark.

    255 is ignored. A photo without its map, or a map without its photo, is left out and named.
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
        ids = {label: label for label in (*range(len(benchmark.classes)), IGNORE)}
        others = sorted(SUFFIXES - {".jpg"})
        return Source(
            units=paired(self.images, "", self.masks, suffixes=(".jpg", *others)),
            read=partial(read_pair, ids, png_ids),
            classes=benchmark.classes,
            built_from={
                "kind": "pairs",
                "source": str(self.images),
                "masks": str(self.masks),
                "benchmark": benchmark.name,
            },
        )
