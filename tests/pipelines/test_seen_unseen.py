"""The table of seen and unseen classes: its jobs, its rows, and what it says of the papers' orders."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.generalised.rows import (
    ABOVE_NOTHING,
    CLAIMS,
    CORRECTED,
    STUDENT,
    UNTRAINED,
    Bound,
    Order,
    readings,
)
from pipelines.generalised.side_by_side import Job, side_by_side
from pipelines.generalised.summary import differences, orders, table, verdict, verdicts
from pipelines.report.runs import RunResult, results_of
from tests.support import jobs as forked
from tests.support.scored_runs import content, write
from zeroseg.datasets.benchmarks import SCENES
from zeroseg.errors import InputError
from zeroseg.evaluation.tally import Tally

IMAGES = 60
UNSEEN = SCENES.classes.index(min(SCENES.unseen))


def scored(folder: Path, right: float, low: float, high: float) -> RunResult:
    """A result of images with a seen class, always right, and an unseen one, right in such a share of them."""
    hit = np.random.default_rng(0).random(IMAGES) < right
    seen = [[0, 0, 0, 10]] * IMAGES
    unseen = [[UNSEEN, UNSEEN if h else 0, 0, 10] for h in hit]
    counts = np.array(seen + unseen)
    keys = tuple(f"{i:03d}" for i in range(IMAGES))
    tally = Tally(
        classes=len(SCENES.classes),
        thresholds=(),
        keys=keys,
        image=np.tile(np.arange(IMAGES), 2),
        counts=counts,
        boundary=np.zeros((0, len(SCENES.classes), 2), np.int64),
    )
    scores = {"seen_miou": 0.5, "unseen_miou": right, "hiou": 0.4}
    scores["unseen_miou_interval"] = (low, high)
    told = content(
        folder.name,
        SCENES.classes,
        tally.confusion(None).tolist(),
        "scenes",
        keys=keys,
        background_threshold=None,
        scores=scores,
    )
    write(folder, told)
    (folder / "results/00.npz").write_bytes(tally.to_bytes())
    (found,) = results_of(folder, folder.name)
    return found


@pytest.fixture
def rows(tmp_path) -> dict[str, dict[int, RunResult]]:
    shares = {"low": (0.1, 0.12), "high": (0.8, 0.82), "nothing": (0.0, 0.01)}
    return {
        name: {
            seed: scored(tmp_path / f"{name}-{seed}", right, right - 0.05, right + 0.05)
            for seed, right in enumerate(of)
        }
        for name, of in shares.items()
    }


def order(higher: str, lower: str) -> Order:
    return Order(claim="c", source="s", higher=higher, lower=lower)


def test_an_order_holds_where_every_seed_is_certain_of_it(rows):
    found = verdict(order("high", "low"), rows)
    assert found.word == "holds"
    assert len(found.findings) == 2
    assert all(f.low > 0 for f in found.findings)
    assert verdict(order("low", "high"), rows).word == "does not hold"
    assert verdict(order("low", "low"), rows).word == "undecided"
    rows["low"][1] = rows["high"][1]  # the seeds disagree
    assert verdict(order("high", "low"), rows).word == "undecided"
    assert verdict(order("high", "missing"), rows) is None


def test_a_bound_holds_where_the_interval_of_every_seed_lies_on_its_side(rows):
    below = Bound(claim="c", source="s", row="nothing", below=10.0)
    assert verdict(below, rows).word == "holds"
    above = Bound(claim="c", source="s", row="high", above=15.0)
    assert verdict(above, rows).word == "holds"
    assert verdict(Bound(claim="c", source="s", row="low", below=14.0), rows).word == "undecided"
    assert (
        verdict(Bound(claim="c", source="s", row="high", below=5.0), rows).word == "does not hold"
    )


def test_the_table_has_means_and_ranges_and_the_list_every_seed(rows):
    first, *_ = [line for line in table(rows).splitlines() if line.startswith("| low")]
    assert first.startswith("| low | 50.0 (50.0 to 50.0) | 11.0 (10.0 to 12.0) |")
    line = orders(verdicts([order("high", "low")], rows)).splitlines()[-1]
    assert line.startswith("| c | unseen: high over low | s | **holds** | +")
    assert line.count(" to ") == 2
    line = differences(verdicts([order("high", "low")], rows)).splitlines()[-1]
    assert line.startswith("| unseen: high over low | **holds** | +")


def test_claims_are_of_rows_that_there_are():
    names = {STUDENT, CORRECTED, *UNTRAINED}
    names |= {reading.row for reading in readings("simple", "bare")}
    for claim in (*CLAIMS, *ABOVE_NOTHING):
        told = {claim.row} if isinstance(claim, Bound) else {claim.higher, claim.lower}
        assert told <= names
        if isinstance(claim, Bound):
            assert (claim.above is None) != (claim.below is None)


def fail(text: str) -> None:
    raise InputError(text)


def test_jobs_are_done_and_a_failure_names_job_words_and_log_and_stops_the_others(tmp_path):
    jobs = [Job("fails", fail, ("no such thing",)), Job("waits", time.sleep, (600,))]
    with pytest.raises(InputError, match=r"fails failed: no such thing \(all in .*fails.log"):
        side_by_side(jobs, 2, tmp_path)
    side_by_side([Job("good", print, ("done",))], 2, tmp_path)
    assert (tmp_path / "good.log").read_text() == "done\n"


def test_asked_to_stop_it_stops_its_jobs_and_exits_with_75(tmp_path):
    job = forked.Job(side_by_side, [Job("waits", time.sleep, (600,))], 1, tmp_path)
    while job.running and not (tmp_path / "waits.log").is_file():
        time.sleep(0.05)
    job.send(signal.SIGTERM)
    job.ended()
    assert job.statuses == [75]


def test_pictures_are_of_one_row_of_a_model() -> None:
    """Rows of one folder would replace each other's; a method's own reading is the one to look at."""
    rows = [row for row in readings("sculpture", "imagenet7") if not (row.readout or row.changes)]
    models = [(row.method, row.stage) for row in rows]
    assert len(set(models)) == len(models) == 7
