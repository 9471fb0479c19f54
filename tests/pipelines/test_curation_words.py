"""Images by words: on vectors that are written here, and through the command with the scenes' CLIP."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines import cli
from pipelines.curate import main
from pipelines.curation.facts import SIDE, Facts
from pipelines.curation.vocabulary import Vocabulary
from pipelines.curation.words import Wording, Words, picked, text_rows
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import done, program
from zeroseg import InputError
from zeroseg.datasets.class_names import VOC
from zeroseg.datasets.name_lists import read_names
from zeroseg.models.clip import CLIP, CLIPConfig
from zeroseg.models.prompts import BARE
from zeroseg.store.selection import read_left_out, read_selection

IMAGES = 24


def facts(rows: np.ndarray) -> Facts:
    """Of images of 9 x 9 pixels with these embeddings."""
    count = len(rows)
    return Facts(
        keys=np.array([f"{number:03d}".encode() for number in range(count)]),
        digests=np.zeros((count, 32), np.uint8),
        sizes=np.full((count, 2), 9),
        levels=np.full((count, 3), (50, 0.1, 0), np.float32),
        shown=np.zeros(count, bool),
        embedded=rows.any(axis=1),
        thumbnails=np.zeros((count, SIDE**2), np.float16),
        rows=rows.astype(np.float16),
    )


def at(*degrees: float) -> np.ndarray:
    """Unit vectors of the plane."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def everything(of: Facts) -> np.ndarray:
    return np.ones(len(of), bool)


OF = facts(at(0, 10, 40, 60, 80, 90))
WORD, OTHER = at(0), at(90)


def gone_by(words: Words, like=WORD, unlike=OTHER) -> dict[int, str]:
    said = Wording(words=words, like=like, unlike=unlike)
    found = (
        said.like_gone(OF, everything(OF))
        if words.like_decides
        else said.unlike_gone(OF, everything(OF))
    )
    return {number: verdict.reason for number, verdict in found.items()}


def test_like_leaves_the_best_by_number_share_or_cosine():
    rest = dict.fromkeys((2, 3, 4, 5), 'not like "dog|hound"')
    for numbers in ({"like_best": 2}, {"like_best": 0.33}, {"like_cosine": 0.9}):
        assert gone_by(Words(like=("dog|hound",), **numbers)) == rest
    both = Words(like=("dog",), like_best=4, like_cosine=0.9)
    assert list(gone_by(both)) == [2, 3, 4, 5]
    assert gone_by(Words(like=("dog",), like_best=99)) == {}


def test_of_several_words_each_has_its_quota_and_a_reason_names_the_nearest():
    found = gone_by(Words(like=("a", "b"), like_best=2), like=at(0, 90))
    assert found == {2: 'not like "a"', 3: 'not like "b"'}


def test_unlike_drops_the_best_or_what_is_nearer_than_to_any_like_word():
    assert gone_by(Words(unlike=("text",), unlike_best=1)) == {5: 'unlike "text"'}
    by_cosine = gone_by(Words(unlike=("text",), unlike_cosine=0.8))
    assert list(by_cosine) == [3, 4, 5]
    contrast = Words(like=("a", "b"), unlike=("text",))
    assert list(gone_by(contrast, like=at(0, 55))) == [4, 5]


