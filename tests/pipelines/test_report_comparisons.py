import json
import re
from dataclasses import replace

import numpy as np
import pytest

from pipelines.report.comparisons import Comparison, comparison_groups
from pipelines.report.headlines import headlines_of
from pipelines.report.page import report
from pipelines.report.runs import RunResult, results_of
from tests.support.scored_runs import content, write
from zeroseg.evaluation.tally import Tally, from_bytes

CLASSES = ("cat", "dog")


def result(folder, *contents) -> list[RunResult]:
    return results_of(write(folder, *contents), folder.name)


def comparisons_of(results: list[RunResult]) -> list[Comparison]:
    return [row for group in comparison_groups(results) for row in group.rows]


def counted(results: list[RunResult], *right: dict[str, int]) -> list[RunResult]:
    """Write counts beside results: of each image, how many of 10 pixels of two classes are right."""
    for found, images in zip(results, right, strict=True):
        counts = [
            [(0, 0, 0, r), (0, 1, 0, 10 - r), (1, 1, 0, r), (1, 0, 0, 10 - r)]
            for r in images.values()
        ]
        tally = Tally(
            classes=2,
            thresholds=(),
            keys=tuple(images),
            image=np.repeat(np.arange(len(images)), 4),
            counts=np.array(counts).reshape(-1, 4),
            boundary=np.empty((0, 2, 2), np.int64),
        )
        found.file.with_suffix(".npz").write_bytes(tally.to_bytes())
    return results


def scored(name: str, miou: float, truth: str = "") -> dict:
    plain = {"background_threshold": None, "scores": {"miou": miou}}
    return content(name, CLASSES, [[1, 0], [0, 1]], truth=truth, **plain)


def test_the_best_is_compared_with_every_other_on_the_same_images(tmp_path):
    results = result(tmp_path, scored("low", 0.4), scored("best", 0.8), scored("also", 0.8))
    good, bad = (dict.fromkeys("abc", right) for right in (9, 6))
    (group,) = comparison_groups(counted(results, bad, good, good))
    assert group.heading == "voc21, zeroseg"
    also, low = group.rows
    assert (low.first.result.name, low.second.result.name) == ("best", "low")
    assert group.best is low.first
    expected = 100 * (9 / 11 - 6 / 14)
    assert (low.difference, low.low, low.high) == pytest.approx((expected,) * 3)
    assert low.certain
    assert (also.second.result.name, also.difference, also.low, also.high) == ("also", 0, 0, 0)
    assert not also.certain


def test_images_in_another_order_are_paired_by_their_keys(tmp_path):
    results = result(tmp_path, scored("one", 0.5), scored("two", 0.4))
    images = {"a": 2, "b": 9, "c": 5}
    (same,) = comparisons_of(counted(results, images, dict(reversed(images.items()))))
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_results_without_counts_are_not_compared(tmp_path):
    results = result(tmp_path, scored("one", 0.5), scored("two", 0.4))
    counted(results[:1], {"a": 1, "b": 2, "c": 3})
    assert comparisons_of(results) == []


def test_results_on_other_label_maps_are_not_compared(tmp_path):
    results = result(tmp_path, scored("one", 0.5), scored("two", 0.4), scored("three", 0.3))
    images = {"a": 2, "b": 9}
    counted(results, images, images, images)
    file = results[2].file.with_suffix(".npz")
    tally = from_bytes(file.read_bytes())
    file.write_bytes(replace(tally, counts=tally.counts * [1, 1, 1, 2]).to_bytes())
    (only,) = comparisons_of(results_of(tmp_path, tmp_path.name))
    assert (only.first.result.name, only.second.result.name) == ("one", "two")


def test_results_under_other_protocols_are_not_compared(tmp_path):
    other = scored("two", 0.4)
    other["protocol"]["stride"] = 1
    results = result(tmp_path, scored("one", 0.5), other)
    assert comparisons_of(counted(results, {"a": 1}, {"a": 2})) == []


