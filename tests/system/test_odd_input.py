"""Input as people have it: broken at random, and a release as it is handed out."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.odd_input.__main__ import OddInputConfig, table
from benchmarks.odd_input.pictures import IGNORED, png, read_ids
from benchmarks.odd_input.processes import KINDS, CaseName, judged
from benchmarks.odd_input.scoring import BrightestChannel
from benchmarks.odd_input.verdict import Judged, Verdict
from shards.build import Limits, build
from shards.check import check
from shards.voc import PascalVOC
from tests.support.queries import queries
from zeroseg.data.label_files import decode_labels, encode_labels
from zeroseg.datasets.benchmarks import IGNORE, VOC21
from zeroseg.evaluation.evaluate import tally_batches
from zeroseg.evaluation.labelled import open_labelled_set
from zeroseg.evaluation.protocols import Protocol
from zeroseg.evaluation.scores import scores_of
from zeroseg.evaluation.task import Task
from zeroseg.store.shard_cache import ShardCache

CASES = 12
"""Of each kind."""


@pytest.mark.parametrize("kind", KINDS)
def test_broken_input_ends_in_a_right_value_a_named_loss_or_one_line(kind):
    results = list(judged([CaseName(kind, number) for number in range(CASES)], seed=0))
    wrong = [(name, r.detail) for name, r in results if r.verdict is Verdict.WRONG]
    assert not wrong, f"python -m benchmarks.odd_input --only '{wrong[0][0]}'"
    assert len(results) == CASES


def killed_by_the_second(name: CaseName, seed: int, folder: Path) -> Judged:
    if name.number == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return Judged(Verdict.RIGHT)


def test_a_case_that_kills_its_process_is_named_and_the_rest_are_tried():
    names = [CaseName("voc", number) for number in range(3)]
    results = list(judged(names, 0, killed_by_the_second))
    verdicts = [result.verdict for _, result in results]
    assert verdicts == [Verdict.RIGHT, Verdict.WRONG, Verdict.RIGHT]
    assert "SIGSEGV" in results[1][1].detail
    assert "| voc | 3 | 2 | 0 | 0 | 1 |" in table(results)


def test_a_case_is_the_same_alone_and_among_others():
    assert OddInputConfig(only="voc/1").names()[0] in OddInputConfig(cases=2 * len(KINDS)).names()
    (alone,) = judged([CaseName("voc", 1)], 0)
    _, again = judged([CaseName("voc", 0), CaseName("voc", 1)], 0)
    assert alone[1].verdict == again[1].verdict


@settings(max_examples=50)
@given(st.data(), st.sampled_from([1, 2, 4, 8, 16]), st.booleans())
def test_the_library_and_a_strict_reading_of_png_agree(data, depth, palette):
    most = (1 << depth) - 1
    values = st.lists(st.integers(0, min(most, 300)), min_size=1, max_size=9)
    row = data.draw(values)
    ids = torch.tensor([row, row[::-1]])
    ids[ids == (255 if depth <= 8 else 65535)] = IGNORED
    file = png(ids.numpy(), depth, palette and depth <= 8)
    expected = torch.where(ids == IGNORED, IGNORE, ids)
    assert torch.equal(decode_labels(file), expected)
    assert (read_ids(file) == ids.numpy()).all()
    assert torch.equal(decode_labels(encode_labels(expected.numpy())), expected)


class AllBackground(BrightestChannel):
    """Says of every pixel that it is background."""

    def predict(self, images, queries):
        height, width = images.shape[-2:]
        scores = torch.zeros(len(images), len(queries.names), height, width)
        scores[:, 0] = 1
        return scores


@pytest.mark.real
def test_the_release_of_voc_is_built_checked_and_scored(real, tmp_path):
    release = real / "voc/VOCdevkit/VOC2012"
    if not release.is_dir():
        pytest.skip(f"no release of PASCAL VOC at {release}")
    copy = tmp_path / "VOCdevkit/VOC2012"
    (copy / "ImageSets/Segmentation").mkdir(parents=True)
    for folder in ("JPEGImages", "SegmentationClass"):
        (copy / folder).symlink_to(release / folder)
    names = (release / "ImageSets/Segmentation/val.txt").read_text().split()[::29]
    (copy / "ImageSets/Segmentation/val.txt").write_text("\n".join(names) + "\n")
    folder = str(tmp_path / "set")
    manifest = build(PascalVOC(tmp_path).source(), folder, Limits(workers=0))
    assert (manifest.samples, manifest.left_out) == (len(names), 0)
    check(folder, workers=0)
    protocol = Protocol(window=0, softmax="none", short_side=32, background_threshold=0.5)
    images = open_labelled_set(folder, VOC21, protocol, ShardCache())
    task = Task(
        benchmark=VOC21,
        protocol=protocol,
        queries=queries(torch.eye(21), names=VOC21.classes),
        threshold=None,
    )
    tally = tally_batches(
        AllBackground(), images.batches(1, batch_size=4), task, torch.device("cpu")
    )
    scores = scores_of(tally, task)
    assert (scores.images, scores.skipped) == (len(names), ())
    maps = [decode_labels((copy / f"SegmentationClass/{n}.png").read_bytes()) for n in names]
    labelled = sum(int((m != IGNORE).sum()) for m in maps)
    background = sum(int((m == 0).sum()) for m in maps)
    assert scores.pixel_accuracy == pytest.approx(background / labelled)
    assert scores.per_class["background"] == pytest.approx(background / labelled)
    assert sum(v == 0 for v in scores.per_class.values()) > 5
