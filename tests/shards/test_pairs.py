"""Photos and label maps in two folders."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from zeroseg.data.label_files import decode_labels
from zeroseg.datasets.benchmarks import ADE847, VOC21
from zeroseg.store.manifest import read_manifest


@pytest.fixture
def folders(tmp_path):
    for name, ids in (("a", [[0, 20], [255, 3]]), ("b", [[0, 21], [0, 0]]), ("c", None)):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.new("RGB", (2, 2)).save(tmp_path / f"images/{name}.jpg")
        if ids:
            Image.fromarray(np.array(ids, np.uint8)).save(tmp_path / f"masks/{name}.png")
    return tmp_path


def build(folders, benchmark="voc21"):
    places = [str(folders / name) for name in ("images", "masks")]
    output = str(folders / "out")
    cli.main(["shards", "build", "pairs", *places, benchmark, output, "--workers", "0"])
    return read_manifest(output)


def test_ids_are_the_labels_and_what_is_no_label_or_has_no_map_is_left_out(folders):
    manifest = build(folders)
    assert manifest.samples == 1
    assert manifest.classes == VOC21.classes
    left_out = (folders / "out/left-out.jsonl").read_text()
    assert "b.png: holds id 21" in left_out
    assert "c.png: missing" in left_out


def test_tiff_of_16_bits_is_read_as_conversions_for_detectron2_write_it(folders):
    for old in folders.glob("masks/*.png"):
        old.unlink()
    ids = np.array([[0, 846], [255, 65535]], np.uint16)
    Image.fromarray(ids).save(folders / "masks/a.tif")
    manifest = build(folders, "ade847")
    assert (manifest.samples, manifest.classes) == (1, ADE847.classes)
    (shard,) = folders.glob("out/*.tar")
    with tarfile.open(shard) as tar:
        stored = tar.extractfile("a.png")
        assert stored is not None
        assert decode_labels(stored.read()).tolist() == ids.tolist()


def test_a_gif_named_png_is_left_out_for_its_indices_are_no_ids(folders):
    Image.fromarray(np.array([[0, 20], [7, 3]], np.uint8)).save(folders / "masks/b.png", "gif")
    assert build(folders).samples == 1
    assert "b.png: a GIF" in (folders / "out/left-out.jsonl").read_text()


def test_an_unknown_benchmark_is_refused_by_name(folders):
    with pytest.raises(SystemExit):
        build(folders, "voc22")
    (folders / "masks").rename(folders / "elsewhere")
    with pytest.raises(SystemExit):
        build(folders)
