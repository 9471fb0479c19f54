"""Sets without images that hold a pixel of an unseen class."""

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.shards import main
from shards.sample import Sample
from shards.scenes import Scenes
from shards.without import without
from tests.support.corpora import picture, put, samples
from tests.support.releases import MAKERS, VOC_FILES
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.errors import InputError
from zeroseg.store.manifest import read_manifest
from zeroseg.store.set_writer import read_left_out

HIDDEN = {SCENES.classes.index(name) for name in SCENES.unseen}


def held(sample: Sample) -> set[int]:
    return set(np.unique(np.array(Image.open(io.BytesIO(sample.labels)))).tolist())


def test_exactly_the_images_with_an_unseen_pixel_are_left_out():
    every = samples(Scenes("labelled", 60).source())
    kept = [s for s in samples(without(Scenes("labelled", 60).source(), "scenes")) if s in every]
    assert kept == [sample for sample in every if not held(sample) & HIDDEN]
    assert 5 < len(kept) < 55


def test_they_are_counted_named_and_told_of_in_the_manifest(capsys, tmp_path):
    put(str(tmp_path / "release"), VOC_FILES)
    command = ["build", "voc", str(tmp_path / "release"), str(tmp_path / "set"), "--workers", "0"]
    main([*command, "--without", "voc20-15-5"])
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith("1 images in 1 shards")
    assert told[2] == "1 of these hold a class that is unseen in voc20-15-5"
    assert read_manifest(str(tmp_path / "set")).built_from["without"] == "voc20-15-5"
    assert read_left_out(str(tmp_path / "set")) == [
        "JPEGImages/2007_000033.jpg: holds tvmonitor, which is unseen in voc20-15-5"
    ]
    for other in ([], ["--without", "voc21-k2"]):
        with pytest.raises(InputError, match="built from something else"):
            main([*command, *other])


@pytest.mark.parametrize(
    ("kind", "split"),
    [
        *(("voc", f"voc21-k{k}") for k in (2, 10)),
        ("voc_aug", "voc20-15-5"),
        ("context", "context33-29-4"),
        ("converted", "context60-k10"),
        ("coco_stuff", "coco-stuff171-156-15"),
    ],
)
def test_releases_have_their_splits(tmp_path, kind, split):
    make, files = MAKERS[kind]
    put(str(tmp_path), files)
    source = make(tmp_path).source()
    left = samples(without(source, split))
    assert len(left) == len(samples(source))


def test_a_split_without_unseen_classes_and_a_source_without_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match="voc21: it has no unseen classes"):
        without(Scenes("val").source(), "voc21")
    with pytest.raises(InputError, match="not all of benchmark 'voc20-15-5'"):
        without(Scenes("val").source(), "voc20-15-5")
    put(str(tmp_path / "photos"), {"a.jpg": picture(9)})
    with pytest.raises(InputError, match="folder has no label maps"):
        main(
            ["build", "folder", str(tmp_path / "photos"), str(tmp_path / "set")]
            + ["--without", "scenes"]
        )
