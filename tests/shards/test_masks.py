"""Photos and label maps of a class list of one's own."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from shards.masks import Masks
from shards.sample import Sample, encoded
from tests.support.corpora import bad, picture, put, samples
from tests.support.pngs import deep_colours
from tests.support.releases import good, palette_png
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets.benchmarks import IGNORE
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest

SHAPE = (8, 6)
NAMES = "background\ncup|mug\nfork\n"
COLOURS = {"background": [0, 0, 0], "cup|mug": [255, 0, 0], "fork": "#0000ff"}
TRUTH = np.zeros(SHAPE, np.int64)
TRUTH[0, :3], TRUTH[1, :2], TRUTH[7] = 1, 2, IGNORE


def ids(dtype=np.uint8, ignored: int | None = None) -> np.ndarray:
    usual = 255 if dtype == np.uint8 else 65535
    return np.where(TRUTH == IGNORE, usual if ignored is None else ignored, TRUTH).astype(dtype)


def rgb(ignored=(9, 9, 9)) -> np.ndarray:
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    for label, colour in ((1, (255, 0, 0)), (2, (0, 0, 255)), (IGNORE, ignored)):
        pixels[label == TRUTH] = colour
    return pixels


def file(pixels: np.ndarray, kind: str = "png", mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "P":
        colours, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
        image = Image.fromarray(places.reshape(SHAPE).astype(np.uint8), "P")
        image.putpalette(colours.tobytes())
    (image.convert(mode) if mode else image).save(buffer, kind)
    return buffer.getvalue()


def source(folder, classes: str | dict = NAMES, end: str = ".png", **masks):
    put(str(folder), {f"images/{name}.jpg": picture(40) for name in masks})
    put(str(folder), {f"masks/{name}{end}": data for name, data in masks.items()})
    listed = folder / ("classes.txt" if isinstance(classes, str) else "classes.json")
    listed.write_text(classes if isinstance(classes, str) else json.dumps(classes))
    return {"images": folder / "images", "masks": folder / "masks", "classes": listed}


def labels(sample: Sample) -> list[list[int]]:
    assert sample.labels is not None
    return decode_labels(sample.labels).tolist()


@pytest.mark.parametrize(
    "data",
    [
        file(ids()),
        palette_png(ids()),
        file(ids(np.uint16)),
        file(np.repeat(ids()[..., None], 3, -1)),
        file(np.dstack([ids(), ids(), ids(), np.full(SHAPE, 255, np.uint8)])),
    ],
)
def test_ids_in_every_kind_of_map_are_the_places_in_the_list(tmp_path, data):
    found = good(Masks(**source(tmp_path, a=data)).source())
    assert labels(found["a"]) == TRUTH.tolist()


@pytest.mark.parametrize(("kind", "end"), [("bmp", ".bmp"), ("tiff", ".tif"), ("tiff", ".TIFF")])
def test_maps_of_other_formats_that_change_no_pixel_are_read(tmp_path, kind, end):
    found = good(Masks(**source(tmp_path, end=end, a=file(ids(), kind))).source())
    assert labels(found["a"]) == TRUTH.tolist()


@pytest.mark.parametrize("mode", [None, "RGBA", "P"])
def test_colours_are_those_of_the_list_and_what_is_ignored(tmp_path, mode):
    given = source(tmp_path, COLOURS, a=file(rgb(), mode=mode))
    for ignore in ("#090909", "9,9,9"):
        built = Masks(**given, ignore=(ignore,)).source()
        assert labels(good(built)["a"]) == TRUTH.tolist()
        assert built.classes == ("background", "cup, mug", "fork")


def test_a_map_in_colours_is_read_by_colours_where_the_list_has_ids_too(tmp_path):
    classes = [
        {"id": 0, "name": "cup", "color": "#010101"},
        {"id": 1, "name": "fork", "color": "#000000"},
    ]
    (tmp_path / "list.json").write_text(json.dumps(classes))
    black = np.zeros((*SHAPE, 3), np.uint8)
    given = source(tmp_path, a=file(black), b=file(black[..., 0])) | {
        "classes": tmp_path / "list.json"
    }
    found = good(Masks(**given).source())
    assert labels(found["a"]) == [[1] * 6] * 8
    assert labels(found["b"]) == [[0] * 6] * 8


def test_ids_that_are_not_in_the_list_leave_the_image_out_by_name(tmp_path):
    strange = ids()
    strange[3, 3] = 7
    given = source(tmp_path, a=file(strange), b=file(ids()), c=file(rgb()), d=b"torn")
    told = bad(Masks(**given).source())
    assert f"{tmp_path}/masks/a.png: holds id 7, which the class list does not have" in told
    assert any("c.png: a picture in colours" in line for line in told)
    assert any("d.png: not readable" in line for line in told)
    assert len(told) == 3
    found = samples(Masks(**given, ignore=("7",)).source())
    assert isinstance(found[0], Sample)
    assert labels(found[0])[3][3] == IGNORE


def test_a_colour_that_is_not_in_the_list_is_named(tmp_path):
    (told,) = bad(Masks(**source(tmp_path, COLOURS, a=file(rgb((0, 255, 9))))).source())
    assert told.endswith("a.png: holds colour #00ff09, which the class list does not have")


def test_ignored_values_give_way_to_a_class_of_that_id(tmp_path):
    classes = {"0": "background", "255": "cup", "1": "fork"}
    given = source(tmp_path, classes, a=file(np.full(SHAPE, 255, np.uint8)))
    assert labels(good(Masks(**given).source())["a"]) == [[2] * 6] * 8
    assert Masks(**given).source().classes == ("background", "fork", "cup")


def test_a_list_of_hundreds_of_classes_needs_maps_of_16_bits(tmp_path):
    wide = ids(np.uint16)
    wide[4] = 299
    wide[5] = 255
    names = "\n".join(f"class {n}" for n in range(300))
    found = labels(good(Masks(**source(tmp_path, names, a=file(wide))).source())["a"])
    assert (found[4], found[5], found[7]) == ([299] * 6, [255] * 6, [IGNORE] * 6)


def test_a_map_keeps_its_bytes_where_they_say_the_same(tmp_path):
    stored = palette_png(ids())
    found = good(Masks(**source(tmp_path, a=stored)).source())
    assert found["a"].labels == stored


def test_names_may_end_otherwise_and_lie_in_one_folder(tmp_path):
    put(str(tmp_path), {"all/x_rgb.png": encoded(np.zeros((*SHAPE, 3), np.uint8), "png")})
    put(str(tmp_path), {"all/x_mask.png": file(ids()), "names.txt": NAMES.encode()})
    folder, classes = tmp_path / "all", tmp_path / "names.txt"
    masks = Masks(folder, folder, classes=classes, image_end="_rgb", mask_end="_mask")
    found = good(masks.source())
    assert list(found) == ["x"]
    assert labels(found["x"]) == TRUTH.tolist()


@pytest.mark.parametrize("end", ["", "_mask"])
def test_photos_and_maps_may_lie_in_one_folder(tmp_path, end):
    put(str(tmp_path), {"all/x.jpg": picture(1), f"all/x{end}.png": file(ids())})
    (tmp_path / "names.txt").write_text(NAMES)
    folder = tmp_path / "all"
    found = good(Masks(folder, folder, classes=tmp_path / "names.txt", mask_end=end).source())
    assert list(found) == ["x"]
    assert labels(found["x"]) == TRUTH.tolist()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gif", {}),
        ("webp", {"lossless": True}),
        ("jpeg2000", {}),
        ("tiff", {"compression": "jpeg"}),
        ("tiff", {"tiffinfo": {262: 0}}),
    ],
)
def test_a_map_of_a_format_that_may_change_ids_is_left_out_whatever_its_name(
    tmp_path, kind, options
):
    buffer = io.BytesIO()
    Image.fromarray(ids()).save(buffer, kind, **options)
    (told,) = bad(Masks(**source(tmp_path, a=buffer.getvalue())).source())
    assert told.startswith(f"{tmp_path}/masks/a.png: a ")


def test_what_is_no_map_is_named(tmp_path):
    hidden = np.dstack([rgb(), np.zeros(SHAPE, np.uint8)])
    given = source(tmp_path, COLOURS, a=file(hidden), b=file(ids()[:4]), c=file(rgb(), "jpeg"))
    (tmp_path / "images/d.jpg").write_bytes((tmp_path / "images/a.jpg").read_bytes())
    (tmp_path / "masks/d.png").write_bytes(deep_colours(rgb()))
    told = dict(
        line.removeprefix(f"{tmp_path}/masks/").split(": ", 1)
        for line in bad(Masks(**given).source())
    )
    assert "transparent" in told["a.png"]
    assert "JPEG" in told["c.png"]
    assert "16 bits" in told["d.png"]
    assert told.keys() == {"a.png", "b.png", "c.png", "d.png"}


def test_photos_and_maps_that_are_alone_are_named(tmp_path):
    given = source(tmp_path, a=file(ids()))
    put(str(tmp_path), {"images/b.jpg": picture(3), "masks/c.png": file(ids())})
    told = bad(Masks(**given).source())
    assert [line.split(": ")[1] for line in told] == ["missing", "missing"]
    assert len(samples(Masks(**given).source())) == 3


def test_bad_arguments_are_refused_by_name(tmp_path):
    given = source(tmp_path, a=file(ids()))
    with pytest.raises(InputError, match="--ignore 'void' is no id"):
        Masks(**given, ignore=("void",)).source()
    with pytest.raises(InputError, match="--classes FILE"):
        Masks(given["images"], given["masks"]).source()
    with pytest.raises(InputError, match="nowhere"):
        Masks(tmp_path / "nowhere", given["masks"], given["classes"]).source()


def test_the_command_builds_and_a_changed_list_is_no_part_of_the_same_set(tmp_path, capsys):
    given = source(tmp_path, a=file(ids()))
    args = ["shards", "build", "masks", str(given["images"]), str(given["masks"])]
    args += [str(tmp_path / "out"), "--classes", str(given["classes"]), "--ignore", "17", "#ffffff"]
    cli.main([*args, "--workers", "0"])
    manifest = read_manifest(str(tmp_path / "out"))
    assert manifest is not None
    assert manifest.classes == ("background", "cup, mug", "fork")
    given["classes"].write_text("background\ncup\nfork\n")
    with pytest.raises(SystemExit):
        cli.main([*args, "--workers", "0"])
