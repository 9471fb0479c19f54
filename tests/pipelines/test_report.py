import base64
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from pipelines.report.curves import charted, curves, series
from pipelines.report.page import main, report, run_names
from pipelines.report.runs import drawn_by, examples_of, metrics_of, results_of
from tests.support.scored_runs import MIXED, WATCHED, content, write
from zeroseg import InputError

HELD_OUT = {"background_threshold": None, "threshold_from": "held-out"}


def texts(svg: str) -> list[str]:
    """What a chart writes, in order; parts of a word on their own."""
    return re.findall(">([^<>]+)</(?:text|tspan)>", svg)


def test_figures_of_another_prefix_have_a_chart_of_their_own():
    rows = [{"step": 1, "matching/cost": 2.0, "matching/queries": 3.0}]
    ((chart, lines),) = charted(rows)
    assert chart.title == "matching"
    assert [*lines] == ["matching/cost", "matching/queries"]


def test_a_value_has_the_steps_of_the_rows_that_hold_it():
    assert series(MIXED, "loss") == {10: 3.0, 20: 3.0}
    assert series(MIXED, "loss/patches") == {10: 1.0}
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
        "weighted losses": {"loss", "loss/composition", "loss/patches"},
        "scores on the watched images": {"watch/miou", "watch/seen_miou"},
        "grouping: a collapse shows here": {"grouping/segments_used"},
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
    (only,) = curves([WATCHED], "x")
    assert only.title == "scores on the watched images"
    assert "miou" in texts(only.svg)
    assert curves([], "x") == curves([{"step": 3, "loss": None}], "x") == []


def test_every_chart_has_its_title_and_grids_are_named_in_order_of_size():
    drawn = {curve.title: texts(curve.svg) for curve in curves(MIXED, "x")}
    assert [*drawn] == [chart.title for chart, _ in charted(MIXED)]
    grids = drawn["grid of the view nearest to a segment, shares"]
    assert [t for t in grids if t in {"2x2", "4x4", "10x10"}] == ["2x2", "4x4", "10x10"]


def test_losses_that_are_all_zero_can_be_drawn():
    (only,) = curves([{"step": s, "loss/matching": 0.0} for s in (1, 2)], "x")
    assert "matching" in texts(only.svg)


def test_charts_take_their_colours_from_the_page_and_leave_its_other_parts_alone():
    for curve in curves(MIXED, "x"):
        assert re.findall("#[0-9a-f]{6}", curve.svg) == []
        assert {"currentColor", "var(--series-1)", "var(--rule)"} <= {
            *re.findall(r"currentColor|var\(--[a-z0-9-]+\)", curve.svg)
        }
        assert "<style" not in curve.svg
        assert f'aria-label="{curve.title}, by step: x"' in curve.svg


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
    assert all(f">step {step}<" in page for step in shown)
    assert ("Pictures while training" in page) == bool(shown)


def test_each_run_has_its_own_curves(tmp_path):
    runs = [run_folder(tmp_path / name, (5,)) for name in ("a", "b")]
    page = report(runs, tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2 * len(curves(MIXED, "x"))
    assert page.count(">scores on the watched images<") == 2


def test_a_folder_that_is_no_run_is_an_error_naming_it(tmp_path):
    with pytest.raises(InputError, match=r"empty holds neither"):
        report([tmp_path / "empty"], tmp_path / "report.html")


def test_runs_whose_folders_share_a_name_go_by_their_paths(tmp_path):
    runs = [tmp_path / "a/model", tmp_path / "b/model", tmp_path / "c"]
    assert list(run_names(runs).values()) == [str(runs[0]), str(runs[1]), "c"]


def test_example_pictures_come_by_kind_and_rank_with_their_key_and_score(tmp_path):
    folder = tmp_path / "examples/voc21"
    folder.mkdir(parents=True)
    names = ("worst-1-b-3", "best-10-x-y-50", "best-2-a-88", "median-1-2007_000042-41", "seen")
    for name in names:
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    found = [(example.kind, example.caption) for example in examples_of(tmp_path, "voc21")]
    assert [caption for kind, caption in found if kind == "best"] == ["a: mIoU 88", "x-y: mIoU 50"]
    assert {*found} >= {("median", "2007_000042: mIoU 41"), ("worst", "b: mIoU 3"), ("", "seen")}
    assert examples_of(tmp_path, "voc20") == []


def test_pictures_are_of_the_result_whose_images_have_their_scores(tmp_path):
    folder = tmp_path / "run/examples/voc21"
    folder.mkdir(parents=True)
    for name in ("best-1-c-100", "worst-1-a-33"):
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    contents = [content(name, ("x", "y"), [[3, 1], [2, 4]]) for name in ("one", "two")]
    contents[1]["images"][0]["miou"] = 0.5
    results = results_of(write(tmp_path / "run", *contents), "run")
    examples = examples_of(tmp_path / "run", "voc21")
    assert drawn_by(examples, results).result.name == "one"
    assert drawn_by(examples, results[1:]) is None
    assert drawn_by(examples, results + results) is None
    assert drawn_by([], results) is None


def test_what_files_say_is_text_on_the_page_and_not_part_of_it(tmp_path):
    named_badly = content("<script>alert(1)</script>", ("a & b", "c"), [[3, 1], [2, 4]])
    run = write(tmp_path / "run", named_badly)
    page = report([run], tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b → c" in page


def test_a_threshold_near_one_is_not_rounded_to_one(tmp_path):
    result = content("a", ["x"], [[3]], chosen=(0.9999, "voc21: val"), **HELD_OUT)
    page = report([write(tmp_path / "run", result)], tmp_path / "report.html").read_text()
    assert "In use: 0.9999," in page


def test_the_page_refers_to_nothing_outside_itself(tmp_path):
    run = run_folder(
        write(tmp_path / "run", content("student", ("a", "b"), [[3, 1], [2, 4]])), (5,)
    )
    page = report([run], tmp_path / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)|@import|url\((?!#)', page)


def test_the_command_prints_the_table_and_where_the_page_is(tmp_path, capsys):
    run = write(tmp_path / "run", content("student", ("a", "b"), [[3, 1], [2, 4]]))
    main([str(run), "--output", str(tmp_path / "page.html")])
    assert capsys.readouterr().out.splitlines() == [
        "| | voc21, zeroseg: mIoU |",
        "|---|---|",
        "| run · student | 53.6 [51.6, 55.6] |",
        str(tmp_path / "page.html"),
    ]
