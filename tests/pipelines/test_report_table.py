from dataclasses import fields
from typing import Any

import pytest

from pipelines.report.page import report
from pipelines.report.published import CERTAINTIES, FAMILIES, PUBLISHED, published_parts
from pipelines.report.published_splits import PUBLISHED_SPLITS, splits_parts
from pipelines.report.runs import RunResult, results_of
from pipelines.report.table import Table, markdown, table_of
from tests.support.scored_runs import content, write
from zeroseg import BENCHMARKS
from zeroseg.evaluation.protocols import PROTOCOLS, Protocol

CLASSES = ("cat", "dog")
GOOD, BAD = [[9, 1], [1, 9]], [[6, 4], [5, 5]]


@pytest.fixture
def results(tmp_path):
    """Reads result files of one run with these contents."""

    def read(*contents: dict[str, Any]) -> list[RunResult]:
        return results_of(write(tmp_path / "run", *contents), "run")

    return read


def cells(table: Table) -> list[list[str]]:
    return [["-" if cell is None else str(cell) for cell in row.cells] for row in table.rows]


OTHERS = {
    "names": "sclip",
    "templates": "openai80",
    "softmax": "pixels",
    "threshold_rule": "groupvit",
    "absent_classes": "zero",
    "pamr": (3,),
    "background_threshold": 0.125,
}
"""Values that are not the default, of fields that are no plain numbers."""


@pytest.mark.parametrize(
    "field", [f.name for f in fields(Protocol) if f.name not in ("name", "threshold_from")]
)
def test_two_protocols_of_one_name_never_share_a_column_and_its_head_says_what_differs(
    results, field
):
    own = getattr(Protocol(background_threshold=0.95), field)
    other = OTHERS[field] if field in OTHERS else own + 1
    table = table_of(
        results(content("one", CLASSES, GOOD), content("two", CLASSES, BAD, **{field: other}))
    )
    values = (list(v) if isinstance(v, tuple) else v for v in (own, other))
    assert [group.notes for group in table.groups] == [
        (f"{field.replace('_', ' ')} {value}",) for value in values
    ]
    assert [[cell is None for cell in row.cells] for row in table.rows] == [
        [False, True],
        [True, False],
    ]


def test_a_changed_protocol_says_so_even_where_nothing_else_has_its_name(results):
    changed = content("one", CLASSES, GOOD, stride=112, changed={"stride": 112})
    assert table_of(results(changed)).groups[0].heading == "voc21, zeroseg, stride 112"


def test_the_value_of_a_threshold_chosen_on_the_same_held_out_data_may_differ(results):
    held_out = {"name": "honest", "background_threshold": None, "threshold_from": "held-out"}
    table = table_of(
        results(
            content("one", CLASSES, GOOD, chosen=(0.25, "coco: val"), **held_out),
            content("two", CLASSES, BAD, chosen=(0.75, "coco: val"), **held_out),
            content("three", CLASSES, BAD, chosen=(0.75, "context: val"), **held_out),
        )
    )
    assert [group.notes for group in table.groups] == [
        ("threshold chosen on coco: val",),
        ("threshold chosen on context: val",),
    ]
    assert [[cell is None for cell in row.cells] for row in table.rows] == [
        [False, True],
        [False, True],
        [True, False],
    ]


def test_other_images_are_another_column(results):
    first = content("one", CLASSES, GOOD, keys=("a", "b"))
    same = content("two", CLASSES, GOOD, keys=("b", "a"))
    others = content("three", CLASSES, GOOD, keys=("a", "c"))
    table = table_of(results(first, same, others))
    assert [[cell is None for cell in row.cells] for row in table.rows] == [
        [False, True],
        [False, True],
        [True, False],
    ]
    notes = [note for group in table.groups for note in group.notes]
    assert len({*notes}) == 2
    assert all(note.startswith("images 2 (set ") for note in notes)


def test_the_same_images_with_other_label_maps_are_another_column(results):
    table = table_of(
        results(
            content("one", CLASSES, GOOD, truth="instances"),
            content("two", CLASSES, BAD, truth="instances"),
            content("three", CLASSES, GOOD, truth="stuff maps"),
        )
    )
    assert [[cell is None for cell in row.cells] for row in table.rows] == [
        [False, True],
        [False, True],
        [True, False],
    ]
    assert [cell.best for row in table.rows for cell in row.cells if cell] == [True, False, False]


