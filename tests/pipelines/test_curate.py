"""`zeroseg curate` on pictures with planted duplicates and junk: alone, killed, by two processes."""

import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from pipelines.curate import main
from pipelines.curation.plan import begin
from pipelines.shards import main as shards_main
from shards import scenes
from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from tests.support.jobs import Job, done, program
from tests.support.streams import IMPATIENT
from zeroseg import InputError
from zeroseg.data.images import decode_image
from zeroseg.store.selection import read_left_out, read_selection
from zeroseg.store.shard_set import open_set

PHOTOS = 14
OTHERS = {
    "GRIDS": ["--grids", "2"],
    "CROPS": ["--grids", "1", "--crops.count", "2"],
    "OTHERS": ["--grids", "1"],
}
"""Embeddings that do not fit, and how they are made."""


def changed(data: bytes, size: tuple[int, int] | None = None) -> bytes:
    with Image.open(io.BytesIO(data)) as photo:
        buffer = io.BytesIO()
        photo.resize(size or photo.size).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def corpus() -> dict[str, bytes]:
    """Scenes by key, with copies of some and pictures of nothing among them."""
    source = scenes.Scenes("train", PHOTOS).source()
    found = {s.key.replace("/", "-"): s.image for unit in source.units for s in source.read(unit)}
    keys = list(found)
    width, height = Image.open(io.BytesIO(found[keys[0]])).size
    noise = np.random.default_rng(0).integers(0, 256, (30, 200, 3), dtype=np.uint8)
    return found | {
        "a-same": found[keys[3]],
        "z-same": found[keys[3]],
        "smaller": changed(found[keys[5]], (width * 3 // 4, height * 3 // 4)),
        "again": changed(found[keys[5]]),
        "flat": encoded(np.full((90, 90, 3), 77, np.uint8), "png"),
        "strip": encoded(noise.repeat(4, axis=0).repeat(4, axis=1), "png"),
        "tiny": encoded(noise[:, :40], "png"),
        "torn": found[keys[0]][:200],
    }


def stored(key: str, image: bytes) -> Sample:
    """As it is, so that a torn one gets into a shard too."""
    return Sample(key, image, members={"jpg": image})


def written(folder: Path, pictures: dict[str, bytes]) -> str:
    units = list(pictures.items())
    source = Source(units=units, read=lambda unit: [stored(*unit)], built_from={})
    build(source, str(folder), Limits(images_per_shard=5, workers=0, order="path"))
    return str(folder)


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    return corpus()


@pytest.fixture(scope="module")
def shards(tmp_path_factory, pictures) -> str:
    return written(tmp_path_factory.mktemp("set"), pictures)


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory, shards) -> str:
    folder = tmp_path_factory.mktemp("e") / "e"
    which = ["--teacher", "zeroseg-scenes", "--grids", "1", "--side", "112", "--workers", "0"]
    cli.main(["embed", "--shards", shards, "--output", str(folder), *which])
    return str(folder)


def arguments(shards: str, embeddings: str, output: Path, *more: str) -> list[str]:
    which = ["--embeddings", embeddings, "--duplicates", "0.995", "--junk", *more]
    return [shards, *which, "--output", str(output), "--workers", "0"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shards, embeddings) -> Path:
    """What one process writes without being disturbed."""
    folder = tmp_path_factory.mktemp("s") / "s"
    cli.main(["curate", *arguments(shards, embeddings, folder)])
    return folder


def gone(folder: Path) -> dict[str, tuple[str, str]]:
    """Reason, and what stays instead, of each key that goes."""
    selection = read_selection(str(folder))
    lines = [line for shard in selection.shards for line in read_left_out(str(folder), shard)]
    return {line.key: (line.reason, line.instead.partition(" ")[2]) for line in lines}


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_planted_copies_and_junk_go_and_say_why(whole, pictures, capsys):
    keys = list(pictures)
    assert gone(whole) == {
        keys[3]: ("exact duplicate", "a-same"),
        "z-same": ("exact duplicate", "a-same"),
        keys[5]: ("same picture", "again"),
        "smaller": ("same picture", "again"),
        "flat": ("flat", ""),
        "strip": ("narrow", ""),
        "tiny": ("tiny", ""),
        "torn": ("unreadable", ""),
    }
    selection = read_selection(str(whole))
    assert selection.samples == len(pictures) - 8
    assert selection.steps["duplicates"] == 0.995
    assert selection.steps["junk"]["tiny"] == 64
    assert sorted(p.name for p in whole.iterdir() if p.suffix != ".jsonl") == ["selection.json"]


def test_finished_it_is_left_as_it_is_and_other_steps_are_refused(
    shards, embeddings, whole, capsys
):
    before = content(whole)
    (whole / ".curating").mkdir()  # as it is where it was stopped before it was tidied
    (whole / ".curating" / "plan.json").write_text("{}")
    cli.main(["curate", *arguments(shards, embeddings, whole)])
    assert not (whole / ".curating").exists()
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"{whole}: {PHOTOS} of {PHOTOS + 8} images stay"
    assert "       2  exact duplicate" in told
    with pytest.raises(SystemExit):
        cli.main(["curate", *arguments(shards, embeddings, whole, "--tiny", "10")])
    assert "holds a selection of other shards, embeddings or steps" in capsys.readouterr().err
    assert content(whole) == before


def test_killed_anywhere_and_continued_it_writes_the_same_bytes(
    shards, embeddings, whole, tmp_path
):
    args = arguments(shards, embeddings, tmp_path / "s")
    for least in (1, 3):
        job = Job(program, "pipelines.curate", args)
        while job.running and len(list((tmp_path / "s").glob(".curating/*.npz"))) < least:
            time.sleep(0.002)
        job.kill()
    done(program, "pipelines.curate", args)
    assert content(tmp_path / "s") == content(whole)


def test_two_processes_write_the_files_of_one(shards, embeddings, whole, tmp_path):
    done(program, "pipelines.curate", arguments(shards, embeddings, tmp_path / "s"), ranks=2)
    assert content(tmp_path / "s") == content(whole)


def test_a_process_that_was_asked_something_else_than_the_first_is_refused(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(begin, str(tmp_path), {"steps": {"balance": 3}}, claim=False)
        begin(str(tmp_path), {"steps": {"balance": 4}}, claim=True)
        with pytest.raises(InputError, match="holds a selection of other"):
            other.result(60)


def test_files_alone_need_no_embeddings(shards, tmp_path, pictures):
    files = ["--duplicates", "1", "--same-picture", "1"]
    cli.main(["curate", shards, *files, "--output", str(tmp_path / "s"), "--workers", "0"])
    reasons = {reason for reason, _ in gone(tmp_path / "s").values()}
    assert reasons == {"exact duplicate", "unreadable"}
    assert open_set(shards, IMPATIENT, selection=str(tmp_path / "s")).samples == len(pictures) - 3


def test_the_selection_is_shown_and_copied(shards, whole, tmp_path, capsys):
    sheet = str(tmp_path / "sheet.png")
    shards_main(["show", shards, "--selection", str(whole), "--output", sheet])
    copy = str(tmp_path / "copy")
    shards_main(["build", "copy", shards, copy, "--selection", str(whole), "--workers", "0"])
    cli.main(["curate", copy, "--duplicates", "1", "--junk", "--output", str(tmp_path / "s")])
    told = capsys.readouterr().out
    assert f"{sheet}: {PHOTOS} of {PHOTOS} images" in told
    assert f"{PHOTOS} of {PHOTOS} images stay" in told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "nothing is asked for"),
        (["--duplicates", "0.9"], "name --embeddings"),
        (["--duplicates", "1.5"], "it is a cosine"),
        (["--duplicates"], "name --embeddings"),
        (["--balance", "5"], "name --embeddings"),
        (["--balance", "-5"], "both are at least 0"),
        (["--duplicates", "1", "--same-picture", "0"], "it is a cosine"),
        (["--junk", "--narrow", "0.5"], "narrow at least 1"),
        (["--duplicates", "0.9", "--embeddings", "SHARDS"], "holds no embeddings"),
        (["--duplicates", "0.9", "--embeddings", "GRIDS"], "has the views 2x2, not 1x1"),
        (["--duplicates", "0.9", "--embeddings", "CROPS"], "of random crops"),
        (["--duplicates", "0.9", "--embeddings", "OTHERS"], "is stale"),
    ],
)
def test_what_is_wrong_is_one_line(shards, embeddings, pictures, tmp_path, options, why):
    folder = {"SHARDS": shards}.get(options[-1], str(tmp_path / "e")) if options else ""
    if options and options[-1] in OTHERS:
        images = list(pictures.values())
        moved = dict(zip(pictures, images[1:-1] + images[:1], strict=False))
        of = written(tmp_path / "moved", moved) if options[-1] == "OTHERS" else shards
        which = ["--teacher", "zeroseg-scenes", "--side", "112", "--workers", "0"]
        cli.main(["embed", "--shards", of, "--output", folder, *which, *OTHERS[options[-1]]])
    named = [folder if option in OTHERS or option == "SHARDS" else option for option in options]
    with pytest.raises(InputError) as refused:
        main([shards, *named, "--output", str(tmp_path / "s"), "--workers", "0"])
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "s" / "selection.json").exists()


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory, pictures) -> str:
    """Labelled images of which the corpus has a file, a mirrored one, a crop and a smaller copy."""
    generator, images = np.random.default_rng(3), list(pictures.values())
    hidden = [decode_image(images[number]).permute(1, 2, 0).numpy() for number in (7, 8, 9)]
    wide = np.pad(hidden[1], ((10, 11), (10, 11), (0, 0)), "symmetric")
    held = {
        "file": images[6],
        "mirrored": encoded(hidden[0][:, ::-1].copy(), "png"),
        "cropped": encoded(wide, "png"),
        "larger": encoded(hidden[2].repeat(2, axis=0).repeat(2, axis=1), "png"),
        "other": encoded(generator.integers(0, 256, (80, 90, 3), dtype=np.uint8), "png"),
        "torn": images[0][:99],
    }
    return written(tmp_path_factory.mktemp("benchmark"), held)


