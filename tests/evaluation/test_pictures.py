import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.evaluation.pictures import (
    coloured,
    enlarged,
    overlay,
    palette,
    pixels,
    side_by_side,
    stacked,
    with_legend,
    word_colours,
)

RED = np.full((4, 6, 3), (200, 0, 0), np.uint8)


def test_colours_can_be_told_apart_however_many_classes_there_are():
    table = palette(256).astype(int)
    apart = np.abs(table[:, None] - table[None]).sum(axis=-1)[np.triu_indices(256, 1)]
    assert apart.min() >= 16


def test_thousands_of_classes_have_a_colour_each():
    assert len(np.unique(palette(5000), axis=0)) == 5000


@settings(max_examples=20)
@given(st.integers(1, 400), st.integers(0, 50))
def test_a_class_has_the_same_colour_whatever_the_count(few, more):
    assert np.array_equal(palette(few), palette(few + more)[:few])


def test_ignored_pixels_are_white_and_no_class_is():
    assert (coloured(torch.tensor([[IGNORE, IGNORE]])) == 255).all()
    assert not (palette(IGNORE) == 255).all(axis=1).any()


def test_a_label_map_takes_the_colours_of_its_classes():
    labels = torch.tensor([[0, 7], [3000, 255]])
    assert np.array_equal(coloured(labels), palette(3001)[labels.numpy()])


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


def test_enlarging_keeps_the_shape_and_invents_no_colour():
    board = np.zeros((2, 3, 3), np.uint8)
    board[0, 1] = board[1, 2] = 255
    assert np.array_equal(enlarged(board, 8), board.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_row_has_one_height_and_white_between_its_pictures(count):
    row = side_by_side([RED] * count, height=8, gap=3)
    assert row.shape == (8, 12 * count + 3 * (count - 1), 3)
    white = (row == 255).all(axis=(0, 2))
    assert white.sum() == 3 * (count - 1)
    assert (row[:, ~white] == RED[0, 0]).all()


def test_pictures_of_different_sizes_share_a_row():
    assert side_by_side([RED, np.zeros((20, 10, 3), np.uint8)], height=40, gap=2).shape == (
        40,
        60 + 2 + 20,
        3,
    )


def test_pictures_below_each_other_keep_their_pixels_with_white_around_them():
    blue = np.full((3, 9, 3), (0, 0, 200), np.uint8)
    sheet = stacked([RED, blue, RED], gap=2)
    assert sheet.shape == (4 + 2 + 3 + 2 + 4, 9, 3)
    for top, picture in ((0, RED), (6, blue), (11, RED)):
        part = sheet[top : top + len(picture), : picture.shape[1]]
        assert np.array_equal(part, picture)
    white = (sheet == 255).all(axis=-1)
    assert white.sum() == sheet.shape[0] * 9 - 2 * RED[..., 0].size - blue[..., 0].size


def test_a_single_picture_is_its_own_sheet():
    assert np.array_equal(stacked([RED], gap=0), RED)


@pytest.mark.parametrize(("count", "width", "lines"), [(1, 200, 1), (12, 2000, 1), (3, 40, 3)])
def test_a_legend_adds_as_many_lines_as_the_width_needs(count, width, lines):
    picture = np.zeros((10, width, 3), np.uint8)
    seen = with_legend(picture, {i: f"class {i}" for i in range(count)}, entry_height=20)
    assert seen.shape == (10 + 20 * lines + 4, width, 3)
    assert np.array_equal(seen[:10], picture)


def test_a_legend_shows_the_colour_of_every_class_it_names():
    legend = with_legend(np.zeros((4, 300, 3), np.uint8), {3: "cat", 200: "dog"})[4:]
    for index in (3, 200):
        assert (legend == palette(256)[index]).all(axis=-1).sum() >= 15 * 15


@settings(max_examples=20)
@given(st.lists(st.text("abcdefgh", min_size=1), unique=True, min_size=1, max_size=60))
def test_the_colours_of_a_list_are_of_its_words_and_not_of_their_places(names):
    table = word_colours(names)
    assert len(np.unique(table, axis=0)) == len(names)
    assert np.array_equal(word_colours(names[::-1])[::-1], table)
    assert np.array_equal(word_colours(["background", *names], background=True)[1:], table)


def test_a_word_keeps_its_colour_in_another_list_and_beside_synonyms():
    few, more = word_colours(["cat", "grass"]), word_colours(["sky", "grass", "dog", "cat, kitten"])
    assert few.tolist() == [more[3].tolist(), more[1].tolist()]
    assert np.array_equal(few[0], word_colours([" Cat"])[0])


def test_equal_first_synonyms_are_told_apart():
    assert len(np.unique(word_colours(["bag", "bag, handbag", "bag, sack"]), axis=0)) == 3
