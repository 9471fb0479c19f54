import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from tests.support.queries import queries
from zeroseg.data.batch import Batch, Lost
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import (
    best_classes,
    class_scores,
    evaluate,
    label_maps,
    tally_batches,
)
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.refinement import pamr
from zeroseg.evaluation.scores import Scores, image_scores, scores_of, threshold_curve
from zeroseg.evaluation.task import Task, wording

PLAIN = Benchmark(name="plain", classes=("a", "b", "c"), background=False)
OBJECTS = Benchmark(name="objects", classes=("background", "a", "b", "c"), background=True)
WHOLE = Protocol(window=0, softmax="none")


class Pixelwise:
    """Takes a pixel's three channels for the scores of three queries."""

    multiple = 1

    def predict(self, images, queries):
        scores = torch.einsum("bchw,kc->bkhw", images, queries.embeddings)
        return scores / scores.sum(1, keepdim=True)


def random_images(count: int = 6, size: tuple[int, int] = (5, 7)) -> torch.Tensor:
    """Of 8 bits, as they travel; a pixel's three are never alike, so that one class is the best."""
    return (torch.rand(count, 255, *size).argsort(1)[:, :3] + 1) / 255


def batch(images: torch.Tensor, labels: torch.Tensor | None, start: int = 0) -> Batch:
    keys = tuple(f"k{start + i}" for i in range(len(images)))
    return Batch(keys, (images * 255).round().byte(), labels)


def task(benchmark=PLAIN, protocol=WHOLE, owners=None) -> Task:
    """Whose queries are the unit vectors."""
    first = int(benchmark.background)
    owners = owners or tuple(range(first, first + 3))
    return Task(
        benchmark=benchmark,
        protocol=protocol,
        queries=queries(torch.eye(len(owners))[:, :3], owners),
        threshold=protocol.background_threshold,
    )


def scored(batches: list[Batch], benchmark=PLAIN, protocol=WHOLE) -> Scores:
    asked = task(benchmark, protocol)
    return evaluate(Pixelwise(), batches, asked, Accelerator(cpu=True))


def test_an_oracle_scores_one():
    images = random_images()
    scores = scored([batch(images, images.argmax(1))])
    assert scores.miou == scores.pixel_accuracy == 1
    assert scores.per_class == {"a": 1, "b": 1, "c": 1}
    assert (scores.images, scores.skipped, scores.hiou) == (6, (), None)


def test_a_known_mistake_has_a_known_score():
    images = torch.eye(3)[None].mT.unsqueeze(2).expand(1, 3, 4, 3)
    labels = torch.tensor([[[0, 0, 2]] * 4])
    scores = scored([batch(images, labels)])
    assert scores.per_class == {"a": 0.5, "b": 0, "c": 1}
    assert scores.miou == pytest.approx(0.5)
    assert scores.pixel_accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_scores_do_not_depend_on_the_batch_size_or_the_windows(size):
    images, labels = random_images(), torch.randint(3, (6, 5, 7))
    parts = [
        batch(i, t, n * size)
        for n, (i, t) in enumerate(zip(images.split(size), labels.split(size), strict=True))
    ]
    expected = scored([batch(images, labels)])
    assert scored(parts) == expected
    assert scored(parts[::-1], protocol=replace(WHOLE, window=4, stride=2)) == expected


def test_a_sweep_equals_one_evaluation_per_threshold():
    images, labels = random_images(), torch.randint(4, (6, 10, 14))
    thresholds = (0.3, 0.45, 0.6, 1.0)
    asked = task(OBJECTS, replace(WHOLE, background_threshold=0.3))
    cpu = torch.device("cpu")
    tally = tally_batches(Pixelwise(), [batch(images, labels)], asked, cpu, thresholds=thresholds)
    single = [
        scored([batch(images, labels)], OBJECTS, replace(WHOLE, background_threshold=t))
        for t in thresholds
    ]
    assert [scores_of(tally, replace(asked, threshold=t)) for t in thresholds] == single
    assert len({s.miou for s in single}) == 4
    background = single[-1].per_class["background"]
    assert background == pytest.approx((labels == 0).double().mean().item())