def test_benchmarks_stay_together_in_the_order_in_which_they_come(results):
    order = [("voc21", "zeroseg"), ("voc20", "zeroseg"), ("voc21", "sclip"), ("voc21", "zeroseg")]
    found = [
        content("one", CLASSES, GOOD, benchmark, name=protocol, stride=448 - i)
        for i, (benchmark, protocol) in enumerate(order)
    ]
    assert [group.heading for group in table_of(results(*found)).groups] == [
        "voc21, zeroseg, stride 448",
        "voc21, zeroseg, stride 445",
        "voc21, sclip",
        "voc20, zeroseg",
    ]


def test_scores_are_percent_with_their_intervals_and_the_best_of_several_is_marked(results):
    unseen = {"unseen_miou": 0.5, "unseen_miou_interval": None}
    table = table_of(
        results(
            content("one", CLASSES, GOOD, scores=unseen),
            content("two", CLASSES, BAD),
            content("three", CLASSES, GOOD),
        )
    )
    good, bad = f"{900 / 11:.1f}", f"{50 * (6 / 15 + 5 / 14):.1f}"
    assert cells(table) == [
        [f"{good} [{900 / 11 - 2:.1f}, {900 / 11 + 2:.1f}]", "50.0"],
        [f"{good} [79.8, 83.8]", "-"],
        [f"{bad} [35.9, 39.9]", "-"],
    ]
    best = [[bool(cell and cell.best) for cell in row.cells] for row in table.rows]
    assert best == [[True, False], [True, False], [False, False]]


def test_a_table_is_written_as_markdown():
    assert markdown(["a", "b"], [("x", [12.34, None]), ("y", [7.0, 0.0])]) == (
        "| | a | b |\n|---|---|---|\n| x | 12.3 | - |\n| y | 7.0 | 0.0 |"
    )


def test_published_numbers_name_benchmarks_and_protocols_that_exist():
    assert {row.protocol for row in PUBLISHED} == FAMILIES.keys()
    assert FAMILIES.keys() - {"sclip-pamr", "maskclip"} <= PROTOCOLS.keys()
    assert {row.certainty for row in PUBLISHED} <= CERTAINTIES.keys()
    for row in PUBLISHED:
        assert row.miou.keys() <= BENCHMARKS.keys(), row.method
        assert all(1 < value < 100 for value in row.miou.values())
    rows = [(row.method, row.protocol, name) for row in PUBLISHED for name in row.miou]
    assert len(rows) == len({*rows})


def test_the_papers_own_rows_come_first_with_all_of_its_benchmarks():
    first, *others = published_parts({"voc21", "scenes"})
    assert first.protocol == "zeroseg"
    assert first.benchmarks == ["voc21", "context60", "coco-object"]
    assert first.rows[0].miou == {"voc21": 40.8, "context60": 20.4, "coco-object": 20.2}
    assert {name for part in others for name in part.benchmarks} == {"voc21"}


def test_nothing_published_is_shown_beside_what_nobody_published_on():
    assert published_parts({"scenes", "scenes-objects"}) == []


def test_published_scores_of_splits_name_benchmarks_with_unseen_classes_and_are_shown_beside_them():
    for row in PUBLISHED_SPLITS:
        assert row.certainty in CERTAINTIES
        assert all(BENCHMARKS[name].unseen for name in row.scores)
    inductive, trained_on = splits_parts({"voc20-15-5", "voc21"})
    assert inductive.benchmarks == trained_on.benchmarks == ["voc20-15-5"]
    (zegformer,) = (row for row in inductive.rows if row.method == "ZegFormer")
    assert zegformer.scores["voc20-15-5"] == (86.4, 63.6, 73.3)
    assert splits_parts({"scenes"}) == []


def test_the_page_has_published_scores_of_the_same_splits(tmp_path):
    result = content("a", ("cat", "sofa"), [[3, 1], [1, 3]], "voc20-15-5")
    page = report([write(tmp_path / "run", result)], tmp_path / "page.html").read_text()
    assert "ZS5Net" in page
    assert ">63.6<" in page
    assert "context33" not in page
