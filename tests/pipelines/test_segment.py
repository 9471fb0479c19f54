"""`zeroseg segment`: what its files say, for a few words and for more than a byte can number."""

import json

import numpy as np
import pytest
from PIL import Image

import zeroseg
from pipelines import cli
from shards.scenes import scene
from zeroseg.data.label_files import label_ids
from zeroseg.evaluation.pictures import word_colours

MODEL = "clip:zeroseg-scenes:maskclip"
STUFF = ["grass", "sky", "water", "sand"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(scene(np.random.default_rng(3))[0]).save(path)
    return path


@pytest.mark.parametrize("others", [0, 251, 300])
def test_files_agree_with_each_other_and_the_model_however_many_words(photo, tmp_path, others):
    words = [f"zzqx{i}" for i in range(others)] + STUFF
    cli.main(
        ["segment", MODEL, str(photo), "--classes", ",".join(words), "--output", str(tmp_path)]
    )
    ids = label_ids((tmp_path / "photo.labels.png").read_bytes())
    about = json.loads((tmp_path / "photo.json").read_text())
    assert about["classes"] == words
    assert np.array_equal(ids, zeroseg.load(MODEL).segment(photo, words).numpy())
    shares = np.bincount(ids.ravel(), minlength=len(words)) / ids.size
    assert shares[others:].sum() > 0.5
    assert [about["share_of_pixels"][w] for w in words] == pytest.approx(shares, abs=1e-4)
    with Image.open(tmp_path / "photo.labels.png") as picture:
        assert np.array_equal(np.array(picture), ids)
        assert picture.mode == ("P" if len(words) <= 255 else "I;16")
        if picture.mode == "P":
            colours = np.array(picture.getpalette()).reshape(-1, 3)
            assert np.array_equal(colours[: len(words)], word_colours(words))
            assert (colours[len(words) :] == 255).all()
    with Image.open(tmp_path / "photo.overlay.png") as overlay:
        legend = np.array(overlay)[ids.shape[0] :]
    best = int(shares.argmax())
    assert (legend == word_colours(words)[best]).all(axis=2).any()
