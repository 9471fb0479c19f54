"""Which classes a supervised method may know, and where a stage starts."""

import json

import pytest
import torch
from torch import nn

from zeroseg.data.augmentation import Augmentation
from zeroseg.datasets.benchmarks import BENCHMARKS, IGNORE
from zeroseg.datasets.vocabularies import vocabulary
from zeroseg.errors import InputError
from zeroseg.evaluation.protocols import protocol_named
from zeroseg.methods.supervision import Supervision
from zeroseg.methods.trained import Trained, take

SMALL = Augmentation(size=16)


def test_no_unseen_name_is_among_those_that_training_knows():
    labels = Supervision(split="voc20-15-5", augmentation=SMALL)
    assert len(labels.names) == 15
    assert labels.unseen_names == ("potted plant", "sheep", "sofa", "train", "tv monitor")
    assert not set(labels.names) & set(labels.unseen_names)
    pseudo = Supervision(split="voc20-15-5", augmentation=SMALL, unseen_labels="pseudo")
    assert len(pseudo.names) == 20


def test_rows_number_the_seen_classes_and_ignore_all_else():
    labels = Supervision(split="voc21-k2", augmentation=SMALL)
    rows = labels.rows()
    assert labels.names[0] == "background"
    assert rows[list(labels.classes)].tolist() == list(range(19))
    hidden = [i for i in range(IGNORE + 1) if i not in labels.classes]
    assert (rows[hidden] == IGNORE).all()


def test_a_benchmark_without_unseen_classes_is_refused():
    with pytest.raises(InputError, match=r"labels\.split 'voc20' has no unseen classes"):
        Supervision(split="voc20", augmentation=SMALL)


def test_background_that_was_learnt_is_asked_for_by_name():
    benchmark = BENCHMARKS["voc21-k2"]
    assert protocol_named("seen-unseen", benchmark).names == "named"
    assert vocabulary(benchmark, "named").queries[0] == "background"
    assert vocabulary(benchmark, "named").owners == tuple(range(21))


def test_weights_are_taken_whole_or_not_at_all():
    module = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 3)})
    given = {k: torch.full_like(v, 7.0) for k, v in module.state_dict().items()}
    take(module, given, ["a."], "x")
    assert (module["a"].weight == 7).all()
    assert not (module["b"].weight == 7).any()
    with pytest.raises(InputError, match=r"missing \['b.bias'\]"):
        take(module, {k: v for k, v in given.items() if k != "b.bias"}, ["b."], "x")
    with pytest.raises(InputError, match="wrong shape"):
        take(module, given | {"b.weight": torch.zeros(1)}, ["b."], "x")
    assert not (module["b"].weight == 7).any()


def test_a_stage_without_the_one_before_it_is_one_line(tmp_path):
    with pytest.raises(InputError, match="run the one before this"):
        Trained(path=str(tmp_path)).of("DeepLab", split="scenes")


def test_a_stage_of_another_split_or_method_is_refused(tmp_path):
    described = {"method": {"class": "DeepLab", "labels": {"split": "voc21-k2"}}}
    (tmp_path / "model.json").write_text(json.dumps(described))
    before = Trained(path=str(tmp_path))
    with pytest.raises(
        InputError, match="taught the seen classes of voc21-k2, this stage is of voc21-k4"
    ):
        before.of("DeepLab", split="voc21-k4")
    with pytest.raises(InputError, match="is of DeepLab: this stage starts from PromptLearning"):
        before.of("PromptLearning", split="voc21-k2")
