import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from pipelines.train_teacher import TeacherConfig
from shards import scenes
from shards.build import Limits, build
from shards.drawing import draw_object, stuff_texture
from shards.scenes import (
    LABELLED,
    OBJECTS,
    SEEN_OBJECTS,
    SIZE,
    SPLITS,
    STUFF,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
)
from zeroseg.data.evaluation import evaluation_batches
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

UNSEEN = {SCENES.classes.index(name) for name in SCENES.unseen}


def drawn(split: Split) -> list:
    return [sample for i in range(split.images) for sample in scenes.draw(split, i)]


def drawn_classes(split: Split, count: int) -> set[int]:
    labels = [
        scenes.scene(np.random.default_rng([split.seed, i]), split.objects)[1] for i in range(count)
    ]
    return set(np.unique(labels).tolist())


def test_a_split_drawn_twice_gives_the_same_bytes():
    split = Split(name="x", images=3, seed=5)
    assert list(drawn(split)) == list(drawn(split))


def test_a_scene_depends_on_seed_and_index_alone():
    few, many = (Split(name="x", images=n, seed=5) for n in (2, 4))
    assert list(drawn(few)) == list(drawn(many))[:2]


def test_scenes_of_different_seeds_and_indices_differ():
    images = [s.image for seed in (5, 6) for s in drawn(Split(name="x", images=3, seed=seed))]
    assert len(set(images)) == 6


def test_no_two_parts_of_the_world_share_a_seed():
    seeds = [*(split.seed for split in SPLITS.values()), TeacherConfig().seed]
    assert all(a != b for a, b in combinations(seeds, 2))


def test_training_scenes_hold_every_seen_class_and_no_unseen_one():
    assert drawn_classes(TRAIN, 200) == set(range(len(SCENES.classes))) - UNSEEN


@pytest.mark.parametrize("split", [VALIDATION, TEST, LABELLED], ids=lambda s: s.name)
def test_scenes_of_other_parts_hold_every_class(split):
    assert drawn_classes(split, 200) == set(range(len(SCENES.classes)))


def test_objects_and_stuff_partition_the_classes():
    assert SCENES.classes == STUFF + OBJECTS
    assert set(OBJECTS) - set(SEEN_OBJECTS) == SCENES.unseen


def test_a_sample_decodes_to_the_picture_and_exactly_the_labels_drawn():
    (sample,) = drawn(Split(name="x", images=1, seed=9))
    image, labels = scenes.scene(np.random.default_rng([9, 0]))
    photo = np.array(Image.open(io.BytesIO(sample.image)))
    assert sample.key == "x-000000"
    assert photo.shape == image.shape == (SIZE, SIZE, 3)
    assert np.abs(photo.astype(float) - image).mean() < 10
    assert np.array_equal(Image.open(io.BytesIO(sample.labels)), labels)


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_is_drawn_in_its_own_label_over_a_plausible_area(name):
    size, radius = 300, 28
    image, labels = np.zeros((size, size, 3), np.float32), np.full((size, size), 255, np.uint8)
    draw_object(name, image, labels, radius, np.random.default_rng(0))
    drawn = labels == SCENES.classes.index(name)
    assert set(np.unique(labels)) == {SCENES.classes.index(name), 255}
    assert 0.3 < drawn.sum() / (2 * radius) ** 2 < 0.8
    assert np.array_equal(image.any(-1), drawn)


@pytest.mark.parametrize("name", STUFF)
def test_stuff_covers_the_whole_square_with_a_texture(name):
    texture = stuff_texture(name, np.random.default_rng(0), 40)
    assert texture.shape == (40, 40, 3)
    assert np.isfinite(texture).all()
    assert texture.std(axis=(0, 1)).min() > 0.01


def named(caption: str) -> list[str]:
    things, _, stuff = caption.removeprefix("a photo of ").partition(" on ")
    parts = things.split(" and ") + (stuff.split(" and ") if stuff else [])
    return [part.removeprefix("a ") for part in parts]


@given(
    labels=hnp.arrays(np.uint8, (6, 6), elements=st.integers(0, len(SCENES.classes) - 1)),
    seed=st.integers(0, 1000),
    share=st.sampled_from([0.0, 0.03]),
)
def test_a_caption_names_once_each_only_what_covers_more_than_the_share(labels, seed, share):
    names = named(scenes.caption(labels, np.random.default_rng(seed), share))
    counts = [(labels == SCENES.classes.index(name)).mean() for name in names]
    assert min(counts) > share
    assert len(set(names)) == len(names)


def test_a_caption_names_an_object_before_the_stuff_around_it():
    labels = np.zeros((10, 10), np.uint8)
    labels[:5] = SCENES.classes.index("red ball")
    captions = {scenes.caption(labels, np.random.default_rng(i)) for i in range(40)}
    assert captions == {
        f"a photo of {thing}{place}"
        for thing in ("red ball", "a red ball")
        for place in ("", " on grass")
    }


def test_written_scenes_are_read_back_by_the_evaluation(tmp_path):
    build(scenes.Scenes("val", 2).source(), str(tmp_path), Limits(workers=0))
    reader = ShardReader(open_set(str(tmp_path), ShardCache()), ShardCache())
    (batch,) = evaluation_batches(reader, lambda size: size, batch_size=2)
    assert batch.keys == ("val-000000", "val-000001")
    assert int(batch.labels.max()) < len(SCENES.classes)