@pytest.mark.parametrize(("benchmark", "threshold"), [(PLAIN, 0.5), (OBJECTS, None)])
def test_a_threshold_without_background_or_the_other_way_round_is_an_error(benchmark, threshold):
    with pytest.raises(InputError, match=f"{benchmark.name}.*threshold"):
        wording(benchmark, WHOLE, threshold)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 50.0])
def test_a_threshold_that_is_no_probability_is_an_error(threshold):
    with pytest.raises(InputError, match="probability is from 0 to 1"):
        wording(OBJECTS, Protocol(), threshold)


def test_the_best_query_of_a_class_speaks_for_it():
    asked = task(owners=(0, 1, 1))
    image = torch.tensor([0.4, 0.25, 0.35])[None, :, None, None]
    best, index = best_classes(Pixelwise(), image, asked, (1, 1))
    assert (best.item(), index.item()) == (pytest.approx(0.4), 0)
    best, index = best_classes(Pixelwise(), image[:, [1, 2, 0]], asked, (1, 1))
    assert (best.item(), index.item()) == (pytest.approx(0.4), 1)


def test_words_for_background_need_no_threshold():
    asked = task(OBJECTS, owners=(0, 1, 2))
    images = torch.eye(3)[None].mT.unsqueeze(2)
    assert label_maps(Pixelwise(), images, asked, (1, 3)).tolist() == [[[0, 1, 2]]]


def test_a_softmax_at_pixels_is_of_resized_cosines():
    protocol = replace(WHOLE, softmax="pixels", logit_scale=5.0)
    image = random_images(1, (2, 2))
    best, index = best_classes(Pixelwise(), image, task(protocol=protocol), (7, 3))
    cosines = F.interpolate(image / image.sum(1, keepdim=True), (7, 3), mode="bilinear")
    expected = (5 * cosines).softmax(1).max(1)
    assert torch.allclose(best, expected.values, atol=1e-6)
    assert torch.equal(index, expected.indices)


@pytest.mark.parametrize("window", [0, 4])
def test_a_softmax_of_the_model_is_over_queries_at_the_segmenters_own_grid(window):
    protocol = Protocol(window=window, stride=window or 1, logit_scale=5.0)
    image, asked = random_images(1, (4, 8)), task(protocol=protocol)
    grid = (5 * Pixelwise().predict(image, asked.queries)).softmax(1)
    expected = F.interpolate(grid, (7, 3), mode="bilinear").max(1)
    best, index = best_classes(Pixelwise(), image, asked, (7, 3))
    assert torch.allclose(best, expected.values, atol=1e-6)  # sums of float32 in another order
    assert torch.equal(index, expected.indices)


def test_without_a_softmax_scores_are_compared_as_they_come():
    image = random_images(1, (2, 2))
    best, _ = best_classes(Pixelwise(), image, task(), (2, 2))
    assert torch.allclose(best, (image / image.sum(1, keepdim=True)).amax(1))


@pytest.mark.parametrize("softmax", ["model", "pixels", "none"])
def test_the_best_class_is_the_one_whose_score_is_highest_of_all(softmax):
    asked = task(OBJECTS, Protocol(window=0, softmax=softmax, logit_scale=5.0), owners=(3, 1, 3))
    image = random_images(1, (2, 3))
    scores = class_scores(Pixelwise(), image, asked, (7, 4))
    best, index = best_classes(Pixelwise(), image, asked, (7, 4))
    assert scores.shape == (1, 4, 7, 4)
    assert torch.equal(scores.argmax(1), index)
    assert torch.allclose(scores.amax(1), best, atol=1e-6)  # two ways to the same softmax
    assert not scores[:, [0, 2]].any()  # no query is theirs


def test_scores_are_refined_at_the_annotation_by_the_dilations_of_the_protocol():
    image, size = random_images(1, (6, 9)), (11, 7)
    whole = F.interpolate(Pixelwise().predict(image, queries(torch.eye(3))), size, mode="bilinear")
    picture = F.interpolate(image, size, mode="bilinear")
    for dilations in [(1,), (1, 2)]:
        asked = task(protocol=replace(WHOLE, pamr=dilations))
        best, index = best_classes(Pixelwise(), image, asked, size)
        expected = pamr(picture, whole, dilations).max(dim=1)
        assert torch.allclose(best, expected.values, atol=1e-5)
        assert torch.equal(index, expected.indices)
    assert not torch.allclose(best, whole.max(dim=1).values, atol=1e-2)


