import pytest

from shards.voc import PascalVOC
from tests.support.corpora import put
from tests.support.releases import (
    PHOTO,
    SBD,
    SBD_FILES,
    VOC,
    VOC_FILES,
    VOC_IDS,
    first_row,
    good,
    ids,
    label_map,
)
from zeroseg.datasets.benchmarks import VOC21
from zeroseg.errors import InputError


@pytest.mark.parametrize("at", [".", "VOCdevkit", VOC])
def test_voc_keeps_the_bytes_of_images_and_palette_label_maps(tmp_path, at):
    put(str(tmp_path), VOC_FILES)
    source = PascalVOC(tmp_path / at).source()
    found = good(source)
    assert list(found) == ["2007_000033", "2007_000042"]
    sample = found["2007_000033"]
    assert sample.image == PHOTO
    assert sample.labels == VOC_FILES[f"{VOC}/SegmentationClass/2007_000033.png"]
    assert label_map(sample).tolist() == VOC_IDS.tolist()
    assert sample.source == "JPEGImages/2007_000033.jpg"
    assert source.classes == VOC21.classes
    assert source.built_from == {"kind": "voc", "source": str(tmp_path / at), "split": "val"}
    assert len(good(PascalVOC(tmp_path / at, "trainval").source())) == 3


@pytest.mark.parametrize("at", [".", "benchmark_RELEASE", SBD])
def test_train_aug_is_all_of_both_without_vocs_val_and_vocs_own_labels_first(tmp_path, at):
    put(str(tmp_path), VOC_FILES | SBD_FILES)
    source = PascalVOC(tmp_path, "train_aug", sbd=tmp_path / at).source()
    found = good(source)
    assert list(found) == ["2007_000032", "2008_000002", "2008_000003"]
    assert first_row(found["2007_000032"]) == [1] * 6
    assert label_map(found["2008_000002"]).tolist() == ids(0, 4, 20).tolist()
    assert found["2008_000002"].image == PHOTO
    assert found["2008_000003"].source == "img/2008_000003.jpg"
    assert source.built_from["sbd"] == str(tmp_path / at)


@pytest.mark.parametrize(("split", "sbd"), [("train_aug", None), ("train", "here")])
def test_sbd_goes_with_train_aug_alone(tmp_path, split, sbd):
    put(str(tmp_path), VOC_FILES | SBD_FILES)
    with pytest.raises(InputError, match="train_aug"):
        PascalVOC(tmp_path, split, sbd=sbd and tmp_path).source()
