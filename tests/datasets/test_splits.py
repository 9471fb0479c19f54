import itertools

import pytest

from shards.coco import CLASSES
from zeroseg.datasets.benchmarks import SPLITS, VOC21
from zeroseg.datasets.own_benchmarks import benchmark_named


@pytest.mark.parametrize(
    ("name", "wide", "seen", "unseen"),
    [
        ("voc20-15-5", "voc20", 15, 5),
        ("coco-stuff171-156-15", "coco-stuff171", 156, 15),
        ("context33-29-4", None, 29, 4),
        *((f"voc21-k{k}", "voc21", 20 - k, k) for k in (2, 4, 6, 8, 10)),
        *((f"context60-k{k}", "context60", 59 - k, k) for k in (2, 4, 6, 8, 10)),
    ],
)
def test_a_split_parts_the_classes_of_its_benchmark(name, wide, seen, unseen):
    split = benchmark_named(name)
    assert split.unseen < {*split.names}
    assert len(split.unseen) == unseen
    assert len({*split.names} - split.unseen) == seen
    if wide:
        whole = benchmark_named(wide)
        assert (split.classes, split.label_map) == (whole.classes, whole.label_map)
        assert not whole.unseen


def test_every_split_has_a_name_of_its_own():
    assert len({split.name for split in SPLITS}) == len(SPLITS) == 13


@pytest.mark.parametrize("wide", ["voc21", "context60"])
def test_zs3nets_splits_grow_by_two_classes_from_cow_and_motorbike(wide):
    unseen = [benchmark_named(f"{wide}-k{k}").unseen for k in (2, 4, 6, 8, 10)]
    assert unseen[0] == {"cow", "motorbike"}
    for fewer, more in itertools.pairwise(unseen):
        assert fewer < more
        assert len(more - fewer) == 2


ZS3_VOC_IDS = [10, 14, 1, 18, 8, 20, 19, 5, 9, 16]
COCO_UNSEEN_IDS = [20, 24, 32, 33, 40, 56, 86, 99, 105, 123, 144, 147, 148, 168, 171]


@pytest.mark.parametrize("k", [2, 4, 6, 8, 10])
def test_zs3nets_names_and_ids_of_voc_agree(k):
    assert {VOC21.classes[i] for i in ZS3_VOC_IDS[:k]} == benchmark_named(f"voc21-k{k}").unseen


def test_the_15_unseen_names_and_ids_of_coco_stuff_agree():
    names = {CLASSES[182][i] for i in COCO_UNSEEN_IDS}
    assert names == benchmark_named("coco-stuff171-156-15").unseen


def test_the_5_unseen_classes_of_voc_are_its_last():
    assert {VOC21.classes[i] for i in range(16, 21)} == benchmark_named("voc20-15-5").unseen
