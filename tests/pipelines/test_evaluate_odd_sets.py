"""Sets as people have them, scored by the command: nothing is counted that has no label, and all is said."""

import json
import math

import numpy as np
import pytest

from pipelines import cli
from shards.sample import encoded
from shards.scenes import scene
from tests.support.damage import tar
from zeroseg.data.label_files import encode_labels
from zeroseg.datasets.benchmarks import IGNORE, SCENES

RESULT = "results/scenes-scenes-zeroseg-scenes-cells2.json"


def scene_of(number: int) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = scene(np.random.default_rng(number), sorted(SCENES.unseen))
    return pixels, labels.astype(np.int64)


def members(key: str, pixels: np.ndarray, labels: np.ndarray | None, **options):
    yield f"{key}.jpg", encoded(pixels, "jpeg", quality=95, **options)
    if labels is not None:
        yield f"{key}.png", encode_labels(labels)


def scored(tmp_path, capsys, samples, *more: str) -> tuple[dict, str]:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.tar").write_bytes(tar(m for sample in samples for m in sample))
    cli.main(
        ["evaluate", "clip:zeroseg-scenes::cells2", "--benchmark", "scenes"]
        + ["--shards", str(folder), "--protocol.name", "scenes", "--output", str(tmp_path / "out")]
        + list(more or ("--examples", "0"))
    )
    return json.loads((tmp_path / "out" / RESULT).read_text()), capsys.readouterr().out


def images(result: dict) -> dict[str, float | None]:
    return {image["key"]: image["pixel_accuracy"] for image in result["images"]}


def test_an_image_without_a_labelled_pixel_counts_in_no_score(tmp_path, capsys):
    pixels, labels = scene_of(0)
    nothing = np.full_like(labels, IGNORE)
    both = [members("a", pixels, nothing), members("b", pixels, labels)]
    result, said = scored(tmp_path, capsys, both, "--examples", "2")
    assert images(result)["a"] is None
    assert result["scores"]["pixel_accuracy"] == pytest.approx(images(result)["b"], abs=1e-6)
    assert "1 of 2 images have no labelled pixel" in said
    assert sum(map(sum, result["confusion"])) == labels.size


def test_a_set_without_a_labelled_pixel_has_no_score_and_says_so(tmp_path, capsys):
    pixels, labels = scene_of(0)
    nothing = np.full_like(labels, IGNORE)
    result, said = scored(tmp_path, capsys, [members(k, pixels, nothing) for k in "ab"])
    assert result["scores"]["miou"] is None
    assert result["scores"]["miou_interval"] == [None, None]
    assert images(result) == {"a": None, "b": None}
    assert "2 of 2 images have no labelled pixel" in said


def test_a_set_without_label_maps_is_refused_in_one_line(tmp_path, capsys):
    pixels, _ = scene_of(0)
    with pytest.raises(SystemExit) as stop:
        scored(tmp_path, capsys, [members(k, pixels, None) for k in "ab"])
    assert stop.value.code == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert "no label map" in line


def test_pictures_of_any_shape_are_scored_over_their_own_labels(tmp_path, capsys):
    pixels, labels = scene_of(1)
    shapes = {"dot": (1, 1), "row": (1, 90), "column": (90, 1), "whole": labels.shape}
    parts = [members(k, pixels[:h, :w], labels[:h, :w]) for k, (h, w) in shapes.items()]
    result, _ = scored(tmp_path, capsys, parts)
    assert images(result).keys() == shapes.keys()
    assert not any(v is None or math.isnan(v) for v in images(result).values())
    assert sum(map(sum, result["confusion"])) == 1 + 90 + 90 + labels.size
    assert not result["scores"]["skipped"]


def test_a_picture_that_lies_on_its_side_is_turned_with_its_labels(tmp_path, capsys):
    from PIL import Image

    pixels, labels = scene_of(2)
    parts = []
    for orientation in (1, 3, 6):
        tag = Image.Exif()
        tag[0x112] = orientation
        turns = {1: 0, 3: 2, 6: 1}[orientation]  # stored so that the upright picture is the scene
        stored = np.rot90(pixels, turns).copy(), np.rot90(labels, turns).copy()
        parts.append(members(f"o{orientation}", *stored, exif=tag))
    result, _ = scored(tmp_path, capsys, parts)
    right = images(result)
    assert right["o1"] > 0.3
    assert all(right[key] == pytest.approx(right["o1"], abs=0.02) for key in ("o3", "o6"))


def test_a_set_whose_pictures_and_maps_stand_apart_is_refused_before_anything_is_scored(
    tmp_path, capsys
):
    samples = [list(members(str(n), *scene_of(n))) for n in range(2)]
    with pytest.raises(SystemExit):
        scored(tmp_path, capsys, [[s[0] for s in samples], [s[1] for s in samples]])
    assert "twice" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
