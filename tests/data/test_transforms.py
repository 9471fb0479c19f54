"""What an epoch shows of a labelled sample: image and label map cut alike, unseen classes ignored."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zeroseg.data.augmentation import Augmentation
from zeroseg.data.crops import Crop
from zeroseg.data.transforms import LabelledCrops, cut_labels
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.store.reader import RawSample
from zeroseg.store.shard_set import ShardSet

CLASSES = ("grass", "cat", "dog")
BENCHMARK = Benchmark(name="pets", classes=CLASSES, background=False, unseen=frozenset({"dog"}))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def sample(labels: np.ndarray, key: str = "k") -> RawSample:
    """An image whose red is 60 times its label."""
    image = np.zeros((*labels.shape, 3), np.uint8)
    image[..., 0] = 60 * labels
    # In a release the image is a JPEG; a lossless one keeps pixels comparable with labels.
    return RawSample("shard-0.tar", key, {"webp": lossless(image), "png": png(labels)})


def lossless(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", lossless=True, exact=True)
    return buffer.getvalue()


def halves(height: int, width: int) -> np.ndarray:
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    labels[height // 2 :] = 2
    return labels


@given(st.integers(20, 60), st.integers(20, 60), st.integers(0, 5), st.text("abc", min_size=1))
def test_image_and_label_map_are_cut_alike_and_unseen_classes_are_ignored(
    height, width, epoch, key
):
    shown = LabelledCrops(augmentation=Augmentation(size=16), benchmark=BENCHMARK)(
        sample(halves(height, width), key), epoch
    )
    red, labels = shown["images"][0].int(), shown["labels"]
    assert labels.shape == red.shape == (16, 16)
    assert set(labels.unique().tolist()) <= {0, 1, IGNORE}
    # Resizing mixes colours over at most two pixels beside an edge; away from edges they agree.
    expected = torch.where(labels == IGNORE, 120, 60 * labels)
    agree = ((red - expected).abs() < 30).float().mean()
    assert agree > 0.7


@given(st.integers(0, 3))
def test_a_crop_is_a_function_of_seed_epoch_and_key(epoch):
    shown = [
        LabelledCrops(augmentation=Augmentation(size=16, seed=seed), benchmark=BENCHMARK)(
            sample(halves(40, 50), key), at
        )
        for seed, key, at in [(0, "k", epoch), (0, "k", epoch), (1, "k", epoch), (0, "l", epoch)]
    ]
    assert torch.equal(shown[0]["images"], shown[1]["images"])
    assert not all(torch.equal(shown[0]["images"], other["images"]) for other in shown[2:])


def test_a_label_is_that_of_the_pixel_at_its_centre():
    labels = torch.arange(16).view(4, 4)
    whole = Crop(0, 0, 4, 4, False)
    assert cut_labels(labels, whole, 2).tolist() == [[5, 7], [13, 15]]
    assert cut_labels(labels, whole._replace(flip=True), 2).tolist() == [[7, 5], [15, 13]]
    assert torch.equal(cut_labels(labels, whole, 4), labels)


def test_classes_are_found_by_name_in_the_order_of_the_shards():
    shards = ShardSet((), (), (), (), (), (), classes=("dog", "grass", "cat"))
    transform = LabelledCrops(augmentation=Augmentation(size=8), benchmark=BENCHMARK).on(shards)
    shown = transform(sample(np.zeros((30, 30), np.uint8)), 0)
    assert shown["labels"].unique().tolist() == [IGNORE]  # all dog, which is unseen


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"json": b"{}"}, "no image"),
        ({"webp": lossless(np.zeros((4, 4, 3), np.uint8))}, "no label map"),
        (
            {
                "webp": lossless(np.zeros((4, 5, 3), np.uint8)),
                "png": png(np.zeros((4, 4), np.uint8)),
            },
            "image is",
        ),
    ],
)
def test_a_sample_that_lacks_a_part_says_which(members, says):
    with pytest.raises(ValueError, match=says):
        LabelledCrops(augmentation=Augmentation(size=8), benchmark=BENCHMARK)(
            RawSample("s", "k", members), 0
        )
