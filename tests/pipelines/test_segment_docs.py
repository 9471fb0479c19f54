"""docs/segment.md, every line of it run as it is written but for the model, which is the embedded CLIP."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from shards.scenes import scene
from zeroseg.data.label_files import label_ids
from zeroseg.store.manifest import read_manifest

PAGE = (Path(__file__).parents[2] / "docs/segment.md").read_text()
COMMANDS = [line.strip() for line in re.findall(r"^    zeroseg .*$", PAGE, re.M)]
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
MODEL = "clip:zeroseg-scenes::maskclip"


@pytest.mark.filterwarnings("ignore:OpenCV")
def test_every_line_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["a.jpg", "sub/b.jpg"]):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(np.random.default_rng(number))[0]).save(Path("photos", name))
    Path("names.txt").write_text("background\ngrass\nsky\nsand|beach\n", encoding="utf-8")
    cli.main(["shards", "build", "folder", "photos", "data/photos"])
    for command in COMMANDS:
        cli.main(shlex.split(command.replace("runs/x", MODEL))[1:])
    assert capsys.readouterr().err.count("error") == 0
    pictures = {n: len(list(Path(n).rglob("*.labels.png"))) for n in map(str, Path().glob("out*"))}
    assert pictures == {"out": 2, "out-2": 2, "out-3": 1} | {f"out-{n}": 2 for n in range(4, 9)}
    assert json.loads(Path("out/sub/b.json").read_text(encoding="utf-8"))["classes"] == [
        "cat",
        "sofa, couch",
        "grass",
    ]
    assert label_ids(Path("out-6/a.labels.png").read_bytes()).max() <= 2
    for kind in ("labelme", "cvat", "studio"):
        manifest = read_manifest(f"data/{kind}")
        assert manifest is not None
        assert (manifest.samples, manifest.left_out) == (2, 0)
    names: dict = {}
    exec(PYTHON.replace("runs/x", MODEL), names)
    assert set(names["found"].class_id) <= {0, 1, 2}
    assert len(names["found"]) > 0


@pytest.mark.real
def test_real_photos_are_segmented_in_batches_as_alone(real, tmp_path):
    import zeroseg
    from configs.real_photos import clip

    zeroseg.CLIP(clip)  # whose loading makes its architecture known
    model = f"clip:{clip}:maskclip"
    photos = sorted((real / "voc/VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[::200]
    words = ["cat", "dog", "horse", "car"]
    args = ["segment", model, *map(str, photos), "--classes", ",".join(words), "--confidence"]
    cli.main([*args, "--output", str(tmp_path), "--export", "cvat"])
    predictor = zeroseg.load(model)
    for photo in photos:
        alone = predictor.segment(photo, words).numpy()
        found = label_ids((tmp_path / f"{photo.stem}.labels.png").read_bytes())
        assert (found != alone).mean() < 1e-3  # of a batch, sums are added in another order
