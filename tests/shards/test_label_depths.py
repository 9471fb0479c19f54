"""Label maps of every depth, from a release's files through a build, a check and what is read in training."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from shards.build import Limits, build
from shards.pairs import Pairs
from shards.sample import Sample, Source
from shards.voc import PascalVOC
from shards.without import without
from tests.support.corpora import bad, put, samples
from tests.support.damage import Run, packed, stored
from tests.support.pngs import GREY, PALETTE, stored_png
from tests.support.releases import PHOTO, VOC, VOC_FILES, ids
from zeroseg.data.label_files import decode_labels, encode_labels
from zeroseg.datasets.benchmarks import IGNORE

KEY = "2007_000033"
FILE = f"{VOC}/SegmentationClass/{KEY}.png"


def plain(label: int) -> list[Sample]:
    """A photo that is one class everywhere."""
    return [Sample(f"k{label}", PHOTO, encode_labels(np.full((8, 6), label)))]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("depth", "kind", "most"),
    [(1, GREY, 1), (2, GREY, 3), (4, GREY, 15), (8, GREY, 255), (16, GREY, 255)]
    + [(1, PALETTE, 1), (2, PALETTE, 3), (4, PALETTE, 15), (8, PALETTE, 255)],
)
def test_the_ids_of_a_release_are_those_its_files_store(
    tmp_path, capsys, depth, kind, most, interlaced
):
    pixels = ids(0, 1, most, 0)
    data = stored_png(pixels, depth, kind, interlaced=interlaced)
    put(str(tmp_path), VOC_FILES | {FILE: data})
    build(PascalVOC(tmp_path).source(), str(tmp_path / "set"), Limits(workers=0))
    labels = stored(tmp_path / "set")[KEY]["png"]
    expected = np.where(pixels == 255, IGNORE, pixels.astype(int))
    assert np.array_equal(decode_labels(labels).numpy(), expected)
    assert np.array_equal(np.array(Image.open(io.BytesIO(labels))), pixels)
    assert (labels == data) == (kind == PALETTE or depth == 8)
    assert "nothing wrong" in Run(capsys, tmp_path / "set").text


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_map_of_more_channels_is_left_out_by_name(tmp_path, mode):
    buffer = io.BytesIO()
    Image.new(mode, (6, 8)).save(buffer, "png")
    put(str(tmp_path), VOC_FILES | {FILE: buffer.getvalue()})
    (message,) = bad(PascalVOC(tmp_path).source())
    assert message.startswith(f"{tmp_path / FILE}: ")
    assert f"mode {mode}" in message


def test_a_check_finds_a_stored_id_without_a_class_whatever_the_depth(tmp_path, capsys):
    pixels = ids(0, 3)
    for depth in (2, 4, 8, 16):
        members = [("a.jpg", PHOTO), ("a.png", stored_png(pixels, depth))]
        for classes, said in ((3, "values [3] with 3 classes"), (4, "nothing wrong")):
            names = tuple(f"class {i}" for i in range(classes))
            folder = packed(tmp_path / f"{depth}-{classes}", members, classes=names)
            assert said in Run(capsys, folder).text


def test_a_pair_of_16_bits_has_255_for_a_class_and_one_of_8_for_what_is_ignored(tmp_path):
    benchmark = {"name": "wide", "classes": [f"class {i}" for i in range(300)]}
    files = {"b.json": json.dumps(benchmark).encode()}
    for key, depth, most in (("a", 8, 254), ("b", 16, 299)):
        pixels = np.full((8, 6), 255)
        pixels[0, 0] = most
        files |= {f"images/{key}.jpg": PHOTO, f"masks/{key}.png": stored_png(pixels, depth)}
    put(str(tmp_path), files)
    folders = tmp_path / "images", tmp_path / "masks"
    narrow, wide = (
        decode_labels(sample.labels)
        for sample in samples(Pairs(*folders, str(tmp_path / "b.json")).source())
        if isinstance(sample, Sample)
    )
    assert narrow.unique().tolist() == [254, IGNORE]
    assert wide.unique().tolist() == [255, 299]


def test_an_unseen_class_beyond_255_leaves_its_image_out(tmp_path):
    names = [f"class {i}" for i in range(300)]
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"name": "wide", "classes": names, "unseen": ["class 299"]}))
    source = Source(units=[255, 299, IGNORE], read=plain, classes=tuple(names))
    kept = [s.key for s in samples(without(source, str(split))) if isinstance(s, Sample)]
    assert kept == ["k255", f"k{IGNORE}"]
