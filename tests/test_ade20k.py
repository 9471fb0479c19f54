import pytest
from corpora import put, samples
from releases import ADE, ADE_FILES, INFO, PHOTO, good, ids, label_map

from shards.ade20k import ade20k
from zeroseg.errors import InputError


@pytest.mark.parametrize("at", [".", ADE])
def test_ade20k_counts_from_0_and_ignores_the_rest(tmp_path, at):
    put(str(tmp_path), ADE_FILES)
    source = ade20k(tmp_path / at)
    (sample,) = samples(source)
    assert (sample.key, sample.image) == ("ADE_val_00000001", PHOTO)
    assert label_map(sample).tolist() == ids(255, 0, 149).tolist()
    assert source.classes[149] == "thing 150, synonym 150"
    assert len(source.classes) == 150
    assert sample.source == "images/validation/ADE_val_00000001.jpg"
    assert list(good(ade20k(tmp_path, "training"))) == ["ADE_train_00000001"]


def test_ade20k_has_no_names_without_its_file_and_refuses_a_cut_one(tmp_path):
    put(str(tmp_path), ADE_FILES)
    info = tmp_path / ADE / "objectInfo150.txt"
    info.write_text("".join(INFO.splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="names 149 classes, not 150"):
        ade20k(tmp_path)
    info.unlink()
    assert ade20k(tmp_path).classes == ()
