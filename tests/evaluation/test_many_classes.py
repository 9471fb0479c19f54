"""Sets of more classes than a byte tells apart, from shards to scores, pictures and result files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from shards.show import show
from tests.support.damage import Run
from tests.support.queries import queries
from zeroseg.data.augmentation import Augmentation
from zeroseg.data.label_files import encode_labels
from zeroseg.data.transforms import LabelledCrops
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.evaluation.evaluate import tally_batches
from zeroseg.evaluation.examples import examples
from zeroseg.evaluation.labelled import LabelledSet, open_labelled_set
from zeroseg.evaluation.pictures import palette
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.results import ModelIdentity, read_result, result_of, result_text
from zeroseg.evaluation.tally import from_bytes
from zeroseg.evaluation.task import Task
from zeroseg.store.reader import RawSample
from zeroseg.store.shard_cache import ShardCache

SIZE = (24, 32)
CPU = torch.device("cpu")


class Oracle:
    """Reads a pixel's class from its colour: red is the low byte, green the high one."""

    multiple = 1

    def predict(self, images, queries):
        low, high, _ = (255 * images).round().long().unbind(dim=1)
        return F.one_hot(256 * high + low, len(queries.embeddings)).movedim(3, 1).float()


def true_labels(number: int, classes: int) -> np.ndarray:
    """Of image 0 the last class alone, of others any; a row is ignored."""
    drawn = np.random.default_rng(number).integers(0, classes, SIZE)
    labels = np.full(SIZE, classes - 1) if number == 0 else drawn
    labels[5] = IGNORE
    return labels


def sample_of(number: int, classes: int) -> Sample:
    labels = true_labels(number, classes)
    shown = np.where(labels == IGNORE, 0, labels)
    colours = np.stack([shown % 256, shown // 256, shown * 0], axis=2).astype(np.uint8)
    return Sample(f"k{number}", encoded(colours, "webp", lossless=True), encode_labels(labels))


def made(folder, benchmark: Benchmark):
    classes = len(benchmark.classes)
    source = Source(
        units=range(4), read=lambda n: [sample_of(n, classes)], classes=benchmark.classes
    )
    build(source, str(folder), Limits(workers=0))
    return folder


def benchmark_of(classes: int) -> Benchmark:
    names = tuple(f"class {i}" for i in range(classes))
    return Benchmark(name=f"wide{classes}", classes=names, background=False)


def opened(folder, benchmark: Benchmark) -> LabelledSet:
    protocol = Protocol(short_side=24, window=0, softmax="none")
    return open_labelled_set(str(folder), benchmark, protocol, ShardCache())


def task_of(images: LabelledSet) -> Task:
    asked = queries(torch.eye(len(images.benchmark.classes)))
    return Task(benchmark=images.benchmark, protocol=images.protocol, queries=asked, threshold=None)


@pytest.mark.parametrize("classes", [255, 256, 300, 847])
def test_every_pixel_counts_for_its_class_from_shards_to_a_result_file(tmp_path, capsys, classes):
    benchmark = benchmark_of(classes)
    folder = made(tmp_path / "set", benchmark)
    assert "nothing wrong" in Run(capsys, folder).text
    images = opened(folder, benchmark)
    task = task_of(images)
    counted = tally_batches(Oracle(), images.batches(1, batch_size=3), task, CPU, boundary=True)
    tally = from_bytes(counted.to_bytes())
    labels = np.stack([true_labels(n, classes) for n in range(4)])
    pixels = np.bincount(labels[labels != IGNORE], minlength=classes)
    assert np.array_equal(tally.confusion(None), np.diag(pixels))
    model = ModelIdentity(kind="oracle")
    result = result_of("oracle", model, task, "set", tally, chosen_on=None, code="")
    assert result.scores.miou == result.scores.boundary_miou == 1
    assert result.scores.per_class[f"class {classes - 1}"] == 1
    path = tmp_path / "result.json"
    path.write_text(result_text(result))
    assert np.array_equal(read_result(str(path)).confusion, np.diag(pixels))


def test_classes_beyond_255_are_drawn_in_their_colours_in_examples_and_contact_sheets(tmp_path):
    benchmark = benchmark_of(847)
    folder = made(tmp_path / "set", benchmark)
    images = opened(folder, benchmark)
    shown = images.batches(1, batch_size=1, samples=range(1))
    ((_, picture),) = examples(Oracle(), shown, task_of(images))
    assert (picture == palette(847)[846]).all(axis=2).any()
    show(str(folder), tmp_path / "sheet.png", images=4)
    sheet = np.array(Image.open(tmp_path / "sheet.png"))
    assert (sheet == palette(847)[846]).all(axis=2).any()


def test_training_sees_classes_beyond_255_and_nothing_of_unseen_ones():
    benchmark = replace(benchmark_of(847), unseen=frozenset({"class 255", "class 846"}))
    sample = sample_of(1, 847)
    raw = RawSample("", "k1", {"webp": sample.image, "png": sample.labels})
    whole = Augmentation(size=24, scale=(1.0, 1.0), jitter=0.0)
    shown = LabelledCrops(augmentation=whole, benchmark=benchmark)(raw, 0)
    low, high, _ = shown["images"].long()
    seen = low + 256 * high
    known = shown["labels"] != IGNORE
    assert torch.equal(shown["labels"][known], seen[known])
    assert set(seen[~known].unique().tolist()) <= {0, 255, 846}
    assert int(shown["labels"][known].max()) > 255
