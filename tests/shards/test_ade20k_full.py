import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import ade20k_full
from shards.ade20k_full import ADE20KFull
from shards.sample import encoded
from tests.support.corpora import bad, put, samples
from tests.support.pngs import deep_colours
from tests.support.releases import (
    ADE_FULL_FILES,
    ADE_OBJECTS,
    AIRPORT,
    PHOTO,
    first_row,
    good,
    ids,
    label_map,
    png,
    seg_png,
)
from zeroseg.datasets.benchmarks import ADE847, IGNORE

SEG = f"{AIRPORT}_seg.png"


@pytest.mark.parametrize("at", [".", "ADE20K_2021_17_01"])
def test_objects_become_847_classes_and_the_rest_is_ignored(tmp_path, at):
    put(str(tmp_path), ADE_FULL_FILES)
    source = ADE20KFull(tmp_path / at).source()
    (sample,) = samples(source)
    assert sample.key == "transportation/airport_terminal/ADE_val_00000001"
    assert sample.image == PHOTO
    assert first_row(sample) == [IGNORE, 0, 1, IGNORE, IGNORE, 846]
    assert (label_map(sample)[1:] == 846).all()
    assert source.classes == ADE847.classes
    assert source.classes[0] == "wall"
    assert source.classes[846] == "adding machine"
    assert list(good(ADE20KFull(tmp_path, "training").source())) == [
        "urban/street/ADE_train_00000001"
    ]


def test_every_number_of_the_release_is_known_and_each_class_has_one():
    assert ade20k_full.IDS.keys() == set(range(3689))
    kept = [label for label in ade20k_full.IDS.values() if label != IGNORE]
    assert sorted(kept) == list(range(847))


@given(st.lists(st.integers(0, 3688), min_size=48, max_size=48))
def test_an_object_is_tens_of_red_times_256_and_green(numbers):
    pixels = np.array(numbers).reshape(8, 6)
    assert ade20k_full.object_ids(seg_png(pixels)).tolist() == pixels.tolist()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            seg_png(np.where(ADE_OBJECTS == 1, 3689, ADE_OBJECTS)),
            "holds id 3689, which this dataset does",
        ),
        (seg_png(np.full((8, 6), 6655)), "holds id 6655, which this dataset does"),
        (encoded(np.full((8, 6, 3), 90, np.uint8), "jpeg"), "this is JPEG, mode RGB"),
        (encoded(np.full((8, 6, 3), 123, np.uint8), "png"), "a red of 123"),
        (png(ids(0, 7)), "this is PNG, mode L"),
        (encoded(np.full((8, 6, 4), 90, np.uint8), "png"), "this is PNG, mode RGBA"),
        (deep_colours(np.full((8, 6, 3), 110)), "colours of 16 bits"),
        (seg_png(ADE_OBJECTS).replace(b"IEND", b"IDAT"), "not readable"),
        (b"torn", "not readable"),
        (seg_png(ADE_OBJECTS)[:60], "not readable"),
    ],
)
def test_a_seg_png_that_is_none_is_left_out_by_name(tmp_path, data, said):
    put(str(tmp_path), ADE_FULL_FILES | {SEG: data})
    (message,) = bad(ADE20KFull(tmp_path).source())
    assert message.startswith(f"{tmp_path / SEG}: ")
    assert said in message


@pytest.mark.parametrize("gone", [SEG, f"{AIRPORT}.jpg"])
def test_a_photo_or_its_label_map_that_is_missing_is_named(tmp_path, gone):
    put(
        str(tmp_path),
        ADE_FULL_FILES
        | {f"{AIRPORT[:-1]}2{end}": ADE_FULL_FILES[AIRPORT + end] for end in (".jpg", "_seg.png")},
    )
    (tmp_path / gone).unlink()
    assert bad(ADE20KFull(tmp_path).source()) == [f"{tmp_path / gone}: missing"]
