"""Exports: what other tools' own libraries read in them, and what this repository builds of them again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from pipelines import cli
from pipelines.exports.cvat import write as write_cvat
from pipelines.exports.detections import detections
from pipelines.exports.formats import FORMATS
from pipelines.exports.label_studio import packed
from pipelines.exports.pictures import LabelledPicture, Legend, runs_of
from shards.cvat import CVAT
from shards.label_studio import LabelStudio
from shards.label_studio_runs import brushed
from shards.labelme import LabelMe
from shards.sample import Sample
from zeroseg.data.label_files import label_ids
from zeroseg.errors import InputError
from zeroseg.store.reader import UnreadableShard

NAMES = ("background", "cat", "sofa, couch", "grass")
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)


@pytest.fixture(scope="module")
def maps() -> dict[str, np.ndarray]:
    """Of two pictures: classes in blocks and specks, at the edges too."""
    rng = np.random.default_rng(0)
    first = np.kron(rng.integers(0, 4, (6, 8)), np.ones((6, 5), int)).astype(np.uint8)
    first[rng.random(first.shape) < 0.05] = 3
    return {"a.png": first, "sub/b c.png": np.full((7, 9), 2, np.uint8)}


@pytest.fixture(scope="module", params=[True, False], ids=["background", "none"])
def exported(request, maps, tmp_path_factory) -> tuple[Path, Legend]:
    folder = tmp_path_factory.mktemp("exported")
    legend = Legend(NAMES if request.param else ("stone", *NAMES[1:]), background=request.param)
    (folder / "names.txt").write_text("\n".join(legend.classes))
    for name, labels in maps.items():
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", labels.shape[::-1], "red").save(folder / "photos" / name)
    for write in FORMATS.values():
        pictures = (
            LabelledPicture(
                name=name,
                where=str(folder / "photos" / name),
                is_local=True,
                stem=name.removesuffix(".png"),
                labels=labels,
                read=(folder / "photos" / name).read_bytes,
            )
            for name, labels in maps.items()
        )
        assert write(folder / "exports", pictures, legend).exists()
    return folder, legend


def test_pycocotools_reads_the_masks_of_coco(exported, maps):
    folder, legend = exported
    coco = COCO(str(folder / "exports/coco.json"))
    first = 0 if legend.background else 1
    assert {c["id"]: c["name"] for c in coco.cats.values()} == {
        label + first: legend.classes[label] for label in legend.outlined
    }
    for image in coco.imgs.values():
        labels = maps[image["file_name"]]
        found = np.zeros_like(labels)
        for about in coco.imgToAnns[image["id"]]:
            mask = coco.annToMask(about).astype(bool)
            found[mask] = about["category_id"] - first
            runs = coco.annToRLE(about)
            assert about["area"] == coco_masks.area(runs)
            assert about["bbox"] == coco_masks.toBbox(runs).tolist()
        assert np.array_equal(found, labels)


@pytest.mark.parametrize("kind", ["labelme", "cvat", "label-studio"])
def test_shards_are_built_of_an_export_with_the_same_label_maps(exported, maps, kind):
    folder, _ = exported
    out, photos, names = folder / "exports", folder / "photos", folder / "names.txt"
    source = {
        "labelme": LabelMe(out / "labelme", images=photos, classes=names),
        "cvat": CVAT(out / "cvat.xml", images=photos),
        "label-studio": LabelStudio(out / "label-studio.json", images=photos, classes=names),
    }[kind].source()
    built = [sample for unit in source.units for sample in source.read(unit)]
    assert len(built) == len(maps)
    for sample in built:
        assert isinstance(sample, Sample)
        assert sample.labels is not None
        assert np.array_equal(label_ids(sample.labels), maps[sample.source])


def test_labelme_reads_its_files(exported, maps):
    label_file = pytest.importorskip("labelme._label_file")
    folder, legend = exported
    for name, labels in maps.items():
        read = label_file.LabelFile(str(folder / "exports/labelme" / name[:-4]) + ".json")
        found = np.zeros_like(labels)
        for shape in read.shapes:
            (left, top), (right, bottom) = np.array(shape["points"], int)
            place = found[top : bottom + 1, left : right + 1]
            place[shape["mask"]] = legend.classes.index(shape["label"])
        assert np.array_equal(found, labels)


@settings(max_examples=40)
@given(arrays(bool, SHAPES))
def test_brush_strokes_are_read_as_they_were_written(mask):
    assert np.array_equal(brushed(packed(mask), mask.shape[::-1]), mask)


def test_brush_strokes_by_hand():
    """One pixel of two: 4 values of 0 and 4 of 255, each in one block of the shortest length."""
    bits = f"{8:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    bits += ("1" + "00" + "011" + "0" * 8) + ("1" + "00" + "011" + "1" * 8)
    data = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8))
    assert packed(np.array([[False, True]])) == data


def test_a_photo_whose_name_is_no_utf8_keeps_its_bytes(tmp_path):
    labels = np.ones((2, 2), np.uint8)
    about = LabelledPicture("caf\udce9.jpg", "/p/caf\udce9.jpg", True, "caf\udce9", labels, bytes)
    for write in FORMATS.values():
        write(tmp_path, iter([about]), Legend(NAMES, background=True))
    (task,) = json.loads((tmp_path / "label-studio.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=caf%E9.jpg"


def test_a_photo_that_is_gone_since_is_one_line_of_the_export(tmp_path):
    def gone() -> bytes:
        raise UnreadableShard("closed")

    labels = np.ones((2, 2), np.uint8)
    about = LabelledPicture("k", "a.tar: k", False, "k", labels, gone)
    with pytest.raises(InputError, match=r"a\.tar: k cannot be read again .* leave labelme out"):
        FORMATS["labelme"](tmp_path, iter([about]), Legend(NAMES, background=True))


def test_a_long_stroke_is_several_blocks():
    mask = np.ones((300, 300), bool)
    assert len(packed(mask)) < 30
    assert np.array_equal(brushed(packed(mask), (300, 300)), mask)


@given(arrays(bool, st.integers(1, 40)))
def test_runs_are_outside_and_inside_by_turns(values):
    runs = runs_of(values)
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2 == 1, runs), values)


@pytest.mark.filterwarnings("ignore:OpenCV")
def test_supervision_draws_and_counts_a_label_map(maps):
    import supervision

    labels = torch.from_numpy(maps["a.png"]).long()
    sure = torch.rand(labels.shape)
    found = detections(labels, NAMES[1:], background=True, confidence=sure)
    assert isinstance(found, supervision.Detections)
    assert found["class_name"].tolist() == [NAMES[i] for i in found.class_id]
    assert found.area.tolist() == [int((labels == i).sum()) for i in found.class_id]
    means = [float(sure[labels == i].mean()) for i in found.class_id]
    assert found.confidence == pytest.approx(means, abs=1e-6)
    assert np.array_equal(found.xyxy, supervision.mask_to_xyxy(found.mask))
    scene = np.zeros((*labels.shape, 3), np.uint8)
    drawn = supervision.MaskAnnotator(opacity=1).annotate(scene, found)
    assert np.array_equal((drawn > 0).any(axis=2), labels.numpy() > 0)
    assert len(detections(torch.zeros(3, 3).long(), NAMES[1:], background=True)) == 0


def test_without_supervision_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr("pipelines.exports.detections.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"zeroseg\[supervision\]"):
        detections(torch.zeros(2, 2).long(), NAMES)


def test_an_export_that_fails_leaves_no_file(tmp_path):
    def pictures():
        raise InputError("gone")
        yield

    with pytest.raises(InputError, match="gone"):
        write_cvat(tmp_path, pictures(), Legend(NAMES, background=True))
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_what_it_segmented(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (30, 20), "red").save(tmp_path / name)
    args = [
        "segment",
        "clip:zeroseg-scenes::maskclip",
        f"{tmp_path}/*.jpg",
        "--classes",
        "grass,sky",
    ]
    out = tmp_path / "out"
    cli.main([*args, "--output", str(out), "--export", "coco", "labelme", "cvat", "label-studio"])
    content = json.loads((out / "exports/coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg", "b.jpg"]
    assert sorted(p.name for p in (out / "exports").iterdir()) == [
        *("coco.json", "cvat.xml", "label-studio.json", "label-studio.xml", "labelme"),
    ]
    about = json.loads((out / "exports/labelme/a.json").read_text())
    assert (out / "exports/labelme" / about["imagePath"]).resolve() == tmp_path / "a.jpg"
