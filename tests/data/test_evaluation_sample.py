import io
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from shards import scenes
from shards.build import Limits, build
from tests.support.queries import queries
from zeroseg import InputError
from zeroseg.data.evaluation import evaluation_batches, evaluation_sample
from zeroseg.evaluation.inference import best_class, window_scores
from zeroseg.evaluation.protocols import Protocol
from zeroseg.store.reader import RawSample, ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

PATCH = 16
CACHE = ShardCache(retries=0)


class Colours:
    """A patch is as its mean colour; no window or image may be of another size than whole patches."""

    multiple = PATCH

    def predict(self, images, queries):
        assert not images.shape[2] % PATCH
        assert not images.shape[3] % PATCH
        patches = torch.nn.functional.avg_pool2d(images, PATCH)
        return torch.einsum("bchw,kc->bkhw", patches, queries.embeddings)


def sample(size: tuple[int, int]) -> RawSample:
    """A picture whose left half is red, and its label map."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:, : size[1] // 2, 0] = pixels[:, size[1] // 2 :, 1] = 255
    files = {"png": Image.fromarray(pixels[..., 1] // 255), "webp": Image.fromarray(pixels)}
    members = {}
    for kind, picture in files.items():
        buffer = io.BytesIO()
        picture.save(buffer, kind, lossless=True)
        members[kind] = buffer.getvalue()
    return RawSample("shard", "key", members)


def test_an_image_without_a_label_map_is_an_error_that_says_what_is_missing():
    found = sample((4, 4))
    del found.members["png"]
    with pytest.raises(ValueError, match=r"no label map \(png\) among its members \['webp'\]"):
        evaluation_sample(found, lambda size: size)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (448, 448)),
        ((375, 500), (448, 597)),
        ((100, 1000), (208, 2048)),
        ((1000, 100), (2048, 208)),
        ((1, 3000), (16, 2048)),
    ],
)
def test_single_pixels_and_panoramas_are_segmented_as_any_picture(size, expected):
    decoded = evaluation_sample(sample(size), partial(Protocol().picture_size, multiple=PATCH))
    assert decoded["images"].shape == (3, *expected)
    assert decoded["labels"].shape == size
    images = decoded["images"][None].float() / 255
    scores = window_scores(Colours(), images, queries(torch.eye(3)[:2]), window=448, stride=224)
    _, index = best_class(scores, size, torch.arange(2))
    assert index.shape == (1, *size)
    wrong = (index[0] != decoded["labels"]).sum()
    assert wrong <= size[0] * size[1] * 0.02


def test_a_shard_that_cannot_be_had_ends_an_evaluation_by_name(tmp_path):
    build(scenes.Scenes("val", 6).source(), str(tmp_path), Limits(images_per_shard=3, workers=0))
    shards = open_set(str(tmp_path), CACHE)
    (tmp_path / "shard-000001.tar").unlink()
    batches = evaluation_batches(ShardReader(shards, CACHE), lambda size: size, batch_size=2)
    with pytest.raises(InputError, match=r"shard-000001\.tar.*unreadable shard"):
        list(batches)