GOOD, FAIR, BAD = ({"a": right, "b": right} for right in (9, 7, 2))


@pytest.fixture
def three_runs(tmp_path) -> list[RunResult]:
    """A run of two readouts, a baseline and another trained run, from good to bad."""
    mine = result(tmp_path / "mine", scored("segments", 0.5), scored("patches", 0.6))
    other = result(tmp_path / "other", scored("patches", 0.55))
    baseline = result(tmp_path / "baseline", scored("maskclip", 0.2))
    return counted([*mine, *other, *baseline], FAIR, GOOD, FAIR, BAD)


def test_a_headline_compares_the_best_of_a_run_with_the_best_baseline(three_runs):
    (headline,) = headlines_of(three_runs, "mine", {"baseline"})
    assert headline.group.heading == "voc21, zeroseg"
    assert headline.best.result.name == "patches"
    assert headline.rival.run == "baseline"
    assert headline.rival_is_baseline
    assert headline.comparison.difference == pytest.approx(100 * (9 / 11 - 2 / 18))
    assert headline.comparison.certain


def test_without_a_baseline_a_headline_compares_with_the_best_of_the_other_runs(three_runs):
    (headline,) = headlines_of(three_runs, "mine", set())
    assert (headline.rival.run, headline.rival_is_baseline) == ("other", False)


def test_a_headline_says_when_the_baseline_is_better(three_runs):
    (headline,) = headlines_of(three_runs, "baseline", {"baseline"})
    assert headline.rival.run == "mine"
    assert headline.comparison.difference < 0
    assert headline.comparison.certain


def test_a_headline_of_one_run_alone_has_no_rival(three_runs):
    (headline,) = headlines_of(three_runs[:2], "mine", set())
    assert (headline.rival, headline.comparison) == (None, None)


def test_results_without_counts_have_a_headline_without_a_difference(tmp_path, three_runs):
    three_runs[-1].file.with_suffix(".npz").unlink()
    (headline,) = headlines_of(three_runs, "mine", {"baseline"})
    assert headline.rival.run == "baseline"
    assert headline.comparison is None


def test_results_on_other_label_maps_are_no_rivals(tmp_path):
    mine = counted(result(tmp_path / "mine", scored("one", 0.6)), GOOD)
    other = counted(result(tmp_path / "other", scored("two", 0.5)), {"a": 4, "c": 4})
    read = [*results_of(tmp_path / "mine", "mine"), *results_of(tmp_path / "other", "other")]
    assert headlines_of(mine + other, "mine", set())[0].rival is not None  # before the counts
    assert headlines_of(read, "mine", set())[0].rival is None


def sentence(page: str) -> str:
    """What the page opens with, without its tags."""
    found = re.search(r'<p class="headline">(.*?)</p>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", found[1]).split())


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (BAD, "patches reaches a mean IoU of 60.0 % (40.0 to 80.0) on voc21 , certainly better than "
            "the best baseline, maskclip with 20.0 %: the difference is 70.7 points (70.7 to 70.7) ."),
        (GOOD, "not certainly better than the best baseline"),
        (None, "on voc21 ; the best baseline, maskclip, reaches 20.0 %."),
    ],
)  # fmt: skip
def test_the_page_opens_with_one_sentence(tmp_path, theirs, says):
    mine = scored("patches", 0.6, "x")
    mine["scores"]["miou_interval"] = [0.4, 0.8]
    counted(result(tmp_path / "mine", mine), GOOD)
    (tmp_path / "mine/metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 2.0}))
    baseline = result(tmp_path / "baseline", scored("maskclip", 0.2, "x"))
    if theirs:
        counted(baseline, theirs)
    page = report([tmp_path / "mine", tmp_path / "baseline"], tmp_path / "report.html").read_text()
    assert says in sentence(page)
    assert page.index("headline") < page.index("<table")
