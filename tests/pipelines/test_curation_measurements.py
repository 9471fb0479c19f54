"""What the measurements of docs/curation.md are made of: their corpus, and how a cosine is chosen."""

import io
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from benchmarks.copies import CHANGES
from benchmarks.curated_corpus import FLOOD, FREQUENT, KINDS, VARIED, corpus, pictures, read
from benchmarks.curated_training import BenchmarkConfig, draw, stays
from benchmarks.duplicates import chosen
from benchmarks.leaks import Found, lowest, measured
from benchmarks.words import likeness, names_told, of_word
from shards.build import Limits, build
from shards.scenes import draw as draw_scene
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets.benchmarks import SCENES


@pytest.mark.parametrize("images", [20, 12_000])
def test_half_of_the_corpus_is_copies_and_four_fifths_of_the_rest_the_flood(images):
    found = pictures(images)
    scenes = [picture for picture in found if not picture.copy]
    assert len(found) == len({picture.key for picture in found}) == images
    assert len(scenes) == images / 2
    assert sum(picture.motif == FLOOD.name for picture in scenes) == len(scenes) * 4 / 5
    known = {(picture.motif, picture.scene) for picture in scenes}
    assert all((picture.motif, picture.scene) in known for picture in found)
    kinds = Counter(picture.kind for picture in found if picture.copy)
    assert set(kinds) == set(KINDS) <= set(CHANGES)
    assert max(kinds.values()) - min(kinds.values()) <= 1


def test_the_flood_holds_three_classes_alone_and_the_others_all_that_are_seen():
    shown = {
        split.name: {
            SCENES.classes[label]
            for index in range(40)
            for sample in draw_scene(split, index)
            for label in np.unique(decode_labels(sample.labels)).tolist()
        }
        for split in (FLOOD, VARIED)
    }
    assert shown[FLOOD.name] == FREQUENT
    assert len(FREQUENT) == 3
    assert shown[VARIED.name] == set(SCENES.classes) - SCENES.unseen


def test_a_copy_is_of_the_picture_that_it_says():
    copy = next(p for p in pictures(20) if p.kind == "half the size")
    (sample,) = read(copy)
    (scene,) = draw_scene({FLOOD.name: FLOOD, VARIED.name: VARIED}[copy.motif], copy.scene)
    small, whole = (Image.open(io.BytesIO(s.image)).convert("RGB") for s in (sample, scene))
    assert [2 * side for side in small.size] == list(whole.size)
    shrunk = np.asarray(whole.resize(small.size), float)
    assert np.abs(np.asarray(small, float) - shrunk).mean() < 12
    assert sample.labels is None
    assert copy.key.startswith(scene.key)


def test_a_third_is_drawn_and_told_by_what_it_holds(tmp_path):
    config = BenchmarkConfig(images=30, output=tmp_path)
    build(corpus(30), str(config.shards / "train"), Limits(images_per_shard=8, workers=0))
    for seed in (0, 1):
        draw(config, config.selection("random third", seed), seed)
    images, flood, varied, again = stays(config.selection("random third", 0))
    assert images == 10 == flood + varied + again
    steps = [
        json.loads((config.selection("random third", seed) / "selection.json").read_text())
        for seed in (0, 1)
    ]
    assert steps[0]["digest"] != steps[1]["digest"]


def test_duplicates_are_from_the_highest_cosine_that_finds_what_is_meant_with_precision():
    table = {
        0.9: {"precision": 1.0, "a": 1.0, "b": 1.0},
        0.92: {"precision": 0.99, "a": 0.99, "b": 0.5},
        0.94: {"precision": 1.0, "a": 0.98, "b": 0.0},
    }
    assert chosen(table, ("a",)) == 0.92
    assert chosen(table, ("a", "b")) == 0.9


def test_leaks_are_from_the_lowest_cosine_above_which_precision_never_falls_short():
    table = {c: {"precision": p} for c, p in ((0.8, 1.0), (0.85, 0.9), (0.9, 0.99), (0.95, 1.0))}
    assert lowest(table) == 0.9
    assert lowest({0.8: {"precision": 0.5}, 0.9: {"precision": 0.5}}) == 0.9


def test_a_copy_counts_for_its_own_photo_alone_and_a_training_photo_never():
    origins = np.concatenate([[-1, -1], np.tile([0, 1], len(CHANGES))])
    photos = np.concatenate([[0, 1], np.tile([0, 0], len(CHANGES))])
    cosines = np.concatenate([[0.95, 0.5], np.full(2 * len(CHANGES), 0.97)])
    row = measured(origins, [(Found(cosines, photos), 0.9)])
    assert row["training photos"] == 1
    assert row["precision"] == round(len(CHANGES) / (2 * len(CHANGES) + 1), 4)
    assert {row[kind] for kind in CHANGES} == {0.5}
    assert measured(origins, [(Found(cosines, photos), 0.99)])["precision"] == 1


def test_a_word_is_told_beside_chance():
    cosines = np.array([0.9, 0.1, 0.5, 0.2, 0.4])
    has = np.array([True, False, False, True, False])
    found = of_word(cosines, has)
    assert found[:3] == (2, 0.4, 0.5)  # of the two most like it one has it
    assert found[3:] == pytest.approx((0.55, 0.4))


def test_photos_of_names_are_counted_and_those_most_like_a_name_compared():
    rows = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [-1, 0], [0, 1]], np.float32)
    which, cosines = np.array([0, 0, 0, 0, 0, 2]), np.array([0.9, 0.8, 0.1, 0.2, 0.3, 0.5])
    told = names_told(("a", "b", "c"), which, 2)
    assert told.startswith("6 photos, 3 names: 3 photos beyond 2 of their name, 1 names without")
    ((best, drawn),) = likeness(rows, which, cosines, 2)
    assert best == 1
    assert drawn < 1
    assert list(likeness(rows, which, cosines, 3)) == []
