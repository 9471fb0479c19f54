"""The variants of the ablations, their scores and their table."""

import json

import pytest
import torch
from accelerate import Accelerator

from configs.quickstart import teacher as TEACHER
from pipelines.ablation.scoring import Validation
from pipelines.ablation.table import RECORD, summary
from pipelines.ablation.variants import BASE, WITH_WINDOWS, Reading, variants
from pipelines.scoring.scenes import scenes_images
from shards import scenes
from shards.build import Limits, build
from zeroseg.evaluation.corrected import CorrectedStudent
from zeroseg.evaluation.correction import Correction
from zeroseg.evaluation.evaluate import evaluate
from zeroseg.evaluation.segmenters import Student
from zeroseg.methods.choice import Choice
from zeroseg.models.clip import CLIP
from zeroseg.store.shard_cache import ShardCache

TABLE = variants()


@pytest.fixture(scope="module")
def validation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    build(scenes.Scenes("val", 3).source(), str(folder / "val"), Limits(workers=0))
    images = scenes_images(folder, "val", ShardCache())
    clip = CLIP(TEACHER.clip)
    return Validation(list(images.batches(8, batch_size=2)), images.task(clip), clip)


@pytest.mark.parametrize("name", TABLE)
def test_variant_differs_builds_and_is_trained_with_views_that_are_embedded(name):
    variant = TABLE[name]
    assert (variant.method == BASE.method) == (name == "start: tower (base)")
    variant.method.model()
    assert not WITH_WINDOWS.lacks(variant.method.teacher.views)


def test_rows_have_names_and_folders_of_their_own():
    rows = [v.row(name, reading) for name, v in TABLE.items() for reading in v.readings]
    assert len(set(rows)) == len(rows)
    folders = {"".join(c if c.isalnum() else "-" for c in name) for name in TABLE}
    assert len(folders) == len(TABLE)


def test_one_pass_scores_as_the_evaluation_does(validation):
    torch.manual_seed(0)
    model = BASE.method.model().eval()
    BASE.method.start_trunk(model.trunk, TEACHER.clip)
    choice, correction = Choice(zoom=1.5, regrouping=20.0), Correction(kind="mean")
    readings = (
        Reading(name="chosen", choice=choice),
        Reading(name="corrected", correction=correction),
    )
    found = validation.rows(BASE.method, model, readings)
    accelerator = Accelerator(cpu=True)
    for readout in BASE.method.readouts:
        model.config = BASE.method.student
        corrected = CorrectedStudent(Student(model, readout), validation.clip, correction)
        expected = evaluate(corrected, validation.batches, validation.task, accelerator)
        assert found["corrected"][f"{readout}/seen"] == pytest.approx(100 * expected.seen_miou)
        model.config = choice.method(BASE.method).student
        alone = Student(model, readout)
        expected = evaluate(alone, validation.batches, validation.task, accelerator)
        assert found["chosen"][f"{readout}/unseen"] == pytest.approx(100 * expected.unseen_miou)


def test_interpolating_an_untrained_student_changes_nothing(validation):
    model = BASE.method.model().eval()
    BASE.method.start_trunk(model.trunk, TEACHER.clip)
    halfway = Reading(name="halfway", choice=Choice(interpolation=0.5))
    found = validation.rows(BASE.method, model, (Reading(), halfway))
    assert found[""] == pytest.approx(found["halfway"])


def test_table_has_the_mean_and_range_of_seeds(tmp_path):
    for seed, seen in enumerate((60.0, 70.0)):
        row = {
            "segments/seen": seen,
            "segments/unseen": seen - 30,
            "segments_used": 4.0 + seed,
            "largest_share": 0.5,
        }
        (tmp_path / f"a-{seed}").mkdir()
        (tmp_path / f"a-{seed}" / RECORD).write_text(json.dumps({"a": row, "b": row}))
    *_, first, second = summary(tmp_path, ["b", "missing", "a"]).splitlines()
    scores = "65.0 / 35.0 (60.0 to 70.0 / 30.0 to 40.0)"
    assert first == f"| b | 2 | {scores} | - | - | 4.5 | 0.50 |"
    assert second == first.replace("b", "a", 1)
