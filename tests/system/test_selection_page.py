"""The page of a selection, in the folder and as a browser shows it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from shards import scenes
from shards.build import Limits, build
from shards.sample import Sample, Source, encoded
from tests.support.browser import NEEDED, contrast, emulate, luminance, opened, style
from zeroseg.store.selection import read_selection

PHOTOS = 24
ODD = "z<b>&bold"
"""A key that would be markup."""


def changed(data: bytes, side: int) -> bytes:
    with Image.open(io.BytesIO(data)) as photo:
        buffer = io.BytesIO()
        photo.resize((side, side)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def written(folder: Path, pictures: dict[str, bytes]) -> str:
    source = Source(
        units=list(pictures.items()),
        read=lambda unit: [Sample(unit[0], unit[1], members={"jpg": unit[1]})],
        built_from={},
    )
    build(source, str(folder), Limits(images_per_shard=12, workers=0, order="path"))
    return str(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A set of scenes with duplicates, leaks and junk: its selection and the page of that."""
    folder = tmp_path_factory.mktemp("p")
    source = scenes.Scenes("train", PHOTOS).source()
    found = {s.key.replace("/", "-"): s.image for unit in source.units for s in source.read(unit)}
    images = list(found.values())
    copies = {ODD: images[3], "smaller": changed(images[3], 100), "again": changed(images[5], 96)}
    junk = {"flat": encoded(np.full((90, 90, 3), 77, np.uint8), "png"), "torn": images[0][:200]}
    shards = written(folder / "set", found | copies | junk)
    held = {"file": images[8], "near": changed(images[9], 120)}
    written(folder / "voc", held)
    embed = ["embed", "--shards", shards, "--output", f"{folder}/e", "--teacher", "zeroseg-scenes"]
    cli.main([*embed, "--grids", "1", "--side", "112", "--workers", "0"])
    steps = ["--duplicates", "1", "--junk", "--against", f"{folder}/voc", "--against-cosine", "1"]
    cli.main(["curate", shards, *steps, "--output", f"{folder}/chosen", "--workers", "0"])
    (folder / "chosen" / "vocabulary.csv").write_text(
        'name,before,after\n"cat, <i>tabby</i>",20,11\ndog,4,4\n'
    )
    show(folder)
    return folder


def show(folder: Path, *more: str, selection: str = "chosen", shards: str = "set") -> None:
    which = [f"{folder}/{selection}", "--shards", f"{folder}/{shards}"]
    cli.main(["curate", "show", *which, "--embeddings", f"{folder}/e", *more])


def content(place: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (place / "chosen").iterdir()}


def test_page_and_sheets_lie_beside_the_selection_which_stays_as_it_was(place, capsys):
    show(place)
    told = capsys.readouterr().out.splitlines()
    names = ["selection.html", "duplicates.jpg", "leaks.jpg"]
    assert told == [f"{place}/chosen/{name}" for name in names]
    before = content(place)
    (place / "chosen" / "groups.jsonl").unlink()  # as an earlier version left it
    show(place)
    after = content(place)
    groups = before.pop("groups.jsonl")
    (place / "chosen" / "groups.jsonl").write_bytes(groups)
    assert after == before
    largest = json.loads(groups.splitlines()[0])
    assert [copy["reason"] for copy in largest["goes"]] == ["exact duplicate", "same picture"]
    for name in names[1:]:
        with Image.open(place / "chosen" / name) as sheet:
            assert sheet.format == "JPEG"
            assert min(sheet.size) > 160


def test_without_embeddings_vocabulary_and_benchmark_the_page_does_without_them(place, tmp_path):
    (place / "chosen" / "vocabulary.csv").rename(tmp_path / "v")
    (place / "voc").rename(tmp_path / "voc")
    which = [f"{place}/chosen", "--shards", f"{place}/set"]
    cli.main(["curate", "show", *which])
    page = (place / "chosen" / "selection.html").read_text()
    assert "Its own pictures are not shown" in page
    assert 'id="clusters"' not in page
    assert 'id="vocabulary"' not in page
    (tmp_path / "v").rename(place / "chosen" / "vocabulary.csv")
    (tmp_path / "voc").rename(place / "voc")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"selection": "none"}, "none is no finished selection"),
        ({"selection": "set"}, "set is no finished selection"),
        ({"shards": "voc"}, "is of other shards"),
        ({"shards": "none"}, "no shards match"),
        ({"vocabulary.csv": "words\n1\n"}, "vocabulary.csv has not the columns"),
        ({"groups.jsonl": "{}\n"}, "groups.jsonl, line 1"),
        ({"selection.json": "{}"}, "selection.json"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(place, capsys, change, why):
    file = next((place / "chosen" / name for name in change if "." in name), None)
    page = place / "chosen" / "selection.html"
    before, whole = page.read_bytes(), file.read_bytes() if file else b""
    if file:
        file.write_text(change.popitem()[1])
    with pytest.raises(SystemExit) as ended:
        show(place, **change)
    if file:
        file.write_bytes(whole)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("error: ")
    assert why in error
    assert error.count("\n") == 1
    assert page.read_bytes() == before


@pytest.fixture(scope="module")
def browser(place, tmp_path_factory) -> Iterator[Any]:
    show(place)
    page = place / "chosen" / "selection.html"
    with opened(page, tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@NEEDED
def test_every_picture_is_shown_and_says_what_it_is_and_nothing_is_fetched(browser):
    emulate(browser)
    pictures = browser.execute_script(
        "return Promise.all([...document.images].map(async i => {"
        "i.loading = 'eager'; await i.decode(); return [i.naturalWidth, i.alt.length]}))"
    )
    assert len(pictures) > 20
    assert all(0 < width <= 160 and words for width, words in pictures)
    assert browser.execute_script("return document.scripts.length") == 0
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


@NEEDED
def test_numbers_are_the_selection_s_and_keys_and_words_are_no_markup(browser, place):
    selection = read_selection(str(place / "chosen"))
    text = browser.execute_script("return document.body.textContent")
    assert f"{selection.samples} of {PHOTOS + 5} images stay" in text
    assert all(
        f"{reason}\N{MINUS SIGN}{count}" in text for reason, count in selection.reasons.items()
    )
    assert ODD in text
    assert "cat, <i>tabby</i>20 → 11" in text
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('#clusters .numbers')].map(e => e.textContent)"
    )
    numbers = np.array([[int(part) for part in size.split(" → ")] for size in sizes])
    assert numbers.sum(axis=0).tolist() == [PHOTOS + 4, selection.samples]
    pairs = browser.execute_script(
        "return [...document.querySelectorAll('#leaks li')].map("
        "l => [...l.querySelectorAll('img')].map(i => i.alt))"
    )
    assert [theirs for _, theirs in pairs] == ["near", "file"]


@NEEDED
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_as_wide_as_its_window_and_its_parts_have_headings(browser, width):
    emulate(browser, width)
    beyond = browser.execute_script(
        "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    )
    assert beyond == 0
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert max(np.diff(levels)) == 1
    assert browser.execute_script(
        "return [...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))"
    )


@NEEDED
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_in_dark(browser, scheme):
    emulate(browser, scheme=scheme)
    background = style(browser, "body", "backgroundColor")
    assert (luminance(background) < 0.1) == (scheme == "dark")
    for selector in ("p", "figcaption", "strong", "a", ".numbers", "th"):
        assert contrast(style(browser, selector, "color"), background) >= 4.5
