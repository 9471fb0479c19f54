"""What an epoch shows of a labelled sample: image and label map cut alike, unseen classes ignored."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zeroseg.data.augmentation import PADDING, Augmentation, Colours, Place
from zeroseg.data.transforms import LabelledCrops
from zeroseg.datasets.benchmarks import IGNORE, Benchmark
from zeroseg.errors import InputError
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


def shown(labels, key="k", epoch=0, benchmark=BENCHMARK, unseen="hidden", **fields):
    augmentation = Augmentation(**{"size": 24, "jitter": 0.0} | fields)
    return LabelledCrops(augmentation, benchmark, unseen)(sample(labels, key), epoch)


@given(st.integers(20, 60), st.integers(20, 60), st.integers(0, 5), st.text("abc", min_size=1))
def test_image_and_label_map_move_together_and_unseen_classes_are_ignored(
    height, width, epoch, key
):
    drawn = shown(halves(height, width), key, epoch)
    red, labels = drawn["images"][0].int(), drawn["labels"]
    assert labels.shape == red.shape == (24, 24)
    assert labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {0, 1, IGNORE}
    # Resizing mixes colours beside edges; away from them red is 60 times the label.
    known = labels != IGNORE
    edge = F.pad(torch.zeros(22, 22, dtype=torch.bool), (1, 1, 1, 1), value=True)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    far = known & ~F.max_pool2d(edge[None].float(), 11, 1, 5)[0].bool()
    assert ((red - 60 * labels)[far].abs() <= 1).all()


def test_what_is_padded_is_grey_and_ignored():
    drawn = shown(np.ones((30, 60), np.uint8), scale=(0.5, 0.5))
    assert drawn["labels"][:12].unique().tolist() == [1]
    assert drawn["labels"][12:].unique().tolist() == [IGNORE]
    assert drawn["images"][:, 12:].unique().tolist() == [PADDING]


def test_a_crop_has_the_pixels_that_it_has_in_the_whole_scaled_picture():
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.integers(0, 256, (3, 50, 70), np.uint8))
    augmentation = Augmentation(size=16, jitter=0.0)
    for scaled in ((100, 140), (25, 35)):
        whole = Augmentation(size=140, jitter=0.0)
        all_of_it = whole.picture(image, Place(scaled, 0, 0, False), Colours())
        part = augmentation.picture(image, Place(scaled, 7, 9, False), Colours()).int()
        assert (part - all_of_it[:, 7:23, 9:25].int()).abs().max() <= 1
        flipped = augmentation.picture(image, Place(scaled, 7, 9, True), Colours()).int()
        assert torch.equal(part, flipped.flip(2))


@given(st.integers(0, 3))
def test_a_crop_is_a_function_of_seed_epoch_and_key(epoch):
    photo = np.random.default_rng(0).integers(0, 2, (40, 50), np.uint8)
    one, same, *others = [
        shown(photo, key, at, seed=seed, jitter=1.0)
        for seed, key, at in [
            (0, "k", epoch),
            (0, "k", epoch),
            (1, "k", epoch),
            (0, "l", epoch),
            (0, "k", epoch + 1),
        ]
    ]
    assert torch.equal(one["images"], same["images"])
    assert torch.equal(one["labels"], same["labels"])
    for other in others:
        assert not torch.equal(one["images"], other["images"])


def test_colours_are_changed_as_hue_saturation_brightness_and_contrast_say():
    red = Image.new("RGB", (1, 1), (200, 40, 40))

    def changed(**fields):
        return Colours(**fields).of(red).getpixel((0, 0))

    assert changed() == (200, 40, 40)
    assert changed(brightness=30.0) == (230, 70, 70)
    assert changed(contrast=0.5) == changed(contrast=0.5, contrast_first=True) == (100, 20, 20)
    assert changed(contrast=2.0) == (255, 80, 80)
    assert changed(saturation=0.5)[0] == 200
    assert changed(saturation=0.5)[1] == pytest.approx(120, abs=2)
    assert changed(hue=85) == pytest.approx((40, 200, 40), abs=5)  # a third of the circle
    # The order tells where contrast cuts levels off: it takes the saturation with them.
    assert changed(contrast=2.0, saturation=0.5)[1] == pytest.approx(240, abs=4)
    assert changed(contrast=2.0, saturation=0.5, contrast_first=True)[1] == pytest.approx(
        167, abs=4
    )


def test_jitter_is_drawn_within_its_reach_and_half_the_time():
    drawn = [Augmentation().draw(str(i), 0, 50, 60)[1] for i in range(400)]
    for field, neutral, reach in (
        ("brightness", 0, 32),
        ("contrast", 1, 0.5),
        ("saturation", 1, 0.5),
        ("hue", 0, 26),
    ):
        values = np.array([getattr(colours, field) for colours in drawn]) - neutral
        assert 0.4 < (values == 0).mean() < 0.6
        assert 0.9 * reach < np.abs(values).max() <= reach


@given(st.integers(0, 9))
def test_it_is_all_the_same_which_unseen_class_a_pixel_is_of(seed):
    benchmark = replace(BENCHMARK, unseen=frozenset({"cat", "dog"}))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (30, 40), np.uint8)
    painted = np.where(labels == 0, 0, rng.integers(1, 3, labels.shape, np.uint8))
    image = sample(labels).members["webp"]
    transform = LabelledCrops(Augmentation(size=24), benchmark)
    one, other = (
        transform(RawSample("s", "k", {"webp": image, "png": png(truth)}), 0)
        for truth in (labels, painted)
    )
    assert torch.equal(one["labels"], other["labels"])
    assert torch.equal(one["images"], other["images"])
    assert set(one["labels"].unique().tolist()) <= {0, IGNORE}


def test_classes_are_found_by_name_in_the_order_of_the_shards():
    shards = ShardSet((), (), (), (), (), (), classes=("dog", "grass", "cat"))
    transform = LabelledCrops(Augmentation(size=8, scale=(1.0, 1.0)), BENCHMARK).on(shards)
    drawn = transform(sample(np.zeros((30, 30), np.uint8)), 0)
    assert drawn["labels"].unique().tolist() == [IGNORE]  # all dog, which is unseen


def test_labels_of_unseen_classes_pass_where_a_model_predicted_them_and_nowhere_else():
    transform = LabelledCrops(Augmentation(size=8, scale=(1.0, 1.0)), BENCHMARK, "pseudo")
    told = {"kind": "pseudo labels", "benchmark": "pets"}
    predicted = ShardSet((), (), (), (), (), (), CLASSES, (told,))
    drawn = transform.on(predicted)(sample(np.full((30, 30), 2, np.uint8)), 0)
    assert drawn["labels"].unique().tolist() == [2]
    for origins in (({"kind": "voc"},), (told, {}), (told | {"benchmark": "pets-k2"},), ()):
        with pytest.raises(InputError, match="write such shards with `zeroseg label`"):
            transform.on(replace(predicted, origins=origins))


@pytest.mark.parametrize(
    "fields", [{"size": 0}, {"scale": (2.0, 0.5)}, {"scale": (0.0, 1.0)}, {"jitter": -1.0}]
)
def test_an_augmentation_that_cannot_be_is_refused(fields):
    with pytest.raises(InputError, match=next(iter(fields))):
        Augmentation(**fields)


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
        LabelledCrops(Augmentation(size=8), BENCHMARK)(RawSample("s", "k", members), 0)
