import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.report.details import (
    FEW,
    SHOWN,
    class_scores,
    details_of,
    heat_map,
    largest_confusions,
)
from pipelines.report.runs import RunResult, results_of
from tests.support.scored_runs import content, write

CLASSES = ("cat", "dog", "cow")
CONFUSION = [[6, 2, 0], [1, 7, 0], [0, 0, 0]]


def result(folder, *contents) -> list[RunResult]:
    return results_of(write(folder, *contents), "run")


def test_classes_come_with_the_highest_iou_first_and_absent_ones_last(tmp_path):
    (found,) = result(tmp_path, content("one", CLASSES, CONFUSION))
    assert class_scores(found.result) == [
        ("dog", pytest.approx(70.0), pytest.approx(87.5)),
        ("cat", pytest.approx(100 * 6 / 9), pytest.approx(75.0)),
        ("cow", None, None),
    ]


def test_the_largest_confusions_are_shares_of_wrong_pixels_and_of_the_true_class():
    assert largest_confusions(np.array(CONFUSION), CLASSES) == [
        ("cat", "dog", 25.0, pytest.approx(200 / 3)),
        ("dog", "cat", 12.5, pytest.approx(100 / 3)),
    ]
    assert largest_confusions(np.diag([3, 4, 5]), CLASSES) == []


def test_a_heat_map_of_few_classes_has_them_all_but_no_row_without_pixels():
    found = heat_map(np.array(CONFUSION), CLASSES)
    assert found.complete
    assert found.columns == CLASSES
    assert found.rows == (("cat", (75.0, 25.0, 0.0), 0.0), ("dog", (12.5, 87.5, 0.0), 0.0))


@given(arrays(np.int64, (30, 30), elements=st.integers(0, 50)))
def test_a_heat_map_of_many_classes_is_small_and_each_row_sums_to_all_its_pixels(confusion):
    names = [str(i) for i in range(30)]
    found = heat_map(confusion, names)
    assert not found.complete
    assert len(found.columns) == SHOWN
    assert len(found.rows) == min(SHOWN, np.count_nonzero(confusion.sum(axis=1)))
    for row in found.rows:
        assert sum(row.shares) + row.others == pytest.approx(100)
    union = np.maximum(confusion.sum(0) + confusion.sum(1) - confusion.diagonal(), 1)
    iou = confusion.diagonal() / union
    shown = [int(row.name) for row in found.rows]
    left_out = [i for i in np.flatnonzero(confusion.sum(axis=1)) if i not in shown]
    assert all(iou[i] >= max(iou[shown]) for i in left_out)


def test_many_classes_are_folded_behind_the_highest_and_the_lowest_ten(tmp_path):
    names = [f"c{i}" for i in range(FEW + 1)]
    hits = np.diag(np.arange(1, FEW + 2))
    wrong = np.roll(np.eye(FEW + 1, dtype=np.int64), 1, axis=1)
    many, few = result(
        tmp_path,
        content("many", names, (hits + wrong).tolist()),
        content("few", CLASSES, CONFUSION),
    )
    details = details_of(many)
    assert details.highest == details.classes[:10]
    assert details.lowest == details.classes[-10:]
    assert details.highest[0].name == f"c{FEW}"
    assert details.lowest[-1].name == "c0"
    assert details_of(few).highest == details_of(few).lowest == ()


def test_details_say_the_median_image_and_draw_a_threshold_where_there_is_one(tmp_path):
    keys = ("a", "b", "c", "d", "e")
    first, second = result(
        tmp_path,
        content("one", CLASSES, CONFUSION, keys=keys),
        content("two", CLASSES, CONFUSION, background_threshold=None),
    )
    details = details_of(first)
    assert details.median == pytest.approx(60)
    assert details.summary["mIoU"] == pytest.approx(100 * (6 / 9 + 0.7) / 2)
    assert ">in use<" in details.threshold_chart
    assert ">maximum<" in details.threshold_chart
    assert ">median<" in details.distribution_chart
    assert details_of(second).threshold_chart == ""
