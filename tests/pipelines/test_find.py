"""An index beside embeddings, written by real processes, killed, continued; and what is found in it."""

import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from shards import scenes
from shards.build import Limits, build
from tests.support.jobs import Job, done
from tests.support.selections import leave_out
from tests.support.small_index import index
from zeroseg import InputError
from zeroseg.data.embedding_index import build_index, open_index
from zeroseg.data.embeddings import open_embeddings
from zeroseg.store.reader import ShardReader
from zeroseg.store.shard_cache import ShardCache
from zeroseg.store.shard_set import open_set

CACHE = ShardCache(retries=0)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    build(scenes.Scenes("train", 42).source(), str(folder), Limits(images_per_shard=8, workers=0))
    return folder


@pytest.fixture(scope="module")
def embedded(images, tmp_path_factory) -> Path:
    """Without an index."""
    folder = tmp_path_factory.mktemp("embedded") / "e"
    options = ["--teacher", "zeroseg-scenes", "--grids", "1", "--side", "96", "--workers", "0"]
    cli.main(["embed", "--shards", str(images), "--output", str(folder), *options])
    return folder


@pytest.fixture(scope="module")
def indexed(embedded, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("indexed") / "e"
    shutil.copytree(embedded, folder)
    build_index(str(folder), "fp16", CACHE, 0, 1)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_two_processes_and_one_that_was_killed_write_the_files_of_one(embedded, tmp_path):
    folders = [tmp_path / name for name in ("one", "two", "killed")]
    for folder in folders:
        shutil.copytree(embedded, folder)
    one, two, killed = folders
    done(index, str(one))
    assert len(list((one / "index").glob("*.faiss"))) == 4  # trained, and three pieces
    done(index, str(two), ranks=2)
    assert digests(two) == digests(one)
    job = Job(index, str(killed))
    while not list((killed / "index").glob("shard-*.faiss")) and job.running:
        time.sleep(0.001)
    job.kill()
    assert (killed / "index/trained.faiss").is_file()
    done(index, str(killed))
    assert digests(killed) == digests(one)


def test_a_half_written_index_or_one_of_another_kind_is_told(embedded, tmp_path):
    folder = tmp_path / "e"
    shutil.copytree(embedded, folder)
    stored = open_embeddings(str(folder), CACHE)
    with pytest.raises(InputError, match=r"has no index: .*--index fp16"):
        open_index(str(folder), stored)
    build_index(str(folder), "fp16", CACHE, 0, 1)
    before = digests(folder)
    build_index(str(folder), "fp16", CACHE, 0, 1)
    assert digests(folder) == before
    with pytest.raises(InputError, match=r"of kind fp16: remove .*index"):
        build_index(str(folder), "pq", CACHE, 0, 1)
    (folder / "index/index.json").unlink()
    with pytest.raises(InputError, match="has no finished index"):
        open_index(str(folder), stored)


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in output.with_suffix(".jsonl").read_text().splitlines()]


def test_a_picture_is_found_by_itself_and_words_by_their_embedding(
    images, indexed, tmp_path, capsys
):
    reader = ShardReader(open_set(str(images), CACHE), CACHE)
    sample = reader.read(2, 3)
    photo, output = tmp_path / "photo.jpg", tmp_path / "found.png"
    extension = next(name for name in sample.members if name in ("jpg", "png", "webp"))
    photo.write_bytes(sample.members[extension])
    arguments = [str(indexed), "grass", "--image", str(photo), "--count", "5"]
    cli.main(["find", *arguments, "--output", str(output)])
    found = lines(output)
    assert [line["query"] for line in found] == ["grass"] * 5 + [str(photo)] * 5
    assert (found[5]["shard"], found[5]["key"]) == ("shard-000002.tar", sample.key)
    assert found[5]["cosine"] == pytest.approx(1, abs=2e-3)
    for some in (found[:5], found[5:]):
        assert np.all(np.diff([line["cosine"] for line in some]) <= 0)
    assert Image.open(output).size == (6 * 168 + 8, 2 * 200 + 8)
    told = capsys.readouterr().out
    assert f"  {found[0]['cosine']:.4f}  {found[0]['shard']}  {found[0]['key']}" in told
    chosen = tmp_path / "chosen"
    leave_out(str(images), chosen, [2 * 8 + 3])
    cli.main(["find", *arguments, "--selection", str(chosen), "--output", str(output)])
    assert sample.key not in [line["key"] for line in lines(output)]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "nothing to find"),
        ([" , "], "say nothing"),
        (["--image", "{tmp}/none.jpg"], "is no file"),
        (["--image", "{tmp}/broken.jpg"], "is no picture"),
        (["grass", "--shards", "{tmp}/none"], "none"),
        (["grass", "--templates", "none"], "templates 'none' are unknown"),
        (["grass", "--count", "0"], "must be at least 1"),
        (["grass", "--output", "{tmp}/found.jsonl"], "name a .png"),
    ],
)
def test_what_cannot_be_found_is_told_in_a_line(indexed, tmp_path, capsys, more, told):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    more = [text.format(tmp=tmp_path) for text in more]
    with pytest.raises(SystemExit):
        cli.main(["find", str(indexed), "--output", str(tmp_path / "found.png"), *more])
    said = capsys.readouterr().err
    assert told in said
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "found.png").exists()


def test_a_selection_of_other_images_in_shards_of_the_same_names_is_refused(
    indexed, tmp_path, capsys
):
    others, chosen = str(tmp_path / "others"), str(tmp_path / "chosen")
    build(scenes.Scenes("test", 42).source(), others, Limits(images_per_shard=8, workers=0))
    leave_out(others, Path(chosen), [3])
    output = str(tmp_path / "found.png")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["find", str(indexed), "grass", "--selection", chosen, "--output", output])
    said = capsys.readouterr().err
    assert "is of other shards (shard-000000.tar has another SHA-256)" in said
    assert len(said.splitlines()) == 1


def test_embeddings_of_other_weights_are_refused(indexed, tmp_path, capsys):
    folder = tmp_path / "e"
    shutil.copytree(indexed, folder)
    record = json.loads((folder / "embeddings.json").read_text())
    (folder / "embeddings.json").write_text(json.dumps(record | {"weights_sha256": "0" * 64}))
    with pytest.raises(SystemExit):
        cli.main(["find", str(folder), "grass", "--output", str(tmp_path / "found.png")])
    assert "are of other weights than" in capsys.readouterr().err
