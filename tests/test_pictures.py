import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroseg.data.benchmarks import IGNORE
from zeroseg.evaluation.pictures import (
    coloured,
    overlay,
    palette,
    pixels,
)

RED = np.full((4, 6, 3), (200, 0, 0), np.uint8)


def test_a_hundred_classes_have_a_hundred_colours():
    assert len(np.unique(palette(100), axis=0)) == 100


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 255), st.integers(0, 50))
def test_a_class_has_the_same_colour_whatever_the_count(few, more):
    assert np.array_equal(palette(few), palette(few + more)[:few])


def test_ignored_pixels_are_white_and_no_class_is():
    table = palette(256)
    assert table[IGNORE].tolist() == [255, 255, 255]
    assert not (table[:IGNORE] == 255).all(axis=1).any()


def test_a_label_map_takes_the_colours_of_its_classes():
    labels = torch.tensor([[0, 7], [IGNORE, 7]])
    assert np.array_equal(coloured(labels), palette(256)[labels.numpy()])


def test_pixels_are_rounded_to_8_bits_with_channels_last():
    image = torch.tensor([0.0, 0.5, 1.0])[:, None, None].expand(3, 2, 5)
    assert pixels(image).shape == (2, 5, 3)
    assert pixels(image)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_an_overlay_goes_from_the_photo_to_the_colours(strength):
    labels = torch.full((4, 6), 5)
    expected = (1 - strength) * RED[0, 0] + strength * palette(256)[5]
    seen = overlay(RED, labels, strength)
    assert seen.shape == RED.shape
    assert np.abs(seen - expected).max() <= 0.5