def test_images_of_a_benchmark_go_and_say_which_they_are(
    shards, benchmark, embeddings, pictures, tmp_path, capsys
):
    keys = list(pictures)
    options = ["--against", benchmark, "--workers", "0"]
    alone = ["--against-cosine", "1", "--output", str(tmp_path / "alone")]
    cli.main(["curate", shards, *options, *alone])
    reason = f"in {benchmark}"
    found = gone(tmp_path / "alone")
    assert found.pop("torn") == ("unreadable", "")
    assert found == {
        keys[6]: (reason, "file"),
        keys[7]: (reason, "mirrored"),
        keys[9]: (reason, "larger"),
    }
    by_embedding = ["--embeddings", embeddings, "--against-cosine", "0.9999"]
    cli.main(["curate", shards, *options, *by_embedding, "--output", str(tmp_path / "s")])
    found = gone(tmp_path / "s")
    assert found[keys[8]] == (reason, "cropped")
    assert found.keys() >= {keys[6], keys[7], keys[9]}
    told = capsys.readouterr()
    assert f"       3  {reason}" in told.out
    assert told.err.count("not compared") == 2
    assert "torn" in told.err
    steps = read_selection(str(tmp_path / "s")).steps
    assert list(steps["against"]) == [benchmark]


def test_of_what_is_left_as_many_stay_as_were_asked_for(shards, embeddings, whole, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        options = ["--balance", "6", "--seed", seed]
        cli.main(["curate", *arguments(shards, embeddings, tmp_path / name, *options)])
    assert content(tmp_path / "a") == content(tmp_path / "b") != content(tmp_path / "c")
    chosen = read_selection(str(tmp_path / "a"))
    before = read_selection(str(whole)).reasons
    assert chosen.samples == 6
    assert chosen.reasons == before | {"balance": PHOTOS - 6}
