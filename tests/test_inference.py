import json
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from zeroseg.data.batch import Batch, Lost
from zeroseg.data.benchmarks import IGNORE, Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.evaluate import Protocol, Scores, evaluate, mapped_labels, sweep
from zeroseg.evaluation.inference import Segmenter, label_map, slide, window_starts

PLAIN = Benchmark(name="plain", classes=("a", "b", "c"), background=False)
OBJECTS = Benchmark(name="objects", classes=("background", "a", "b", "c"), background=True)
WHOLE = Protocol(window=0)
generator = torch.Generator().manual_seed(0)


class Pixelwise:
    """Takes a pixel's three channels for the scores of three classes."""

    def predict(self, images, class_embeddings):
        scores = torch.einsum("bchw,kc->bkhw", images, class_embeddings)
        return scores / scores.sum(1, keepdim=True)


class WindowNumber:
    """Gives the first window 0, the second 1 and so on."""

    def __init__(self):
        self.seen = -1

    def predict(self, images, class_embeddings):
        self.seen += 1
        return torch.full((1, len(class_embeddings), *images.shape[2:]), float(self.seen))


def random_images(count: int = 6, size: tuple[int, int] = (5, 7)) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, *size), generator=generator) / 255


def batch(images: torch.Tensor, labels: torch.Tensor | None, start: int = 0) -> Batch:
    keys = tuple(f"k{start + i}" for i in range(len(images)))
    return Batch(keys, (images * 255).round().byte(), labels)


def scored(batches: list[Batch], benchmark=PLAIN, protocol=WHOLE, segmenter=None) -> Scores:
    names = torch.eye(len(benchmark.names))
    accelerator = Accelerator(cpu=True)
    return evaluate(segmenter or Pixelwise(), batches, benchmark, names, protocol, accelerator)


@given(st.integers(1, 300), st.integers(1, 100), st.data())
def test_windows_cover_the_side_and_stay_inside(size, window, data):
    stride = data.draw(st.integers(1, window))
    starts = window_starts(size, window, stride)
    covered = {x for start in starts for x in range(start, min(start + window, size))}
    assert covered == set(range(size))
    assert starts == sorted(set(starts))
    assert min(starts) == 0
    assert max(starts) == max(0, size - window)


def test_windows_of_a_side_that_divides_evenly():
    assert window_starts(448, 224, 112) == [0, 112, 224]
    assert window_starts(500, 448, 224) == [0, 52]


@pytest.mark.parametrize(("window", "stride"), [(0, 0), (3, 2), (4, 4), (6, 1), (7, 3), (99, 50)])
def test_windows_change_nothing_for_a_segmenter_that_sees_single_pixels(window, stride):
    images = random_images()
    whole = Pixelwise().predict(images, torch.eye(3))
    assert torch.allclose(slide(Pixelwise(), images, torch.eye(3), window, stride), whole)


def test_overlapping_windows_are_averaged():
    seen = slide(WindowNumber(), torch.zeros(1, 3, 2, 5), torch.eye(2), window=3, stride=2)
    assert seen[0, 0].tolist() == [[0, 0, 0.5, 1, 1]] * 2


def test_anything_with_a_predict_method_is_a_segmenter():
    assert isinstance(Pixelwise(), Segmenter)
    assert not isinstance(object(), Segmenter)


def test_the_best_class_wins_at_every_pixel():
    scores = torch.tensor([[0.2, 0.5], [0.7, 0.3], [0.1, 0.2]])[None, :, None]
    assert label_map(scores, (1, 2), None).tolist() == [[[1, 0]]]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, [3, 1]), (0.5, [3, 1]), (0.50001, [0, 1]), (0.75, [0, 1]), (0.76, [0, 0]), (1, [0, 0])],
)
def test_a_pixel_is_background_only_below_the_threshold(threshold, expected):
    scores = torch.tensor([[0.25, 0.75], [0.25, 0.25], [0.5, 0.0]])[None, :, None]
    assert label_map(scores, (1, 2), float(threshold)).tolist() == [[expected]]


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (40, 8)])
def test_a_label_map_has_the_size_of_the_annotation(size):
    scores = torch.zeros(2, 3, 4, 6)
    scores[:, 2] = 1
    assert torch.equal(label_map(scores, size, None), torch.full((2, *size), 2))


def test_probabilities_are_interpolated_before_the_best_class_is_taken():
    scores = torch.tensor([[1.0, 0.0], [0.0, 0.9]])[None, :, None]
    assert label_map(scores, (1, 8), None).tolist() == [[[0, 0, 0, 0, 1, 1, 1, 1]]]
    assert label_map(scores, (1, 8), 0.8).tolist() == [[[1, 1, 1, 0, 0, 0, 2, 2]]]