def test_verdicts_have_the_cosine_with_the_word():
    said = Wording(words=Words(unlike=("x",), unlike_cosine=0.99), like=WORD[:0], unlike=OTHER)
    verdicts = said.unlike_gone(OF, everything(OF))
    assert verdicts[5].cosine == pytest.approx(1, abs=1e-3)
    left = everything(OF)
    left[5] = False
    assert said.unlike_gone(OF, left) == {}


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 9))
def test_each_word_has_exactly_its_best(images, texts, count, seed):
    rng = np.random.default_rng(seed)
    of = facts(rng.standard_normal((images, 8)))
    words = rng.standard_normal((texts, 8)).astype(np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    found, cosines, which = picked(of, np.arange(images), words, count, None)
    rows = of.rows.astype(np.float32)
    product = rows / np.linalg.norm(rows, axis=1, keepdims=True) @ words.T
    best = {n for c in product.T for n in np.argsort(-c, kind="stable")[:count]}
    assert set(np.flatnonzero(found)) == best
    np.testing.assert_allclose(cosines, product.max(axis=1), atol=1e-5)
    assert (which == product.argmax(axis=1)).all()


def test_names_are_counted_before_and_after_and_thinned_by_seed():
    names = Vocabulary(names=("a", "b, c", "never"), rows=np.concatenate([at(0, 90), -WORD]))
    counted = names.counted(OF)
    assert counted.which.tolist() == [0, 0, 0, 1, 1, 1]
    chosen = {tuple(sorted(counted.too_many(OF, everything(OF), 1, seed))) for seed in range(20)}
    assert len(chosen) > 1
    for gone in chosen:
        assert sorted(counted.which[list(gone)].tolist()) == [0, 0, 1, 1]
    assert counted.too_many(OF, everything(OF), 3, 0) == {}
    files = counted.files([0, 1, 5])
    lines = list(csv.reader(io.StringIO(files["vocabulary.csv"].decode())))
    assert lines == [
        ["name", "before", "after"],
        ["a", "3", "1"],
        ["b, c", "3", "2"],
        ["never", "0", "0"],
    ]
    assert Image.open(io.BytesIO(files["vocabulary.png"])).width > 600


def test_what_has_no_embedding_has_no_name():
    counted = Vocabulary(names=("a",), rows=WORD).counted(facts(np.array([[0, 0], [1, 1]])))
    assert counted.which.tolist() == [-1, 0]


def test_texts_are_those_of_the_clip_in_any_blocks():
    clip = CLIP(CLIPConfig(architecture="zeroseg-scenes", weights=""))
    names = [*scenes.STUFF, "red ball|crimson ball", *(f"blue {n}" for n in range(70))]
    spelled = [name.replace("|", ", ") for name in names]
    wanted = clip.class_embeddings(spelled, BARE).numpy()
    np.testing.assert_allclose(text_rows(clip, names), wanted, atol=1e-5)
    assert text_rows(clip, []).shape == (0, clip.embed_dim)


def test_names_are_of_a_benchmark_or_a_file(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("\ufeffred ball\n\n blue tent \n", encoding="utf-8")
    assert read_names(str(file), "--names") == ("red ball", "blue tent")
    assert len(read_names("voc21", "--names")) == len(VOC)
    assert len(read_names("ade847", "--names")) == 847


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("set") / "set")
    build(scenes.Scenes("train", IMAGES).source(), folder, Limits(images_per_shard=9, workers=0))
    return folder


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory, shards) -> str:
    folder = str(tmp_path_factory.mktemp("e") / "e")
    which = ["--teacher", "zeroseg-scenes", "--grids", "1", "--side", "112", "--workers", "0"]
    cli.main(["embed", "--shards", shards, "--output", folder, *which])
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_command_goes_by_words_and_writes_what_there_is(shards, embeddings, tmp_path, capsys):
    asked = ["--unlike", "water", "--unlike-best", "4", "--like", "red ball", "yellow star"]
    asked += ["--like-best", "0.4", "--names", "scenes", "--names-at-most", "2", "--workers", "0"]
    args = [shards, "--embeddings", embeddings, *asked, "--output"]
    cli.main(["curate", *args, str(tmp_path / "s")])
    selection = read_selection(str(tmp_path / "s"))
    assert selection.reasons['unlike "water"'] == 4
    assert selection.steps["like"] == ["red ball", "yellow star"]
    assert selection.samples <= 16
    told = capsys.readouterr().out
    assert '       4  unlike "water"' in told
    lines = [v for s in selection.shards for v in read_left_out(str(tmp_path / "s"), s)]
    assert all(line.cosine is not None for line in lines)
    table = list(csv.DictReader((tmp_path / "s" / "vocabulary.csv").open(encoding="utf-8")))
    assert sum(int(line["before"]) for line in table) == IMAGES
    assert sum(int(line["after"]) for line in table) == selection.samples
    assert max(int(line["after"]) for line in table) <= 2
    done(program, "pipelines.curate", [*args, str(tmp_path / "two")], ranks=2)
    assert content(tmp_path / "two") == content(tmp_path / "s")
    with pytest.raises(InputError, match="of other shards, embeddings or steps"):
        main([*args[:-1], "--names", "scenes-objects", "--output", str(tmp_path / "s")])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--like", "dog", "--like-best", "3"], "name --embeddings"),
        (["--names", "voc20"], "name --embeddings"),
        (["--like", "dog"], "--like does not say how much"),
        (["--unlike", "dog"], "--unlike does not say how much"),
        (["--like", "dog", "--unlike", " dog", "--like-best", "3"], "'dog' twice"),
        (["--like", " ", "--like-best", "3"], "holds no word"),
        (["--like", "dog", "--like-best", "2.5"], "a share below 1"),
        (["--like", "dog", "--like-cosine", "2"], "between -1 and 1"),
        (["--like-best", "2"], "name --like"),
        (["--names-at-most", "2"], "of --names"),
        (["--names", "no-such-list", "--embeddings", "E"], "cannot be read as text"),
        (["--names", "EMPTY", "--embeddings", "E"], "has no name"),
        (["--names", "TWICE", "--embeddings", "E"], "'dog' twice"),
        (["--like", "dog", "--like-best", "3", "--embeddings", "OTHER"], "of other weights"),
    ],
)
def test_what_is_wrong_is_one_line(shards, embeddings, tmp_path, options, why):
    (tmp_path / "EMPTY").write_text("\n \n", encoding="utf-8")
    (tmp_path / "TWICE").write_text("dog\ncat\ndog\n", encoding="utf-8")
    other = tmp_path / "OTHER"
    other.mkdir()
    for path in Path(embeddings).iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    record = json.loads((other / "embeddings.json").read_text(encoding="utf-8"))
    record["weights_sha256"] = "0" * 64
    (other / "embeddings.json").write_text(json.dumps(record), encoding="utf-8")
    here = {"E": embeddings} | {n: str(tmp_path / n) for n in ("EMPTY", "TWICE", "OTHER")}
    named = [here.get(option, option) for option in options]
    with pytest.raises(InputError) as refused:
        main([shards, *named, "--output", str(tmp_path / "s"), "--workers", "0"])
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "s" / "selection.json").exists()
    assert not list((tmp_path / "s").glob(".curating/*.npz"))
