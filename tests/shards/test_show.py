import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shards.build import Limits, build
from shards.contact_sheet import GAP, LINE, SIDE
from shards.sample import Sample, Source, encoded
from shards.show import show
from tests.support.selections import leave_out
from zeroseg.errors import InputError
from zeroseg.evaluation.pictures import palette
from zeroseg.store.tar_index import read_index

CLASSES = ("sky", "cat", "dog")
ROW = SIDE + 2 * LINE + GAP


def photo(number: int) -> list[Sample]:
    pixels = np.full((20, 30, 3), 20 * number, np.uint8)
    return [Sample(f"photo-{number}-{'long' * 20}", encoded(pixels, "jpeg"))]


def labelled(number: int) -> list[Sample]:
    image = encoded(np.zeros((20, 20, 3), np.uint8), "png")
    return [Sample(f"k{number}", image, encoded(np.full((20, 20), 1, np.uint8), "png"))]


def made(folder: Path, read, images: int = 7, classes: tuple[str, ...] = ()) -> Path:
    source = Source(units=range(images), read=read, classes=classes)
    build(source, str(folder), Limits(images_per_shard=3, workers=0))
    return folder


def sheet(folder: Path, output: Path, **options) -> np.ndarray:
    show(str(folder), output, **options)
    with Image.open(output) as picture:
        assert picture.format == "PNG"
        return np.array(picture)


def test_only_what_a_selection_leaves_is_shown(tmp_path, capsys):
    folder = made(tmp_path / "set", photo)
    chosen = leave_out(str(folder), tmp_path / "s", [0, 3, 4, 5])
    picture = sheet(folder, tmp_path / "sheet.png", selection=chosen)
    assert picture.shape == size(3, 1)
    assert capsys.readouterr().out.endswith("sheet.png: 3 of 3 images\n")
    shades = [
        int(picture[GAP + SIDE // 2 + 20, GAP + SIDE // 2 + n * (SIDE + GAP)][0]) for n in range(3)
    ]
    assert shades == pytest.approx([20, 40, 120], abs=2)


def size(columns: int, rows: int, across: int = 1) -> tuple[int, int, int]:
    return rows * ROW + GAP, columns * (across * SIDE + GAP) + GAP, 3


@pytest.mark.parametrize(
    ("images", "columns", "rows"), [(1, 1, 1), (4, 4, 1), (7, 6, 2), (99, 6, 2)]
)
def test_the_sheet_has_a_tile_for_every_image_asked_for(tmp_path, capsys, images, columns, rows):
    folder = made(tmp_path / "set", photo)
    picture = sheet(folder, tmp_path / "sheet.png", images=images)
    assert picture.shape == size(columns, rows)
    assert f"{min(images, 7)} of 7 images" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.new"))
    last = picture[-ROW:-GAP, GAP + (min(images, 7) - 1) % columns * (SIDE + GAP) :]
    assert (last[:, :SIDE] < 250).any()


def test_a_seed_gives_the_same_bytes_each_time_and_another_seed_others(tmp_path):
    folder = made(tmp_path / "set", photo)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        show(str(folder), tmp_path / name, images=3, seed=seed)
    one, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert one == again
    assert one != other


def test_label_maps_are_laid_over_a_second_copy_with_a_legend_of_what_is_seen(tmp_path):
    folder = made(tmp_path / "set", labelled, 3, CLASSES)
    picture = sheet(folder, tmp_path / "sheet.png")
    height, width, _ = size(3, 1, across=2)
    assert picture.shape[1] == width
    assert picture.shape[0] == height + 26  # one line of legend
    cat = palette(256)[1]
    assert (picture[GAP + SIDE // 2, GAP + SIDE // 2] == 0).all()
    assert np.allclose(picture[GAP + SIDE // 2, GAP + SIDE + SIDE // 2], 0.55 * cat, atol=1)
    assert (picture[height:] == cat).all(axis=-1).any()
    assert not (picture[height:] == palette(256)[2]).all(axis=-1).any()


def test_background_and_what_has_no_label_show_the_image_as_it_is(tmp_path):
    labels = np.full((20, 20), 1, np.uint8)
    labels[:8], labels[12:] = 0, 255

    def read(number: int) -> list[Sample]:
        image = encoded(np.full((20, 20, 3), 90, np.uint8), "png")
        return [Sample(f"k{number}", image, encoded(labels, "png"))]

    folder = made(tmp_path / "set", read, 1, ("background", "cat"))
    picture = sheet(folder, tmp_path / "sheet.png")
    column = picture[GAP : GAP + SIDE, GAP + SIDE + SIDE // 2]
    assert (column[: SIDE // 3] == 90).all()
    assert (column[-SIDE // 3 :] == 90).all()
    assert (column[SIDE // 2] != 90).any()
    assert not (picture[GAP + SIDE + 2 * LINE :] == palette(256)[0]).all(axis=-1).any()


def test_label_maps_without_class_names_have_no_legend(tmp_path):
    folder = made(tmp_path / "set", labelled, 3)
    assert sheet(folder, tmp_path / "sheet.png").shape == size(3, 1, across=2)


def test_a_bad_sample_is_a_red_tile_among_the_others(tmp_path):
    folder = made(tmp_path / "set", photo)
    whole = sheet(folder, tmp_path / "whole.png")
    path = folder / "shard-000000.tar"
    spans = read_index(path).members[1]
    with path.open("r+b") as file:
        file.seek(spans["jpg"].offset)
        file.write(bytes(spans["jpg"].size))
    picture = sheet(folder, tmp_path / "sheet.png")
    assert (picture == sheet(folder, tmp_path / "again.png")).all()
    assert picture.shape == whole.shape
    changed = np.flatnonzero((picture != whole).any(axis=(0, 2)))
    left = 2 * GAP + SIDE
    assert left <= changed.min()
    assert changed.max() < left + SIDE
    assert (picture[GAP, left] == (190, 30, 30)).all()


def test_a_label_map_of_another_size_is_a_red_tile(tmp_path):
    def read(number: int) -> list[Sample]:
        (sample,) = labelled(number)
        return [Sample("x", sample.image, encoded(np.zeros((9, 9), np.uint8), "png"))]

    picture = sheet(made(tmp_path / "set", read, 1), tmp_path / "sheet.png")
    assert (picture[GAP, GAP] == (190, 30, 30)).all()


def test_an_output_that_cannot_be_written_leaves_what_was_there(tmp_path):
    folder = made(tmp_path / "set", photo, 1)
    show(str(folder), tmp_path / "sheet.png")
    before = (tmp_path / "sheet.png").read_bytes()
    shutil.rmtree(folder)
    with pytest.raises(InputError):
        show(str(folder), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes() == before


def test_no_image_at_all_is_not_a_sheet(tmp_path):
    with pytest.raises(InputError, match="images is 0"):
        show(str(tmp_path), images=0)