def test_an_oracle_scores_one():
    images = random_images()
    scores = scored([batch(images, images.argmax(1))])
    assert scores.miou == scores.pixel_accuracy == 1
    assert scores.per_class == {"a": 1, "b": 1, "c": 1}
    assert (scores.images, scores.skipped, scores.hiou) == (6, [], None)


def test_a_known_mistake_has_a_known_score():
    images = torch.eye(3)[None].mT.unsqueeze(2).expand(1, 3, 4, 3)
    labels = torch.tensor([[[0, 0, 2]] * 4])
    scores = scored([batch(images, labels)])
    assert scores.per_class == {"a": 0.5, "b": 0, "c": 1}
    assert scores.miou == pytest.approx(0.5)
    assert scores.pixel_accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_scores_do_not_depend_on_the_batch_size_or_the_windows(size):
    images, labels = random_images(), torch.randint(3, (6, 5, 7), generator=generator)
    parts = [
        batch(i, t, n * size)
        for n, (i, t) in enumerate(zip(images.split(size), labels.split(size), strict=True))
    ]
    expected = scored([batch(images, labels)])
    assert scored(parts) == expected
    assert scored(parts[::-1], protocol=Protocol(window=4, stride=2)) == expected


def test_a_sweep_equals_one_evaluation_per_threshold():
    images, labels = random_images(), torch.randint(4, (6, 10, 14), generator=generator)
    thresholds = [0.3, 0.45, 0.6, 1.0]
    given = ([batch(images, labels)], OBJECTS, torch.eye(3), WHOLE, Accelerator(cpu=True))
    swept = sweep(Pixelwise(), *given, thresholds)
    single = [
        scored([batch(images, labels)], OBJECTS, replace(WHOLE, background_threshold=t))
        for t in thresholds
    ]
    assert swept == single
    assert len({s.miou for s in swept}) == 4
    assert swept[-1].per_class["background"] == pytest.approx((labels == 0).double().mean().item())


@pytest.mark.parametrize(("benchmark", "threshold"), [(PLAIN, 0.5), (OBJECTS, None)])
def test_a_threshold_without_background_or_the_other_way_round_is_an_error(benchmark, threshold):
    with pytest.raises(InputError, match=f"{benchmark.name}.*threshold"):
        scored([], benchmark, replace(WHOLE, background_threshold=threshold))


def test_a_label_beyond_the_benchmark_is_an_error_naming_label_image_and_benchmark():
    labels = torch.full((1, 5, 7), 3)
    with pytest.raises(InputError, match=r"label 3 in \('k4',\) exceeds benchmark 'plain'"):
        scored([batch(random_images(1), labels, start=4)])


def test_ignored_pixels_do_not_count():
    images = random_images()
    labels = images.argmax(1)
    labels[:, 2:] = IGNORE
    assert scored([batch(images, labels)]).miou == 1


@pytest.mark.parametrize("batches", [[], [batch(random_images(1), None)]])
def test_no_labelled_image_is_an_error(batches):
    with pytest.raises(InputError, match=r"no labelled image .*'plain'"):
        scored(batches)


def test_skipped_images_are_named_in_the_scores_and_not_counted():
    images = random_images(2)
    nothing = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    lost = Batch((), nothing, None, (Lost("s.tar", "k9", "OSError", "torn"),))
    scores = scored([lost, batch(images, images.argmax(1)), lost])
    assert scores.images == 2
    assert scores.skipped == ["s.tar k9: OSError: torn"] * 2


def test_labels_of_a_wider_benchmark_are_mapped():
    narrow = Benchmark(
        name="narrow", classes=("a", "b", "c"), background=False, label_map=(IGNORE, 2, 1, 0, 0)
    )
    labels = torch.tensor([[0, 1, 2, 3, 4, IGNORE]])
    assert mapped_labels(labels, narrow, ("k",)).tolist() == [[IGNORE, 2, 1, 0, 0, IGNORE]]
    assert torch.equal(mapped_labels(labels.clamp(max=2), PLAIN, ("k",)), labels.clamp(max=2))
    images = random_images()
    wide = torch.tensor([3, 2, 1])[images.argmax(1)]
    wide[:, 0] = 0
    assert scored([batch(images, wide)], narrow).miou == 1
    with pytest.raises(InputError, match="label 5"):
        mapped_labels(torch.tensor([5]), narrow, ("k",))


def test_seen_and_unseen_classes_are_scored_apart():
    split = replace(PLAIN, unseen=frozenset({"c"}))
    images = torch.eye(3)[None].mT.unsqueeze(2).expand(1, 3, 4, 3)
    scores = scored([batch(images, torch.tensor([[[0, 0, 2]] * 4]))], split)
    assert (scores.seen_miou, scores.unseen_miou) == (0.25, 1)
    assert scores.hiou == pytest.approx(0.4)
    assert json.loads(json.dumps(scores.to_json()))["hiou"] == scores.hiou
