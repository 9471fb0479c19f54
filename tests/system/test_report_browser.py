"""The page of runs as a browser shows it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import cli
from pipelines.report.page import report
from shards import scenes
from shards.build import Limits, build
from tests.support.browser import NEEDED, contrast, emulate, luminance, opened, style
from tests.support.scored_runs import MIXED, content, write
from zeroseg.datasets.benchmarks import VOC21

pytestmark = NEEDED
MANY = tuple(f"class {i} with a long name" for i in range(171))


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Two real evaluations and their pictures; a run with many classes, protocols and curves."""
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    for split, images in (("val", 3), ("test", 6)):
        build(scenes.Scenes(split, images).source(), str(folder / split), Limits(workers=0))
    for method in ("cells2", "cells4"):
        benchmark = ["--benchmark", "scenes-objects", "--shards", f"{folder}/test"]
        benchmark += ["--held-out", f"{folder}/val", "--held-out-benchmark", "scenes-objects"]
        protocol = ["--protocol.name", "scenes", "--examples", "3", "--output", f"{folder}/cells"]
        cli.main(["evaluate", f"clip:zeroseg-scenes::{method}", *benchmark, *protocol])
    counts = rng.integers(1, 99, (21, 21)) + np.diag(np.full(21, 900))
    many = rng.integers(0, 9, (171, 171)) + np.diag(np.full(171, 400))
    student = write(
        folder / "student",
        content("student segments", VOC21.classes, counts.tolist()),
        content("student patches", VOC21.classes, counts.T.tolist(), stride=112),
        content("student segments", MANY, many.tolist(), "coco-stuff171", names="sclip"),
    )
    (student / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in MIXED))
    (student / "config.json").write_text(json.dumps({"words": "long " * 100}, indent=2))
    return report([folder / "cells", student], folder / "report.html")


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory) -> Iterator[Any]:
    with opened(page, tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def test_every_picture_is_shown_and_says_what_it_is(browser):
    emulate(browser)
    pictures = browser.execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.alt.length])"
    )
    assert len(pictures) == 3
    assert all(width > 300 and words > 10 for width, words in pictures)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_opens_with_a_sentence_and_a_picture_and_tables_come_after(browser, width):
    emulate(browser, width)
    tops = browser.execute_script(
        "return ['.headline', '.opening img', 'table'].map("
        "s => document.querySelector(s).getBoundingClientRect().top + scrollY)"
    )
    assert tops == sorted(tops)
    assert tops[1] < 800  # the window's height


def test_comparisons_published_numbers_and_protocols_are_folded_and_links_unfold_them(browser):
    emulate(browser)
    shown = "return document.getElementById(arguments[0]).checkVisibility()"
    for part in ("differences", "published", "protocols"):
        assert not browser.execute_script(shown, part)
        browser.execute_script("location.hash = arguments[0]", part)
        assert browser.execute_script(shown, part)
    browser.execute_script("document.querySelectorAll('.part').forEach(d => d.open = false)")


def test_a_reader_finds_every_part(browser):
    parts = browser.execute_script(
        "return [...document.querySelectorAll('h2, h3')].map(h => h.textContent)"
    )
    for part in ("Scores", "Is the best better?", "Published by others", "Protocols", "Training"):
        assert part in parts
    assert {"cells", "scenes-objects", "student", "voc21", "coco-stuff171"} <= {*parts}


def test_nothing_is_fetched_and_nothing_goes_wrong(browser):
    browser.refresh()
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.scripts.length") == 0
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_as_wide_as_its_window_and_wide_tables_scroll_inside(browser, width):
    emulate(browser, width)
    for details in ("details => details.open", "details => details.open = true"):
        browser.execute_script(f"document.querySelectorAll('details').forEach({details})")
        beyond, window = browser.execute_script(
            "const page = document.documentElement;"
            "return [page.scrollWidth - page.clientWidth, innerWidth]"
        )
        assert (beyond, window) == (0, width)
    overflowing = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth > e.clientWidth)"
    )
    assert any(overflowing) or width > 360
    browser.refresh()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("selector", ["body", "p", ".soft", "a", "svg text", ".heat th"])
def test_words_can_be_read_in_light_and_in_dark(browser, scheme, selector):
    emulate(browser, scheme=scheme)
    background = style(browser, "body", "backgroundColor")
    assert (luminance(background) < 0.1) == (scheme == "dark")
    colour = style(browser, selector, "fill" if "svg" in selector else "color")
    assert contrast(colour, background) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_on_coloured_cells_can_be_read(browser, scheme):
    emulate(browser, scheme=scheme)
    pairs = browser.execute_script(
        "const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});"
        "return [...document.querySelectorAll('.heat td')].map(getComputedStyle).map(s => {"
        "canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = s.backgroundColor;"
        "canvas.fillRect(0, 0, 1, 1);"
        "return [s.color, `${canvas.getImageData(0, 0, 1, 1).data}`]})"
    )
    filled = [pair for pair in pairs if not pair[1].endswith(",0")]
    assert len({ground for _, ground in filled}) > 10
    assert min(contrast(*pair) for pair in filled) >= 4.5


def test_charts_have_words_that_are_seen(browser):
    emulate(browser)
    charts = browser.execute_script(
        "return [...document.querySelectorAll('svg')].filter(s => s.checkVisibility()).map(s =>"
        "[s.getAttribute('aria-label'), [...s.querySelectorAll('text')].map(t => t.textContent),"
        "Math.min(...[...s.querySelectorAll('text')].map(t => t.getBoundingClientRect().width))])"
    )
    labels = [label.partition(":")[0] for label, *_ in charts]
    assert {"mean IoU over background thresholds", "images by their mean IoU"} <= {*labels}
    assert all(len(words) > 4 and narrowest > 0 for _, words, narrowest in charts)


def test_headings_come_in_order_and_every_table_names_its_rows_and_columns(browser):
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert max(np.diff(levels)) == 1
    assert browser.execute_script(
        "return [...document.querySelectorAll('th')].every(t => t.scope)"
        "&& [...document.querySelectorAll('tbody tr')].every(r => r.querySelector('th'))"
    )
    identities = browser.execute_script(
        "return [...document.querySelectorAll('[id]')].map(e => e.id)"
    )
    assert len(identities) == len({*identities})


def test_links_lead_to_places_on_the_page(browser):
    assert browser.execute_script(
        "const links = [...document.querySelectorAll('a')];"
        "return links.length > 3 && links.every(a => document.querySelector(a.hash))"
    )


def test_on_paper_everything_is_unfolded_and_light(browser):
    hidden = (
        "return [...document.querySelectorAll('details > :not(summary)')]"
        ".filter(e => !e.checkVisibility()).length"
    )
    emulate(browser, scheme="dark")
    assert browser.execute_script(hidden) > 0
    emulate(browser, scheme="dark", media="print")
    assert browser.execute_script(hidden) == 0
    assert luminance(style(browser, "body", "backgroundColor")) > 0.9
    clipped = (
        "return [...document.querySelectorAll('.scroll, .picture, pre')]"
        ".filter(e => getComputedStyle(e).overflowX != 'visible').length"
    )
    assert browser.execute_script(clipped) == 0
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF-")
