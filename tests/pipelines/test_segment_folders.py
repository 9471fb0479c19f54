"""`zeroseg segment` of many pictures: inputs, names, going on, what cannot be read."""

import json
import shutil
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import zeroseg
from pipelines import cli
from pipelines.segmenting.batches import answered
from pipelines.segmenting.inputs import sources
from pipelines.segmenting.words import background_of, words_of
from shards.scenes import scene
from tests.support.jobs import Job, program
from zeroseg.data.label_files import label_ids
from zeroseg.errors import InputError

MODEL = "clip:zeroseg-scenes::maskclip"
WORDS = ["grass", "sky", "water", "sand"]
NAMES = ["a.jpg", "a.png", "sub/a.jpg", "b.jpg", "c d/é.webp"]


def painted(folder: Path, names=NAMES) -> Path:
    """Scenes of two sizes."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(scene(np.random.default_rng(number))[0])
        picture.crop((0, 0, 112, 84 if number % 2 else 112)).save(folder / name)
    return folder


def segment(*inputs: object, output: Path, options: tuple[str, ...] = (), words=WORDS) -> None:
    args = ["segment", MODEL, *map(str, inputs), "--classes", ",".join(words)]
    cli.main([*args, "--output", str(output), *options])


def stems(output: Path) -> set[str]:
    found = {str(p.relative_to(output)) for p in output.rglob("*.labels.png")}
    return {name.removesuffix(".labels.png") for name in found}


def ids(output: Path, stem: str) -> np.ndarray:
    return label_ids((output / f"{stem}.labels.png").read_bytes())


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return painted(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def output(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    segment(photos, output=folder, options=("--confidence", "--background", "0.3"))
    return folder


def test_batches_say_what_a_picture_alone_says_and_names_never_collide(photos, output):
    model = zeroseg.load(MODEL)
    expected = {"a.jpg": "a.jpg", "a.png": "a.png", "sub/a": NAMES[2], "b": NAMES[3]}
    expected["c d/é"] = NAMES[4]
    assert stems(output) == set(expected)
    for stem, name in expected.items():
        alone = model.segment(photos / name, WORDS, background=0.3)
        assert np.array_equal(ids(output, stem), alone.numpy())
        scores = model.scores(photos / name, WORDS).amax(0).numpy()
        with Image.open(output / f"{stem}.confidence.png") as picture:
            assert np.abs(np.array(picture) - 255 * scores).max() <= 0.51


def test_what_is_whole_is_left_and_what_changed_is_made_again(photos, output, tmp_path, capsys):
    mine, out = tmp_path / "photos", tmp_path / "out"
    shutil.copytree(photos, mine)
    segment(mine, output=out)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*.labels.png")}
    (out / "b.labels.png").unlink()
    Image.new("RGB", (50, 40), "red").save(mine / "sub/a.jpg")
    capsys.readouterr()
    segment(mine, output=out)
    again = {p for p, stamp in stamps.items() if p.stat().st_mtime_ns != stamp}
    assert again == {out / "b.labels.png", out / "sub/a.labels.png"}
    assert ids(out, "sub/a").shape == (40, 50)
    assert "5 of 5 pictures, 3 of them there already" in capsys.readouterr().out


def test_no_file_of_an_earlier_picture_stays_beside_the_answer(tmp_path):
    photo, out = tmp_path / "a.png", tmp_path / "out"
    Image.new("RGB", (40, 30), "red").save(photo)
    segment(photo, output=out, options=("--confidence",))
    Image.new("RGB", (50, 40), "blue").save(photo)
    segment(photo, output=out, options=("--no-overlays",))
    assert {p.name for p in out.glob("a.*")} == {"a.labels.png", "a.json"}
    segment(photo, output=out, options=("--confidence",))
    assert Image.open(out / "a.confidence.png").size == (50, 40)


def test_a_picture_that_changes_while_others_are_awaited_is_made_again(tmp_path):
    photo = painted(tmp_path, ["a.jpg"]) / "a.jpg"
    (source,) = sources([str(photo)], tmp_path / "out")
    before = source.version()

    def read() -> bytes:
        data = photo.read_bytes()
        photo.write_bytes(b"another, which is being written")
        return data

    model = zeroseg.load(MODEL)
    asked = model.task(WORDS), model.segmenter(), 1, pytest.fail
    (answer,) = answered([source._replace(read=read)], *asked)
    assert answer.version == before != source.version()


def test_an_answered_link_to_nothing_is_named_and_stops_no_other(tmp_path):
    mine, out = painted(tmp_path / "p", ["x.jpg", "y.jpg"]), tmp_path / "out"
    (mine / "z.jpg").symlink_to(tmp_path / "z.jpg")
    shutil.copy(mine / "x.jpg", tmp_path / "z.jpg")
    segment(mine, output=out)
    (tmp_path / "z.jpg").unlink()
    (out / "y.json").unlink()
    with pytest.raises(SystemExit) as stop:
        segment(mine, output=out)
    assert stop.value.code == 1
    assert (out / "unreadable.txt").read_text().startswith(f"{mine / 'z.jpg'}: ")
    assert (out / "y.json").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"words": WORDS[:2], "options": ("--background", "0.3")}, "words, classes"),
        ({"options": ("--background", "0.5")}, "background, protocol"),
        ({"options": ("--background", "0.3", "--protocol.short-side", "64")}, "protocol"),
    ],
)
def test_an_output_folder_is_of_one_question(photos, output, capsys, change, named):
    with pytest.raises(SystemExit) as stop:
        segment(photos, output=output, **change)
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"with other settings ({named}): choose another --output" in error


def test_a_picture_that_cannot_be_read_is_named_and_stops_no_other(photos, tmp_path, capsys):
    mine, out = painted(tmp_path / "p", ["x.jpg", "y.jpg"]), tmp_path / "out"
    (mine / "bad.jpg").write_bytes(b"\xff\xd8\xffnope")
    with pytest.raises(SystemExit) as stop:
        segment(mine, output=out)
    assert stop.value.code == 1
    told = capsys.readouterr()
    assert "2 of 3 pictures" in told.out
    assert "1 could not be read" in told.err
    assert stems(out) == {"x", "y"}
    assert (out / "unreadable.txt").read_text().startswith(f"{mine / 'bad.jpg'}: ")
    (mine / "bad.jpg").unlink()
    segment(mine, output=out)
    assert not (out / "unreadable.txt").exists()


def test_every_nth_picture_of_a_pattern(photos, tmp_path):
    segment(f"{photos}/**/*.*", output=tmp_path, options=("--every", "2", "--no-overlays"))
    names = sorted(p for p in NAMES)
    assert stems(tmp_path) == {
        n if n in ("a.jpg", "a.png") else n[: n.rindex(".")] for n in names[::2]
    }
    assert not list(tmp_path.rglob("*.overlay.png"))


def test_words_for_background_are_one_class(photos, tmp_path):
    segment(
        photos / "b.jpg", output=tmp_path, options=("--background", "sand|sky"), words=WORDS[::2]
    )
    plain = zeroseg.load(MODEL).segment(photos / "b.jpg", ["sand", "sky", *WORDS[::2]]).numpy()
    assert np.array_equal(ids(tmp_path, "b"), np.maximum(plain - 1, 0))
    about = json.loads((tmp_path / "b.json").read_text())
    assert about["classes"] == ["background", "grass", "water"]


def test_shards_and_urls_are_inputs_too(photos, tmp_path):
    cli.main(["shards", "build", "folder", str(photos / "sub"), str(tmp_path / "set")])
    handler = partial(SimpleHTTPRequestHandler, directory=str(photos))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/b.jpg"
        segment(tmp_path / "set", url, output=tmp_path / "out", options=("--export", "labelme"))
        server.shutdown()
    alone = zeroseg.load(MODEL)
    for stem, name in (("a", "sub/a.jpg"), ("b", "b.jpg")):
        found = ids(tmp_path / "out", stem)
        assert np.array_equal(found, alone.segment(photos / name, WORDS).numpy())
        about = json.loads((tmp_path / f"out/exports/labelme/{stem}.json").read_text())
        assert about["imageData"]


def test_two_pictures_of_one_name_are_refused_and_one_given_twice_is_one(photos, tmp_path):
    with pytest.raises(
        InputError, match=r"sub/a\.jpg would both be 'a\.jpg' in .*: name the folder"
    ):
        sources([str(photos / "a.jpg"), str(photos / "sub/a.jpg")], tmp_path)
    assert len(sources([str(photos / "b.jpg"), str(photos / "b.jpg")], tmp_path)) == 1


def test_a_picture_of_another_place_takes_no_answer_over(photos, output, tmp_path, capsys):
    other = painted(tmp_path, ["b.jpg"])
    with pytest.raises(SystemExit):
        segment(other, output=output, options=("--background", "0.3"))
    assert "has the answer of" in capsys.readouterr().err


def test_a_file_that_is_no_answer_is_never_written_over(tmp_path, capsys):
    painted(tmp_path, ["a.jpg"])
    (tmp_path / "a.json").write_text('{"shapes": []}')
    with pytest.raises(SystemExit):
        segment(tmp_path / "a.jpg", output=tmp_path)
    assert "is no answer of zeroseg" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.json"]


def test_answers_inside_the_folder_of_photos_are_no_photos(tmp_path):
    painted(tmp_path, ["a.jpg"])
    (tmp_path / "out").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "out/a.labels.png")
    assert [s.name for s in sources([str(tmp_path)], tmp_path / "out")] == ["a.jpg"]
    with pytest.raises(InputError, match="is the output folder, too"):
        sources([str(tmp_path)], tmp_path)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("nothing.jpg", "does not exist"),
        ("no/*.jpg", "no picture matches"),
        ("http://127.0.0.1/", "names no picture"),
    ],
)
def test_an_input_that_is_none_is_one_line(tmp_path, given, named):
    with pytest.raises(InputError, match=named):
        sources([given], tmp_path)


def test_words_come_from_a_list_a_file_or_a_benchmark(tmp_path):
    (tmp_path / "w.txt").write_text("background\ncat\nsofa|couch\n")
    assert words_of(str(tmp_path / "w.txt")) == ["cat", "sofa, couch"]
    assert words_of("voc21") == words_of("voc20")
    assert background_of("none", None) is None
    assert background_of("none", 0.5) == background_of("0.5", None) == 0.5
    assert background_of("sky | wall", None) == ("sky", "wall")
    with pytest.raises(InputError, match="leave one out"):
        background_of("sky", 0.5)


def test_killed_at_any_moment_the_same_command_ends_with_the_same_files(tmp_path):
    names = [f"{i:02}.png" for i in range(24)]
    photos, out, whole = painted(tmp_path / "p", names), tmp_path / "out", tmp_path / "whole"
    words = [MODEL, str(photos), "--classes", ",".join(WORDS), "--batch-size", "1"]
    job = Job(program, "pipelines.cli", ["segment", *words, "--output", str(out)])
    while not list(out.glob("0*.json")) and job.running:
        time.sleep(0.002)
    job.kill()
    assert len(stems(out)) < 24
    for folder in (out, whole):
        cli.main(["segment", *words, "--output", str(folder)])
    files = {p.name: p.read_bytes() for p in whole.iterdir()}
    assert {p.name: p.read_bytes() for p in out.iterdir()} == files
