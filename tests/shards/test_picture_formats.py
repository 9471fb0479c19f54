"""Pictures of every format and kind, from a folder to what models see."""

import io
import json

import numpy as np
import pytest
from PIL import ExifTags, Image

from shards.build import Limits, build
from shards.folder import SUFFIXES, Folder
from shards.pairs import Pairs
from shards.sample import encoded
from tests.support.corpora import bad, put
from tests.support.damage import Run, label_map, left_out, stored
from tests.support.jpegs import jpeg_of_blocks
from zeroseg.data.augmentation import Augmentation
from zeroseg.data.evaluation import evaluation_sample
from zeroseg.data.transforms import LabelledCrops
from zeroseg.datasets.benchmarks import BENCHMARKS
from zeroseg.errors import InputError
from zeroseg.predictor import picture_pixels
from zeroseg.store.reader import RawSample
from zeroseg.store.tar_index import image_extension

SIZE = (16, 24)
PIXELS = np.add.outer(np.arange(16) * 9, np.arange(24) * 4).astype(np.uint8)
NAMES = {
    "a.jpg": "jpeg",
    "b.JPE": "jpeg",
    "c.jfif": "jpeg",
    "d.JPG": "png",
    "e.png": "jpeg",
    "f.gif": "gif",
    "g.bmp": "bmp",
    "h.tif": "tiff",
    "i.jp2": "jpeg2000",
    "j.ppm": "ppm",
    "k.pgm": "ppm",
    "l.tga": "tga",
    "m.webp": "webp",
}


def test_pictures_of_every_suffix_are_found_and_their_content_decides(tmp_path, capsys):
    files = {name: encoded(PIXELS, kind) for name, kind in NAMES.items()}
    put(str(tmp_path / "photos"), files | {"n.jpg": b"%!PS-Adobe-3.0 EPSF-3.0", "o.raw": b""})
    destination = tmp_path / "set"
    build(Folder(str(tmp_path / "photos")).source(), str(destination), Limits(workers=0))
    found = stored(destination)
    assert {key: members["jpg"] for key, members in found.items()} == {
        name.partition(".")[0]: data for name, data in files.items()
    }
    facts = [json.loads(members["json"]) for members in found.values()]
    assert {(f["height"], f["width"]) for f in facts} == {SIZE}
    (line,) = left_out(destination)
    assert "n.jpg: not a readable picture (UnidentifiedImageError" in line
    assert Run(capsys, destination).status == 0


def test_heic_is_left_out_with_the_remedy_or_read(tmp_path):
    put(str(tmp_path), {"a.HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)})
    (line,) = bad(Folder(str(tmp_path)).source())
    assert "a.HEIC: not a readable picture" in line


@pytest.mark.parametrize(
    ("members", "image"),
    [
        ("png jpg", "jpg"),
        ("jfif png", "jfif"),
        ("png avif", "avif"),
        ("heic png json", "heic"),
        ("png tif", "png"),
        ("tif json", "tif"),
        ("txt json", None),
    ],
)
def test_the_image_of_a_sample_is_the_first_of_the_formats_that_photos_have(members, image):
    assert image_extension(dict.fromkeys(members.split())) == image
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGB").save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()


PHOTOS = {f"turned{orientation}.jpg": turned(orientation) for orientation in range(1, 9)}
PHOTOS |= {
    "sampling.jpg": jpeg_of_blocks(np.full((2, 1), 90), [(1, 1), (3, 1), (1, 1)]),
    "padded.jpg": encoded(PIXELS, "jpeg")[:-2] + bytes(9) + b"\xff\xd9",
    "deep.png": encoded(PIXELS.astype(np.uint16) * 257, "png"),
}


def test_what_is_built_is_checked_shown_to_models_and_scored(tmp_path, capsys):
    labels = {name.partition(".")[0] + ".png": label_map(1, SIZE) for name in PHOTOS}
    upright = {"upright.jpg": turned(6), "cut.jpg": encoded(PIXELS, "jpeg")[:-9]}
    put(str(tmp_path / "images"), PHOTOS | upright)
    put(
        str(tmp_path / "masks"),
        labels | {"upright.png": label_map(1, SIZE[::-1]), "cut.png": label_map(1, SIZE)},
    )
    destination = tmp_path / "set"
    source = Pairs(tmp_path / "images", tmp_path / "masks", "voc21").source()
    build(source, str(destination), Limits(workers=0))
    lines = sorted(left_out(destination))
    assert [line.rpartition("/")[2].partition(":")[0] for line in lines] == [
        "cut.jpg",
        "upright.jpg has 24x16",
    ]
    assert Run(capsys, destination).status == 0
    crops = LabelledCrops(Augmentation(size=8), BENCHMARKS["voc21"])
    found = stored(destination)
    assert len(found) == len(PHOTOS)
    for key, members in found.items():
        sample = RawSample("shard", key, members)
        scored = evaluation_sample(sample, lambda size: size)
        assert scored["images"].shape[1:] == scored["labels"].shape
        assert crops(sample, 0)["labels"].shape == (8, 8)
        assert (picture_pixels_of(tmp_path, members["jpg"]) == scored["images"]).all()


def picture_pixels_of(folder, data: bytes):
    path = folder / "photo"
    path.write_bytes(data)
    return picture_pixels(path)


def test_a_photo_to_segment_that_is_cut_short_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"photo .*/photo cannot be decoded"):
        picture_pixels_of(tmp_path, encoded(PIXELS, "jpeg")[:-9])


def test_a_deep_picture_in_memory_is_not_clipped():
    deep = Image.fromarray(np.array([[0, 32896, 65535]], np.uint16))
    assert picture_pixels(deep)[0].tolist() == [[0, 128, 255]]
