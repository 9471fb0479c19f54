"""Steps of `zeroseg curate`, each by itself, on facts that are written here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.curation.facts import SIDE, Facts, grey_levels, thumbnail
from pipelines.curation.levels import levels_of
from pipelines.curation.steps import (
    Junk,
    exact_duplicates,
    junk,
    near_duplicates,
    same_pictures,
    unusable,
)
from shards.sample import encoded
from zeroseg.data.images import decode_image, resized
from zeroseg.data.unit_vectors import unit


def facts(count: int, **known) -> Facts:
    """Of images a, b, c, ... of 100 x 100 pixels, none like another but for what is given."""
    rng = np.random.default_rng(count)
    plain = {
        "keys": np.array([f"{number:03d}".encode() for number in range(count)]),
        "digests": rng.integers(0, 256, (count, 32), dtype=np.uint8),
        "sizes": np.full((count, 2), 100),
        "levels": np.full((count, 3), (50, 0.1, 0), np.float32),
        "thumbnails": rng.standard_normal((count, SIDE**2)).astype(np.float16),
        "rows": rng.standard_normal((count, 64)).astype(np.float16),
    }
    every = plain | known
    told = {"shown": every["thumbnails"].any(axis=1), "embedded": every["rows"].any(axis=1)}
    return Facts(**every | told)


def everything(of: Facts) -> np.ndarray:
    return np.ones(len(of), bool)


def test_junk_goes_by_the_first_rule_that_it_breaks():
    sizes = np.array([[100, 100], [63, 100], [64, 100], [600, 100], [500, 100], [40, 400]])
    sizes = np.concatenate([sizes, np.full((4, 2), 100)])
    levels = np.full((10, 3), (50, 0.1, 0), np.float32)
    levels[:6, 0] = [3.9, 50, 4.0, 50, 50, 1]
    levels[6:, 1:] = [[0.65, 8], [0.64, 9], [0.99, 7.9], [0.9, 0]]
    of = facts(10, sizes=sizes, levels=levels)
    found = {number: verdict.reason for number, verdict in junk(of, everything(of), Junk()).items()}
    assert found == {0: "flat", 1: "tiny", 3: "narrow", 5: "flat", 6: "text"}
    assert junk(of, everything(of), Junk(flat=0, tiny=0, narrow=0, text=0)) == {}
    uniform = junk(of, everything(of), Junk(flat=0, tiny=0, narrow=0, text=0, uniform=0.9))
    assert list(uniform) == [8, 9]
    left = everything(of)
    left[0] = False
    assert 0 not in junk(of, left, Junk())


def test_levels_of_stripes_are_those_of_arithmetic():
    grey = torch.full((12, 40), 200.0)
    grey[:, ::4] = 10  # ten columns of ink: twenty edges along a row but one, none along a column
    found = levels_of(grey)
    assert found.ground == 0.75
    assert found.strokes == 0
    assert found.flatness == pytest.approx(190 * (0.25 * 0.75) ** 0.5)
    grey[::3] = 200
    grey[:, 1::4] = 195  # is ground still
    assert levels_of(grey).ground == pytest.approx(1 - 80 / 480)
    assert levels_of(grey).strokes == pytest.approx(min(19 * 8 / 12, 7 * 10 / 40))


@pytest.mark.parametrize("level", [0, 3, 128, 252, 255])
def test_a_picture_of_one_level_is_all_ground_without_strokes(level):
    assert levels_of(torch.full((9, 7), float(level))) == (0, 1, 0)


def test_levels_do_not_change_when_the_picture_is_turned_or_mirrored():
    grey = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (30, 50))).float()
    first = levels_of(grey)
    for other in (grey.flip(0), grey.flip(1), grey.T):
        assert levels_of(other) == pytest.approx(first)


def test_what_cannot_be_read_goes_and_what_has_no_embedding():
    sizes = np.array([[0, 0], [9, 9], [9, 9]])
    rows = np.array([[0, 0], [0, 0], [0, 1]], np.float16)
    of = facts(3, sizes=sizes, rows=rows)
    found = unusable(of, everything(of))
    assert {n: v.reason for n, v in found.items()} == {0: "unreadable", 1: "no embedding"}
    without = facts(3, sizes=sizes, rows=np.empty((3, 0), np.float16))
    assert list(unusable(without, everything(without))) == [0]


def test_of_near_copies_that_of_most_pixels_stays_then_the_first_key():
    of = facts(6)
    rows = unit(of.rows)
    rows[3] = unit(rows[[0]] + 0.05 * rows[[4]])[0]
    rows[5] = unit(rows[[1]] + 0.05 * rows[[4]])[0]
    sizes = of.sizes.copy()
    sizes[3] = 200
    of = facts(6, rows=rows, sizes=sizes)
    found = near_duplicates(of, everything(of), 0.99)
    assert {n: (v.reason, v.instead) for n, v in found.items()} == {
        0: ("near duplicate", 3),
        5: ("near duplicate", 1),
    }
    assert found[0].cosine == pytest.approx(float(rows[0] @ rows[3]), abs=1e-4)
    left = everything(of)
    left[[0, 1]] = False
    assert near_duplicates(of, left, 0.99) == {}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_of_one_file_the_first_key_stays(files, data):
    digests = np.repeat(np.array(files, np.uint8)[:, None], 32, axis=1)
    keys = data.draw(st.permutations(range(len(files))))
    of = facts(len(files), digests=digests, keys=np.array([f"{k:02d}".encode() for k in keys]))
    found = exact_duplicates(of, everything(of))
    stay = set(range(len(files))) - found.keys()
    assert sorted(files[number] for number in stay) == sorted(set(files))
    for number, verdict in found.items():
        assert verdict.instead in stay
        assert files[verdict.instead] == files[number]
        assert keys[verdict.instead] < keys[number]


def test_thumbnails_are_alike_whatever_the_size_file_and_brightness():
    rng = np.random.default_rng(0)
    small = rng.integers(30, 200, (2, 8, 8, 1), dtype=np.uint8).repeat(3, axis=-1)
    photo, other = (Image.fromarray(p).resize((320, 240), Image.Resampling.BICUBIC) for p in small)
    smaller = photo.resize((80, 60)).point(lambda level: level * 0.8 + 20)
    flat = Image.new("RGB", (64, 64), (9, 99, 9))
    files = [encoded(np.array(p), "jpeg", quality=60) for p in (photo, smaller, other, flat, flat)]
    rows = [thumbnail(grey_levels(data)) for data in files]
    of = facts(5, thumbnails=np.array(rows, np.float16), sizes=np.array([[9, 9]] * 5))
    found = same_pictures(of, everything(of), 0.98)
    assert {n: v.instead for n, v in found.items()} == {1: 0}


@pytest.mark.real
def test_real_photos_stored_again_smaller_go_and_no_others(real):
    photos = sorted(Path(real, "photos/imagenet").iterdir())[:120:2]
    images = [decode_image(path.read_bytes()) for path in photos]
    copies = [resized(i, (i.shape[1] // 3, i.shape[2] // 3)) for i in images[::3]]
    files = [path.read_bytes() for path in photos]
    files += [encoded(c.permute(1, 2, 0).numpy(), "jpeg", quality=60) for c in copies]
    rows = np.array([thumbnail(grey_levels(data)) for data in files], np.float16)
    of = facts(len(files), thumbnails=rows)
    found = same_pictures(of, everything(of), 0.98)
    assert {n: v.instead for n, v in found.items()} == {60 + n: 3 * n for n in range(20)}
