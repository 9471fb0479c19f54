import base64
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from pipelines.curves import charted, curves, losses, series
from pipelines.report import metrics_of, report
from zeroseg import InputError

FIRST = {
    "step": 10,
    "loss": 3.0,
    "composition": 2.0,
    "patches": 1.0,
    "segments_used": 5.0,
    "nearest/2x2": 0.25,
    "nearest/10x10": 0.25,
    "nearest/4x4": 0.5,
    "gradient_norm": 1.0,
    "learning_rate": 1e-3,
    "images_per_second": 100.0,
    "step_seconds": 0.1,
    "data_wait": 0.2,
    "mfu": 0.4,
    "memory_gb": 2.0,
    "epoch": 0,
    "left_out": 1,
    "lost": 0,
    "skipped_steps": 0,
}
WATCHED = {"step": 15, "watch/miou": 0.3, "watch/seen_miou": 0.4}
LATER = FIRST | {"step": 20, "patches": None, "lost": 1, "lost/OSError": 1.0, "skipped_steps": 2}
MIXED = [FIRST, WATCHED, LATER]


def texts(svg: str) -> list[str]:
    """What the figure writes; matplotlib draws letters as shapes and says them in comments."""
    return re.findall("<!-- (.*?) -->", svg)


def test_a_loss_is_whatever_nothing_else_knows():
    assert losses(MIXED) == ["loss", "composition", "patches"]
    assert losses([WATCHED]) == []


def test_a_value_has_the_steps_of_the_rows_that_hold_it():
    assert series(MIXED, "loss") == {10: 3.0, 20: 3.0}
    assert series(MIXED, "patches") == {10: 1.0}
    assert series(MIXED, "watch/miou") == {15: 0.3}
    assert series(MIXED, "lost/OSError") == {20: 1.0}
    assert series(MIXED, "nothing") == {}


def test_a_step_that_a_resumed_run_repeats_counts_once():
    rows = [{"step": s, "loss": float(i)} for i, s in enumerate((10, 20, 30, 20, 30, 40))]
    assert list(series(rows, "loss").items()) == [(10, 0.0), (20, 3.0), (30, 4.0), (40, 5.0)]


@pytest.mark.parametrize("rows", [MIXED, MIXED[::-1], [WATCHED, *MIXED, WATCHED]])
def test_every_value_of_mixed_rows_is_in_its_chart_whatever_row_is_last(rows):
    seen = {chart.title: set(lines) for chart, lines in charted(rows)}
    assert seen == {
        "weighted losses": {"loss", "composition", "patches"},
        "scores on the watched images": {"watch/miou", "watch/seen_miou"},
        "grouping: a collapse shows here": {"segments_used"},
        "grid of the view nearest to a segment, shares": {
            "nearest/2x2",
            "nearest/4x4",
            "nearest/10x10",
        },
        "images per second": {"images_per_second"},
        "seconds per step": {"step_seconds"},
        "share of time waiting for data; MFU": {"data_wait", "mfu"},
        "lost samples and skipped steps so far": {"lost", "lost/OSError", "skipped_steps"},
    }


def test_a_chart_without_values_is_not_drawn():
    assert [chart.title for chart, _ in charted([WATCHED])] == ["scores on the watched images"]
    assert "miou" in texts(curves([WATCHED]))
    assert curves([]) == curves([{"step": 3, "loss": None}]) == ""


def test_the_figure_names_every_chart_and_its_grids_in_order_of_size():
    written = texts(curves(MIXED))
    assert {chart.title for chart, _ in charted(MIXED)} <= {*written}
    assert [t for t in written if t in {"2x2", "4x4", "10x10"}] == ["2x2", "4x4", "10x10"]


def test_losses_that_are_all_zero_can_be_drawn():
    assert "matching" in texts(curves([{"step": s, "matching": 0.0} for s in (1, 2)]))


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path):
    lines = [json.dumps(row) for row in MIXED]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, lines[0][:40]]))
    assert metrics_of(tmp_path) == MIXED


def run_folder(folder: Path, steps: tuple[int, ...]) -> Path:
    (folder / "watch").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in MIXED))
    for step in steps:
        Image.new("RGB", (4, 4), (step % 256, 0, 0)).save(folder / f"watch/step-{step:08d}.png")
    return folder


@pytest.mark.parametrize(
    ("steps", "shown"), [((), []), ((20,), [20]), ((5, 10, 20, 100), [5, 100])]
)
def test_the_page_shows_the_first_and_the_last_watched_picture(tmp_path, steps, shown):
    run = run_folder(tmp_path / "run", steps)
    page = report([run], tmp_path / "report.html").read_text()
    data = re.findall(r"data:image/png;base64,([^\"]+)", page)
    files = [run / f"watch/step-{step:08d}.png" for step in shown]
    assert [base64.b64decode(d) for d in data] == [file.read_bytes() for file in files]
    assert all(file.stem in page for file in files)
    assert ("Pictures while training" in page) == bool(shown)


def test_each_run_has_its_own_curves(tmp_path):
    runs = [run_folder(tmp_path / name, (5,)) for name in ("a", "b")]
    page = report(runs, tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    assert texts(page).count("scores on the watched images") == 2


def test_a_folder_that_is_no_run_is_an_error_naming_it(tmp_path):
    with pytest.raises(InputError, match=r"empty holds neither"):
        report([tmp_path / "empty"], tmp_path / "report.html")
