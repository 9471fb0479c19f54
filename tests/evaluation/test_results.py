import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.queries import queries
from tests.support.scored_runs import content, without
from zeroseg.datasets.benchmarks import Benchmark
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.results import (
    ModelIdentity,
    Result,
    read_result,
    result_of,
    result_text,
)
from zeroseg.evaluation.tally import Tally, concatenate
from zeroseg.evaluation.task import Task

CLASSES = ("cat", "dog")
GOOD = [[9, 1], [1, 9]]


def image(key: str, truth: tuple[int, int], right: int) -> Tally:
    """One image of two classes; so many pixels of the first are right, all of the second."""
    counts = [(0, 0, 1, right), (0, 1, 0, truth[0] - right), (1, 1, 2, truth[1])]
    return Tally(
        classes=2,
        thresholds=(0.25, 0.75),
        keys=(key,),
        image=np.zeros(3, np.int64),
        counts=np.array(counts),
        boundary=np.empty((0, 2, 2), np.int64),
    )


def result() -> Result:

    benchmark = Benchmark(name="pets", classes=CLASSES, background=False)
    task = Task(
        benchmark=benchmark,
        protocol=Protocol(stride=112),
        queries=queries(torch.eye(2), names=CLASSES),
        threshold=None,
    )
    tally = concatenate([image("a", (4, 6), 3), image("b", (0, 0), 0)])
    model = ModelIdentity(kind="student", readout="patches")
    return result_of("mine", model, task, "data/val", tally, chosen_on=None, code="1/abc")


def test_a_result_comes_back_from_its_file(tmp_path):
    file = tmp_path / "result.json"
    file.write_text(result_text(result()))
    found = read_result(str(file))
    # As text, since the second image has no labelled pixel, and a nan equals nothing.
    assert result_text(found) == result_text(result())
    assert (found.model, found.protocol, found.scores) == (
        result().model,
        result().protocol,
        result().scores,
    )


def test_a_result_says_what_was_changed_of_its_protocol_and_all_else_that_made_it():
    found = result()
    assert found.protocol.changed == {"stride": 112}
    assert found.words.queries == CLASSES
    assert found.words.templates == ("a photo of a {}.",)
    assert found.confusion == ((3, 1), (0, 6))
    assert found.scores.miou == pytest.approx((3 / 4 + 6 / 7) / 2)
    low, high = found.scores.miou_interval
    assert low <= found.scores.miou <= high
    assert found.curve.thresholds == (0.25, 0.75)


def test_the_digest_of_the_truth_tells_label_maps_apart_and_nothing_else():
    a, b = image("a", (4, 6), 3), image("b", (5, 5), 5)
    truth = concatenate([a, b]).truth
    assert concatenate([b, a]).truth == truth
    assert concatenate([image("a", (4, 6), 0), b]).truth == truth
    assert concatenate([image("a", (5, 5), 3), image("b", (4, 6), 4)]).truth != truth
    assert concatenate([a, replace(b, keys=("c",))]).truth != truth
    assert a.truth != truth


@pytest.mark.parametrize(
    "path",
    ["name", "model.kind", "scores.miou", "scores.per_class", "curve.maximum.threshold"]
    + ["curve.area", "confusion", "images", "code"],
)
def test_a_file_without_a_field_is_an_error_that_names_both(tmp_path, path):
    file = tmp_path / "result.json"
    *places, last = path.split(".")
    file.write_text(json.dumps(without(content("one", CLASSES, GOOD), path)))
    where = ": ".join([str(file), *places])
    with pytest.raises(InputError, match=r"evaluate") as caught:
        read_result(str(file))
    assert str(caught.value).startswith(f"{where}: ")
    assert f"lacks ['{last}']" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format: 2 is none of 1"),
        ({"name": 3}, "name: expected str, found 3"),
        ({"colour": 3}, r"Result has unknown fields \['colour'\]"),
        ({"curve": {"thresholds": 0.5}}, r"curve: ThresholdCurve lacks \['area', 'maximum', 'miou'\]"),
        ({"confusion": [[1, 2], [3]]}, "confusion is not 2 by 2"),
        ({"confusion": [[1, 2, 3]] * 3}, "confusion is not 2 by 2"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_an_error_that_names_the_field(tmp_path, changes, says):
    file = tmp_path / "result.json"
    file.write_text(json.dumps(content("one", CLASSES, GOOD) | changes))
    with pytest.raises(InputError, match=rf"result\.json: {says}"):
        read_result(str(file))


def test_a_file_of_before_results_had_classes_still_reads(tmp_path):
    file = tmp_path / "result.json"
    old = plain(content("one", CLASSES, GOOD, truth="x"))
    del old["truth"], old["words"]
    file.write_text(json.dumps(old))
    assert read_result(str(file)).truth == ""


def plain(value):
    """Without the names of classes."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "class"}
    return [plain(v) for v in value] if isinstance(value, list) else value


def test_a_file_that_was_cut_short_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "result.json"
    file.write_text(json.dumps(content("one", CLASSES, GOOD))[:50])
    with pytest.raises(InputError, match=r"result\.json is not JSON .* score again"):
        read_result(str(file))