def test_classes_of_a_small_share_of_the_foreground_are_left_out():
    row = torch.tensor([1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0, 0])
    scores = torch.full((1, 3, 1, 12), 0.1)
    scores[0, row, 0, torch.arange(12)] = 0.5
    scores[0, 1, 0, 9] = 0.3  # what the small one would have been
    asked = task(OBJECTS, replace(WHOLE, area_threshold=0.1), owners=(0, 1, 2))
    assert label_maps(Pixelwise(), scores, asked, (1, 12)).flatten().tolist() == [1] * 10 + [0, 0]
    kept = replace(asked, protocol=replace(WHOLE, area_threshold=0.09))
    assert label_maps(Pixelwise(), scores, kept, (1, 12)).flatten().tolist() == row.tolist()


def test_a_label_beyond_the_benchmark_is_an_error_naming_label_image_and_benchmark():
    labels = torch.full((1, 5, 7), 3)
    with pytest.raises(InputError, match=r"label 3 in \('k4',\) exceeds benchmark 'plain'"):
        scored([batch(random_images(1), labels, start=4)])


def test_ignored_pixels_do_not_count():
    images = random_images()
    labels = images.argmax(1)
    labels[:, 2:] = IGNORE
    assert scored([batch(images, labels)]).miou == 1


@pytest.mark.parametrize("batches", [[], [batch(torch.zeros(1, 3, 5, 7), None)]])
def test_no_labelled_image_is_an_error(batches):
    with pytest.raises(InputError, match=r"no labelled image .*'plain'"):
        scored(batches)


def test_skipped_images_are_named_in_the_scores_and_not_counted():
    images = random_images(2)
    nothing = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    lost = Batch((), nothing, None, (Lost("s.tar", "k9", "OSError", "torn"),))
    scores = scored([lost, batch(images, images.argmax(1)), lost])
    assert scores.images == 2
    assert scores.skipped == ("s.tar k9: OSError: torn",) * 2


def test_labels_of_a_wider_benchmark_are_mapped():
    narrow = Benchmark(
        name="narrow", classes=("a", "b", "c"), background=False, label_map=(IGNORE, 2, 1, 0, 0)
    )
    labels = torch.tensor([[0, 1, 2, 3, 4, IGNORE]])
    assert narrow.mapped(labels, "k").tolist() == [[IGNORE, 2, 1, 0, 0, IGNORE]]
    assert torch.equal(PLAIN.mapped(labels.clamp(max=2), "k"), labels.clamp(max=2))
    images = random_images()
    wide = torch.tensor([3, 2, 1])[images.argmax(1)]
    wide[:, 0] = 0
    assert scored([batch(images, wide)], narrow).miou == 1
    with pytest.raises(InputError, match="label 5"):
        narrow.mapped(torch.tensor([5]), "k")


def test_seen_and_unseen_classes_are_scored_apart():
    split = replace(PLAIN, unseen=frozenset({"c"}))
    images = torch.eye(3)[None].mT.unsqueeze(2).expand(1, 3, 4, 3)
    scores = scored([batch(images, torch.tensor([[[0, 0, 2]] * 4]))], split)
    assert (scores.seen_miou, scores.unseen_miou) == (0.25, 1)
    assert scores.hiou == pytest.approx(0.4)


def test_images_of_ignored_pixels_alone_have_no_score_and_no_curve():
    images = random_images(2)
    asked = task(OBJECTS, replace(WHOLE, background_threshold=0.3))
    nothing = [batch(images, torch.full((2, 5, 7), IGNORE))]
    cpu = torch.device("cpu")
    tally = tally_batches(Pixelwise(), nothing, asked, cpu, thresholds=(0.3, 0.6), boundary=True)
    scores = scores_of(tally, asked)
    assert scores.images == 2
    assert all(map(math.isnan, [scores.miou, scores.pixel_accuracy, *scores.per_class.values()]))
    assert threshold_curve(tally, math.nan) is None
    assert [math.isnan(image.pixel_accuracy) for image in image_scores(tally, 0.3)] == [True, True]
